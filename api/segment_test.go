package api

import (
	"net/url"
	"testing"
)

// Case 11.6.
func TestAnIDIsOneSegmentOfAPath(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"6b09be6f1f773f94319d1c25": "6b09be6f1f773f94319d1c25",
		"ranges":                   "%72anges",
		"..":                       "%2E%2E",
		"a/b?c#d%2Fe":              "%61%2Fb%3Fc%23d%252Fe",
		"ü":                        "%C3%BC",
	} {
		got := Segment(id)
		if back, err := url.PathUnescape(got); got != want || back != id || err != nil {
			t.Errorf("%q is %s, and that is %q, %v; want %s", id, got, back, err, want)
		}
	}
}
