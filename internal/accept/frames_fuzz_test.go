package accept

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzFrames: whatever a connection sends, of the requests that net/http makes of
// it none is let through whose head has two readings. Case 11.8.
func FuzzFrames(f *testing.F) {
	const get, two = "GET / HTTP/1.1\r\n" + host + "\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
	post := func(headers, body string) string { return "POST / HTTP/1.1\r\n" + host + headers + "\r\n" + body }
	for _, seed := range []string{
		get + get, "OPTIONS * HTTP/1.1\r\n" + host + "\r\n" + post(two, "0\r\n\r\n"), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + post(two, "0\r\n\r\n"),
		post("Transfer-Encoding: chunked\r\n", "5;x=\"\n\"\r\n12345\r\n0\r\nX: y\n\n") + post(two, "0\r\n\r\n"),
		post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n") + post("Content-Length: 5\r\nContent-Length: 5\r\n", "12345"),
		post("Content-Length: 3\r\n", "abc") + post("X: y\r\n Content-Length: 3\r\n", ""),
		"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get,
		"CONNECT x:1 HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nab" + post(two, ""), post("content-length:\t7 \r\n", "1234567") + get,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		all := frames{maxHead: maxHead}
		all.read(sent)
		from := bytes.NewReader(sent)
		r := bufio.NewReaderSize(from, 16) // the least that it takes: what is behind a head is not read ahead far
		at := func() int { return len(sent) - from.Len() - r.Buffered() }
		for n := 1; ; n++ {
			begin := at()
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			head := string(sent[begin:at()])
			if all.refused(n) != nil {
				return // and the connection is closed
			}
			lengths, coded := 0, 0
			for line := range strings.Lines(strings.TrimLeft(head, "\r\n")) {
				name, _, _ := strings.Cut(strings.ToLower(line), ":")
				lengths += strings.Count(name+":", "content-length:")
				coded += strings.Count(name+":", "transfer-encoding:")
				if !strings.HasSuffix(line, "\r\n") || line[0] == ' ' || line[0] == '\t' {
					t.Errorf("request %d of %q is let through with the line %q", n, sent, line)
				}
			}
			if lengths > 1 || lengths+coded > 1 || coded > 0 && req.ProtoMinor == 0 {
				t.Errorf("request %d of %q is let through", n, sent)
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
	})
}
