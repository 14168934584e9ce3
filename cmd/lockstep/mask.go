package main

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

const mask = "****"

// masked returns the value of a flag for people: nothing of a secret, and of
// addresses what is no secret in them.
func masked(f *kong.Flag, value string) string {
	switch form := f.Tag.Get("form"); {
	case value == "":
		return "-"
	case strings.HasSuffix(form, "url") || strings.HasSuffix(form, "uri"):
		return maskURL(value)
	case f.Tag.Has("secret"):
		return mask
	}
	return value
}

// harmless are the parameters of an address whose values are shown. A new
// secret is not among them.
var harmless = map[string]bool{
	"appname": true, "authmechanism": true, "authsource": true, "compressors": true, "connecttimeoutms": true,
	"directconnection": true, "heartbeatfrequencyms": true, "journal": true, "loadbalanced": true, "localthresholdms": true,
	"maxconnecting": true, "maxidletimems": true, "maxpoolsize": true, "maxstalenessseconds": true, "minpoolsize": true,
	"readconcernlevel": true, "readpreference": true, "replicaset": true, "retryreads": true, "retrywrites": true,
	"serverselectiontimeoutms": true, "sockettimeoutms": true, "srvservicename": true, "ssl": true, "timeoutms": true, "tls": true,
	"tlscafile": true, "tlscertificatekeyfile": true, "tlsinsecure": true, "w": true, "wtimeoutms": true,
}

// plainHosts is what an address without a user may begin with.
var plainHosts = regexp.MustCompile(`^[A-Za-z0-9._-]*(:\d+)?(,[A-Za-z0-9._-]+(:\d+)?)*$|^\[[0-9A-Fa-f:.%]+\](:\d+)?$`)

// maskURL hides the secrets of an address, or of several with commas: who
// stands before the @ but for a name with a password, and the values of
// parameters. It does not parse, for what has no good form is no less secret:
// whatever is not plainly an address is hidden whole.
func maskURL(value string) string {
	parts := strings.Split(value, "://")
	for i, part := range parts {
		if i == 0 && len(parts) > 1 {
			continue // the scheme
		}
		next := ""
		if i > 0 && i < len(parts)-1 { // the scheme of the next address
			comma := strings.LastIndex(part, ",")
			if comma < 0 {
				return mask
			}
			part, next = part[:comma], part[comma:]
		}
		shown, ok := maskAuthority(part)
		if !ok {
			return mask
		}
		parts[i] = shown + next
	}
	return strings.Join(parts, "://")
}

// maskAuthority hides the secrets of one address without its scheme; false if
// it is none.
func maskAuthority(part string) (string, bool) {
	user, rest := "", part
	if at := strings.LastIndex(part, "@"); at >= 0 {
		user, rest = part[:at], part[at+1:]
		name, _, both := strings.Cut(user, ":")
		if user = mask + "@"; both && plainHosts.MatchString(name) {
			user = name + ":" + mask + "@"
		}
	}
	address, query, asked := strings.Cut(rest, "?")
	host, path, slash := strings.Cut(address, "/")
	if !plainHosts.MatchString(host) {
		return "", false
	}
	shown := user + host
	if slash {
		shown += "/" + path
	}
	if asked {
		shown += "?" + maskQuery(query)
	}
	return shown, true
}

func maskQuery(query string) string {
	pairs := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		if !harmless[strings.ToLower(name)] {
			pairs[i] = name + "=" + mask
		}
	}
	return strings.Join(pairs, "&")
}

// secretsOf returns what must not be seen of a value wherever it is repeated:
// in an error of a driver, say.
func secretsOf(f *kong.Flag, value string) []string {
	form := f.Tag.Get("form")
	if !strings.HasSuffix(form, "url") && !strings.HasSuffix(form, "uri") {
		if f.Tag.Has("secret") {
			return []string{value}
		}
		return nil
	}
	var all []string
	for _, u := range loginsIn(value) {
		all = append(all, u.pieces()...)
	}
	for _, part := range strings.Split(value, "://") {
		_, query, _ := strings.Cut(part, "?")
		for _, pair := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
			if name, secret, _ := strings.Cut(pair, "="); !harmless[strings.ToLower(name)] {
				all = append(all, strings.FieldsFunc(secret, func(r rune) bool { return r == ',' || r == ':' })...)
			}
		}
	}
	return all
}

// login is who stands before the @ of an address.
type login struct{ whole, name, password string }

// loginsIn returns the logins in an address, or of several with commas. One that
// has no password is one.
func loginsIn(addresses string) []login {
	var all []login
	for _, part := range strings.Split(addresses, "://") {
		at := strings.LastIndex(part, "@")
		if at < 0 {
			continue
		}
		u := login{whole: part[:at]}
		both := false
		if u.name, u.password, both = strings.Cut(u.whole, ":"); !both {
			u.name, u.password = "", u.whole
		}
		all = append(all, u)
	}
	return all
}

// pieces returns what a parser may print of a user with a password: the
// password, and either side of a slash in it, taken for a host or a path.
func (u login) pieces() []string {
	all := []string{u.password}
	if plain, err := url.PathUnescape(u.password); err == nil {
		all = append(all, plain)
	}
	for i, piece := range strings.Split(u.whole, "/") {
		if i > 0 {
			piece += "@"
		}
		if strings.ContainsAny(piece, ":@") && piece != u.whole {
			all = append(all, piece)
		}
	}
	return all
}
