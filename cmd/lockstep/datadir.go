package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keepKey returns the key of sessions that is kept in the data directory, and
// makes one the first time, so that sessions survive a restart.
func keepKey(dataDir string) (key, file string, err error) {
	file = filepath.Join(dataDir, "jwt.key")
	data, err := os.ReadFile(file)
	if err == nil {
		if key = strings.TrimSpace(string(data)); key == "" {
			return "", "", fmt.Errorf("%s is empty: delete it, or set JWT_KEY", file)
		}
		return key, file, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return "", "", err
	}
	key = rand.Text()
	return key, file, os.WriteFile(file, []byte(key+"\n"), 0o600)
}

// clientID returns who the system of a data directory is to the broker. It is
// the same after a crash, so that the broker gives the former process's
// messages to this one at once instead of waiting for its heartbeats.
func clientID(dataDir string) string {
	abs, err := filepath.Abs(dataDir)
	if err != nil {
		abs = dataDir
	}
	sum := sha256.Sum256([]byte(abs))
	return "up-" + hex.EncodeToString(sum[:4])
}
