package mongotest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"lockstep/test/spawn"
)

// process is one running mongod.
type process struct {
	*spawn.Child
	log string
}

// launch starts a server on a loopback port with its data in dir, as a member
// of the named set, or of none.
func launch(path, dir string, port int, set string, args ...string) (*process, error) {
	data, log := filepath.Join(dir, "data"), filepath.Join(dir, "mongod.log")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command(path,
		"--port", strconv.Itoa(port), "--bind_ip", "127.0.0.1", "--nounixsocket",
		"--dbpath", data, "--logpath", log, "--logappend",
		"--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128",
		"--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false",
		// What a killed client left open holds its documents for so long; as
		// docs/mongodb.md advises, but shorter.
		"--setParameter", "transactionLifetimeLimitSeconds=5")
	if set != "" {
		cmd.Args = append(cmd.Args, "--replSet", set)
	}
	cmd.Args = append(cmd.Args, args...)
	child, err := spawn.Start(cmd)
	if err != nil {
		return nil, err
	}
	return &process{child, log}, nil
}

// tail returns the end of the server's log.
func (p *process) tail() string {
	all, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(all), []byte{'\n'})
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte{'\n'}))
}
