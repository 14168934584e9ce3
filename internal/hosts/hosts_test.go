package hosts

import "testing"

// Case 11.9. Attack cases 41 and 48.
func TestHosts(t *testing.T) {
	t.Parallel()
	const here, there = true, true
	for _, tt := range []struct {
		host        string
		here, there bool // may be asked for on loopback, on other addresses
	}{
		{"localhost", here, there},
		{"localhost:3002", here, there},
		{"LOCALHOST.:3002", here, there},
		{"localhost:", here, there},
		{"127.0.0.1:3002", here, there},
		{"127.8.9.1", here, there},
		{"[::1]:3002", here, there},
		{"[::1]", here, there},
		{"[::ffff:127.0.0.1]:1", here, there},
		{"Ops.Example.COM:9464", here, there}, // named
		{"ops.example.com.", here, there},
		{"10.1.2.3:9464", false, there},
		{"[fd00::1]:9464", false, there},
		{"0.0.0.0:3002", false, there},

		{"", false, false},
		{":3002", false, false},
		{".", false, false},
		{"evil", false, false},
		{"evil.example:3002", false, false},
		{"localhost.evil.example", false, false},
		{"127.0.0.1.evil.example", false, false},
		{"sub.localhost", false, false},
		{"sub.ops.example.com", false, false},
		{"ops.example.com..", false, false},
		{"127.0.0.1@evil.example", false, false},
		{"localhost:3002:evil", false, false},
		{"[localhost]:3002:evil", false, false},
		{"2130706433", false, false}, // 127.0.0.1 to some
		{"127.1", false, false},
		{"localhost evil", false, false},
	} {
		names := []string{"ops.example.com"}
		if got := (Allowed{Loopback: true, Names: names}).Has(tt.host); got != tt.here {
			t.Errorf("on loopback, %q: %t", tt.host, got)
		}
		if got := (Allowed{Names: names}).Has(tt.host); got != tt.there {
			t.Errorf("on other addresses, %q: %t", tt.host, got)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:0": true, "localhost:9464": true, "[::1]:1": true, "LocalHost.:1": true,
		":9464": false, "0.0.0.0:9464": false, "[::]:1": false, "10.0.0.1:1": false, "127.0.0.1": false, "example.com:1": false,
	} {
		if got := Loopback(address); got != want {
			t.Errorf("only this machine reaches %q: %t, want %t", address, got, want)
		}
	}
}
