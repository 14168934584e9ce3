package api

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
)

func TestStringsThatJavaScriptMakes(t *testing.T) {
	t.Parallel()
	tests := []struct{ raw, form string }{
		{``, ""}, {`null`, ""}, {`""`, ""}, {`"a"`, "a"}, {`true`, "true"}, {`false`, "false"},
		{`0`, "0"}, {`-0`, "0"}, {`20`, "20"}, {`20.50`, "20.5"}, {`1e21`, "1e+21"}, {`1e20`, "100000000000000000000"},
		{`0.001`, "0.001"}, {`0.0000001`, "1e-7"}, {`1e400`, "Infinity"}, {`-1e400`, "-Infinity"},
		{`{}`, "[object Object]"}, {`[]`, ""}, {`["x","y"]`, "x"}, {`[null]`, ""}, {`[{}]`, "[object Object]"},
	}
	for _, tt := range tests {
		if got := value(tt.raw).form(); got != tt.form {
			t.Errorf("form of %s = %q, want %q", tt.raw, got, tt.form)
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{`{"title":"t","price":"20.50"}`, `{"title":["x"],"price":[10]}`, `[]`, `"str"`, `{bad`, `{}{}`, "\xef\xbb\xbf{}", `{"price":1e400}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBody(data)
		if err != nil {
			if !errors.Is(err, errBody) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		d, err := readDraft(b)
		if err != nil {
			if _, known := answer(err); !known {
				t.Fatalf("%q: %v would be an internal failure", data, err)
			}
			return
		}
		if d.Title == "" || !(d.Price > 0) || math.IsInf(d.Price, 0) {
			t.Fatalf("%q was accepted as %+v", data, d)
		}
		if _, err := json.Marshal(d.Price); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
	})
}
