package spawn_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/test/spawn"
)

const (
	asChild = "SPAWN_TEST_CHILD" // makes this binary a child that takes ports
	many    = 3_000              // ports: so many that two processes would meet
)

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		os.Exit(takePorts())
	}
	os.Exit(spawn.Run(m.Run))
}

// takePorts prints ports that it has taken and keeps them until its input ends.
func takePorts() int {
	for range many {
		port, err := spawn.Port()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(port)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is what counts
	return 0
}

func TestNoPortIsGivenTwiceAlsoToAnotherProcess(t *testing.T) {
	t.Parallel()
	taken := map[string]bool{}
	for range 2 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = []string{asChild + "=1"}
		in, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close()
			_ = child.Wait() // it has no more to say
		})
		lines := bufio.NewScanner(out)
		for range many {
			if !lines.Scan() || taken[lines.Text()] {
				t.Fatalf("port %q is given although it is taken", lines.Text())
			}
			taken[lines.Text()] = true
		}
	}
}

func TestPortsAreOutOfTheWayOfOutgoingConnections(t *testing.T) {
	t.Parallel()
	var first, last int
	setting, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skip("only Linux says which ports these are")
	}
	if _, err := fmt.Sscan(string(setting), &first, &last); err != nil {
		t.Fatal(err)
	}
	for _, address := range spawn.Addresses(t, 200) {
		var port int
		if _, err := fmt.Sscanf(address, "127.0.0.1:%d", &port); err != nil || port >= first {
			t.Errorf("address %s, want a port below %d", address, first)
		}
	}
}

func TestAChildEndsWhenItIsKilledAlsoFrozen(t *testing.T) {
	t.Parallel()
	child, err := spawn.Start(exec.Command("sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Freeze(); err != nil {
		t.Fatal(err)
	}
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child.PID())); err == nil && !strings.Contains(string(status), "T (stopped)") {
		t.Errorf("it goes on: %s", status)
	}
	child.Kill()
	if err := child.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("it ended with %v, want a kill", err)
	}
	if err := child.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to a child that is gone: %v", err)
	}
}

func TestAProgramThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := spawn.Start(exec.Command("/no/such/program")); err == nil {
		t.Error("started")
	}
}

func TestAServiceStopsAndStartsAgain(t *testing.T) {
	t.Parallel()
	a := spawn.Addresses(t, 2)
	s := &spawn.Service{
		Name: "broker", Args: []string{"broker"}, Ready: "http://" + a[1] + "/streaming/serverz",
		Env: []string{"NATS_LISTEN=" + a[0], "NATS_MONITOR=" + a[1], "NATS_CLUSTER_ID=c", "DATA_DIR=" + t.TempDir(), "OPS_ADDR=127.0.0.1:0"},
	}
	s.Start(t)
	s.Stop(t)
	if took := s.Stop(t); took > 5*time.Second {
		t.Errorf("a stop of what is gone took %v", took)
	}
	once := len(s.Output())
	s.Start(t)
	spawn.Until(t, "its output has both starts", func() bool { return once > 0 && len(s.Output()) > once })
	s.Kill()
}
