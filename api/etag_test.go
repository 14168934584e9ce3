package api

import (
	"net/http"
	"testing"

	"lockstep/internal/objectid"
)

const otherVersion = `{"errors":[{"message":"The ticket's version is not one that If-Match and If-None-Match let be changed: read it again"}]}`

// Case 11.8.
func TestAnswersSayWhichVersionTheyShow(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	const draft = `{"title":"t","price":1}`
	created := ask(t, f.door, "u1", http.MethodPost, "/api/tickets", draft)
	path := "/api/tickets/" + parse(t, created.body).ID
	for _, tt := range []struct {
		what string
		got  answered
		tag  string
	}{
		{"created", created, `"0"`},
		{"shown", ask(t, f.door, "", http.MethodGet, path, ""), `"0"`},
		{"edited", ask(t, f.door, "u1", http.MethodPut, path, draft), `"1"`},
		{"asked for its head", ask(t, f.door, "", http.MethodHead, path, ""), `"1"`},
		{"refused", ask(t, f.door, "u1", http.MethodPut, path, `{}`), ""},
	} {
		if tag := tt.got.header.Get("ETag"); tag != tt.tag {
			t.Errorf("%s: ETag %s, want %s", tt.what, tag, tt.tag)
		}
	}
}

// TestAnEditOfAnotherVersionIsRefused, after everything that would be refused
// without If-Match. Case 11.8. Attack case 35.
func TestAnEditOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	const draft = `{"title":"new","price":"30"}`
	for _, tt := range []struct {
		name, match string
		accepted    bool
	}{
		{"any", "*", true},
		{"any, with spaces", "  * ", true},
		{"this one", `"1"`, true},
		{"one of a list", `"7", "1" ,"9"`, true},
		{"beside tags of others", `"a,b", W/"x","1"`, true},
		{"an older one", `"0"`, false},
		{"a newer one", `"2"`, false},
		{"a list without it", `"0","2"`, false},
		{"a weak one", `W/"1"`, false},
		{"not quoted", `1`, false},
		{"written otherwise", `"01"`, false},
		{"with a sign", `"+1"`, false},
		{"none", ``, false},
		{"no tag", `x`, false},
		{"too large", `"99999999999999999999"`, false},
		{"below the first", `"-1"`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := "/api/tickets/" + f.create(t, "owner")
			if got := ask(t, f.door, "owner", http.MethodPut, path, draft); got.status != 200 {
				t.Fatalf("an edit without If-Match: %d %s", got.status, got.body)
			}
			for _, method := range []string{http.MethodPut, http.MethodDelete} {
				got := ask(t, f.door, "owner", method, path, draft, "If-Match", tt.match)
				switch {
				case !tt.accepted:
					want(t, got, 412, otherVersion)
				case got.status/100 != 2:
					t.Errorf("%s with If-Match %s: %d %s", method, tt.match, got.status, got.body)
				}
				if tt.accepted {
					return // at another version now
				}
			}
			if shown := ask(t, f.door, "", http.MethodGet, path, ""); shown.header.Get("ETag") != `"1"` {
				t.Errorf("refused, and now %s", shown.body)
			}
		})
	}
}

// TestWhatAClientHasIsNotSentAgain, as Express does. Case 11.8.
func TestWhatAClientHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	path := "/api/tickets/" + f.create(t, "owner")
	tag := ask(t, f.door, "", http.MethodGet, path, "").header.Get("ETag")
	for asked, status := range map[string]int{tag: 304, "W/" + tag: 304, "*": 304, `"7", ` + tag: 304, `"7"`: 200, "1": 200, "": 200} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			got := ask(t, f.door, "", method, path, "", "If-None-Match", asked)
			if got.status != status || got.header.Get("ETag") != tag || status == 304 && got.body != "" {
				t.Errorf("%s with If-None-Match %s: %d %q, ETag %s; want %d", method, asked, got.status, got.body, got.header.Get("ETag"), status)
			}
		}
	}
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets/"+objectid.New(), "", "If-None-Match", "*"), 404, notFound)
}

// TestAnEditOfAVersionThatIsNotWantedIsRefused: RFC 9110, 13.1.2. Case 11.8.
func TestAnEditOfAVersionThatIsNotWantedIsRefused(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		for _, tt := range []struct {
			headers  []string
			accepted bool
		}{
			{[]string{"If-None-Match", "*"}, false},
			{[]string{"If-None-Match", `"0"`}, false},
			{[]string{"If-None-Match", `W/"0"`}, false},
			{[]string{"If-None-Match", `"7", "0"`}, false},
			{[]string{"If-None-Match", `"0"`, "If-Match", `"0"`}, false},
			{[]string{"If-None-Match", `"0"`, "If-Match", "*"}, false},
			{[]string{"If-None-Match", `"7"`, "If-Match", `"1"`}, false},
			{[]string{"If-None-Match", `"7"`}, true},
			{[]string{"If-None-Match", `W/"7", "8"`, "If-Match", `"0"`}, true},
			{[]string{"If-None-Match", "0"}, true},
			{[]string{"If-None-Match", ""}, true},
		} {
			path := "/api/tickets/" + f.create(t, "owner")
			got := ask(t, f.door, "owner", method, path, `{"title":"new","price":"30"}`, tt.headers...)
			if !tt.accepted {
				want(t, got, 412, otherVersion)
			} else if got.status/100 != 2 {
				t.Errorf("%s with %v: %d %s", method, tt.headers, got.status, got.body)
			}
		}
	}
}

func TestWhatIsRefusedAnywayIsNoMatterOfVersions(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	id, held := f.create(t, "owner"), f.create(t, "owner")
	f.lock(t, held, objectid.New())
	const draft = `{"title":"new","price":"30"}`
	stale := []string{"If-Match", `"9"`}
	want(t, ask(t, f.door, "", http.MethodPut, "/api/tickets/"+id, draft, stale...), 401, notAuthorized)
	want(t, ask(t, f.door, "owner", http.MethodPut, "/api/tickets/"+id, `{}`, stale...), 400, badBoth)
	want(t, ask(t, f.door, "owner", http.MethodPut, "/api/tickets/"+objectid.New(), draft, "If-Match", "*"), 404, notFound)
	want(t, ask(t, f.door, "other", http.MethodPut, "/api/tickets/"+id, draft, stale...), 401, notAuthorized)
	want(t, ask(t, f.door, "owner", http.MethodDelete, "/api/tickets/"+held, "", stale...), 400, reserved)
}
