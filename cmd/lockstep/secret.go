package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// fileSuffix makes the name of the variable that names a secret's file:
// JWT_KEY_FILE holds the path of a file that holds JWT_KEY.
const fileSuffix = "_FILE"

// secretFiles resolves secrets from files, as orchestrators mount them. A line
// break at the end of the file is not part of the secret.
func secretFiles(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	path := secretFile(flag)
	if path == "" {
		return nil, nil
	}
	name := flag.Envs[0]
	if _, both := os.LookupEnv(name); both {
		return nil, fmt.Errorf("%s and %s are both set: unset one of them", name, name+fileSuffix)
	}
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name+fileSuffix, err)
	}
	secret := strings.TrimRight(text, "\r\n")
	switch {
	case secret == "": // somebody wanted one, and none would open a port to everybody
		return nil, fmt.Errorf("%s: %s is empty", name+fileSuffix, path)
	case strings.HasPrefix(secret, "\ufeff"): // which nobody sees, and which would be part of it
		return nil, fmt.Errorf("%s: %s begins with a byte order mark: save it without", name+fileSuffix, path)
	}
	return secret, nil
}

// maxSecret bounds a file of secrets, in bytes.
const maxSecret = 64 << 10

// readSecret reads a file of secrets. Of one that is too large, which is another
// file or a device, no more is read than tells so.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(data) > maxSecret {
		err = fmt.Errorf("%s has more than %d bytes: is it another file?", path, maxSecret)
	}
	return string(data), err
}

// secretFile returns the file that holds the value of a flag; "" if it is no
// secret or no file was named.
func secretFile(flag *kong.Flag) string {
	if !flag.Tag.Has("secret") || len(flag.Envs) == 0 {
		return ""
	}
	return os.Getenv(flag.Envs[0] + fileSuffix)
}
