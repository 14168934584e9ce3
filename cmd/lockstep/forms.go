package main

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"lockstep/api"
)

// form is what a text may look like.
type form struct {
	wanted string // completes "X must be …"
	fits   func(string) bool
}

// forms are the values of the tag form.
var forms = map[string]form{
	"address":  {"host:port with a port from 0 to 65535", isAddress},
	"url":      {"http://host:port or https://host", isHTTP},
	"webhook":  {"http://host or https://host and whatever follows", isHTTP}, // what follows is a secret
	"nats-url": {"nats://host:port, http://host:port or several with commas", isNATS},
	"mongo-uri": {
		"mongodb://host:port/database or mongodb+srv://…; in a user or password, / is written %2F, : %3A, @ %40 and % %25", isMongo,
	},
	"cluster": {"1 to 100 letters, digits, _ or -", regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`).MatchString},
	"networks": {"addresses or networks, such as 10.0.0.7 or 10.1.0.0/16, with commas between them", func(s string) bool {
		_, err := api.ParseProxies(s)
		return err == nil
	}},
	"names": {"names of hosts without ports, with commas between them", regexp.MustCompile(`^ *[A-Za-z0-9._-]+( *, *[A-Za-z0-9._-]+)* *$`).MatchString},
	"token": {"visible ASCII without spaces, as an HTTP header carries it", regexp.MustCompile(`^[!-~]+$`).MatchString},
	"text":  {"one line of at most 1000 bytes", isLine},
}

func isLine(s string) bool { return len(s) <= 1000 && !strings.ContainsAny(s, "\x00\r\n") }

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && isPort(u.Port())
}

func isNATS(s string) bool {
	for one := range strings.SplitSeq(s, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil || u.Hostname() == "" || !isPort(u.Port()) {
			return false
		}
		switch u.Scheme {
		case "nats", "tls", "http", "https":
		default:
			return false
		}
	}
	return true
}

// isMongo looks at what the driver would tell with the password in the text.
func isMongo(s string) bool {
	rest, ok := strings.CutPrefix(s, "mongodb://")
	if !ok {
		rest, ok = strings.CutPrefix(s, "mongodb+srv://")
	}
	address, _, _ := strings.Cut(rest, "?")
	at := strings.LastIndex(address, "@")
	user, host := address[:max(at, 0)], address[at+1:]
	_, escaped := url.PathUnescape(user)
	return ok && host != "" && host[0] != '/' && escaped == nil && !strings.ContainsAny(user, "/@") && strings.Count(user, ":") <= 1
}

// isPort reports whether a port can be dialled; none is the scheme's own.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}
