package interop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

// install lets npm bring the libraries, once.
var install = sync.OnceValue(func() error {
	if _, err := exec.LookPath("node"); err != nil {
		return err
	}
	if _, err := os.Stat("node/node_modules/mongoose"); err == nil {
		return nil
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	cmd.Dir = "node"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
})

// needNode skips the test where there is no Node with the libraries, and fails
// it in CI.
func needNode(t *testing.T) {
	t.Helper()
	if err := install(); err != nil {
		const howTo = "NO NODE LIBRARIES: run `make interop-deps` with Node 20.19 or newer and npm: "
		if inCI, _ := strconv.ParseBool(os.Getenv("CI")); inCI { // anything but a true is none
			t.Fatal(howTo, err)
		}
		t.Skip(howTo, err)
	}
}

// peer is a running Node process.
type peer struct {
	t       *testing.T
	in      io.WriteCloser
	out     *bufio.Reader
	command *exec.Cmd
}

// answer is what the peer says to a command.
type answer struct {
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
}

// startPeer starts a Node process on a database.
func startPeer(t *testing.T, uri string) *peer {
	t.Helper()
	needNode(t)
	p := &peer{t: t, command: exec.CommandContext(t.Context(), "node", "peer.js")}
	p.command.Dir, p.command.Stderr = "node", os.Stderr
	p.command.Env = append(os.Environ(), "MONGO_URI="+uri)
	in, err := p.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	t.Cleanup(p.stop)
	p.read() // it is connected
	return p
}

func (p *peer) stop() {
	if err := errors.Join(p.in.Close(), p.command.Wait()); err != nil && p.t.Context().Err() == nil {
		p.t.Errorf("node: %v", err)
	}
}

func (p *peer) read() answer {
	p.t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("node said nothing: %v", err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		p.t.Fatalf("node said %q: %v", line, err)
	}
	return a
}

// args are the parts of a command beside its name.
type args map[string]any

// ask gives a command and returns the answer.
func (p *peer) ask(action string, a args) answer {
	p.t.Helper()
	command := args{"do": action}
	for k, v := range a {
		command[k] = v
	}
	line, err := json.Marshal(command)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("tell node: %v", err)
	}
	return p.read()
}

// do gives a command that must succeed and reads its result into result.
func (p *peer) do(action string, a args, result any) {
	p.t.Helper()
	got := p.ask(action, a)
	if got.Error != "" {
		p.t.Fatalf("node: %s: %s: %s", action, got.Error, got.Message)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(got.Result, result); err != nil {
		p.t.Fatalf("node: %s: %v in %s", action, err, got.Result)
	}
}

// document is a ticket or an order as mongoose prints it.
type document struct {
	ID        string          `json:"id"`
	Title     string          `json:"title,omitempty"`
	Price     float64         `json:"price,omitempty"`
	UserID    string          `json:"userId,omitempty"`
	OrderID   string          `json:"orderId,omitempty"`
	Version   int64           `json:"version" bson:"version"`
	Status    string          `json:"status,omitempty"`
	ExpiresAt string          `json:"expiresAt,omitempty"`
	Ticket    json.RawMessage `json:"ticket,omitempty"`
}
