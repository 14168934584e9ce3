package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// jwtFlags hold the keys of sessions.
type jwtFlags struct {
	JWTKey      string `name:"jwt-key" env:"JWT_KEY" secret:"" form:"text" help:"Key that signs sessions (HS256)."`
	JWTKeysFile string `name:"jwt-keys-file" env:"JWT_KEYS_FILE" form:"text" help:"Instead of it, a file with one key a line: the first one signs, all of them verify."`
}

func (f jwtFlags) missing() missing { return undefined("JWT_KEY", f.JWTKey+f.JWTKeysFile) }

// sessionKey is a key, and where it stands.
type sessionKey struct{ name, key string }

// named returns the keys of sessions, the one that signs first.
func (f jwtFlags) named() ([]sessionKey, error) {
	if f.JWTKeysFile == "" {
		return []sessionKey{{"JWT_KEY", f.JWTKey}}, nil
	}
	if f.JWTKey != "" {
		return nil, &usageError{"JWT_KEY and JWT_KEYS_FILE are both set: unset one of them"}
	}
	text, err := readSecret(f.JWTKeysFile)
	if err != nil {
		return nil, &usageError{"JWT_KEYS_FILE: " + err.Error()}
	}
	var keys []sessionKey
	for i, line := range strings.Split(text, "\n") {
		key := strings.TrimRight(line, "\r")
		if strings.TrimSpace(key) == "" {
			continue
		}
		name := fmt.Sprintf("JWT_KEYS_FILE line %d", i+1)
		if !onlyAKey(key) {
			return nil, &usageError{name + " is not a key alone: no comment (#), no space around it, nothing that is not seen"}
		}
		keys = append(keys, sessionKey{name, key})
	}
	if len(keys) == 0 {
		return nil, &usageError{"JWT_KEYS_FILE: " + f.JWTKeysFile + " holds no key"}
	}
	return keys, nil
}

// onlyAKey reports whether a line is a key and nothing else. What else it might
// be would verify sessions like a key, for whoever guesses it.
func onlyAKey(line string) bool {
	unseen := func(r rune) bool { return !unicode.IsPrint(r) }
	return utf8.ValidString(line) && line[0] != '#' && strings.TrimSpace(line) == line && !strings.ContainsFunc(line, unseen)
}

// keys returns the keys of sessions, the one that signs first.
func (f jwtFlags) keys() ([]string, error) {
	named, err := f.named()
	var keys []string
	for _, k := range named {
		keys = append(keys, k.key)
	}
	return keys, err
}
