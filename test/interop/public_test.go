package interop

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"lockstep/internal/objectid"
	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestOurOrdersBesideNodeTicketsWithoutAnOpsPort gives our orders service the
// public API of Node's tickets service as CANONICAL_URL: its replica is filled,
// verified and repaired as far as that API tells, and nothing is logged as
// wrong. Case 9.11.
func TestOurOrdersBesideNodeTicketsWithoutAnOpsPort(t *testing.T) {
	t.Parallel()
	set, b := mongotest.Start(t, 1), brokertest.Start(t)
	node, copies := startPeer(t, set.URI("tickets")), startPeer(t, set.URI("orders"))
	free, held := written(node), written(node)
	node.do("readTicket", args{"id": held.ID}, nil)
	node.do("saveTicket", args{"id": held.ID, "fields": args{"orderId": objectid.New()}}, nil)
	theirs := newService(t, false, "tickets", set.URI("tickets"), brokertest.Start(t)) // whose events do not reach ours
	theirs.start(t)
	ours := newService(t, true, "orders", set.URI("orders"), b)
	ours.start(t, "CANONICAL_URL="+theirs.owner())

	at := func(id string) (d document) {
		copies.do("ticket", args{"id": id}, &d)
		return d
	}
	spawn.Until(t, "the empty replica is filled with what is on sale", func() bool { return at(free.ID).Version == free.Version })
	copies.do("createTicket", args{"fields": args{"_id": held.ID, "title": held.Title, "price": held.Price}}, nil) // at version 0
	out, code := ours.replica(t, "verify")
	if code != 4 || !strings.Contains(out, held.ID) || strings.Contains(out, free.ID) || !strings.Contains(out, "public API only") {
		t.Errorf("verify: exit %d, want 4, the held ticket and what was not compared\n%s", code, out)
	}
	copies.do("readTicket", args{"id": free.ID}, nil)
	copies.do("saveTicket", args{"id": free.ID, "fields": args{"price": 0.01}}, nil) // a foreign hand
	if out, code = ours.replica(t, "reset", free.ID); code != 0 {
		t.Errorf("reset: exit %d\n%s", code, out)
	}
	if out, code = ours.replica(t, "repair"); code != 0 || !strings.Contains(out, "1 repaired") {
		t.Errorf("repair: exit %d\n%s", code, out)
	}
	if out, code = ours.replica(t, "verify"); code != 0 || !strings.Contains(out, "2 records compared, 0 differ") {
		t.Errorf("verify after the repair: exit %d\n%s", code, out)
	}
	if got := at(free.ID); got.Price != free.Price || got.Version != free.Version {
		t.Errorf("ticket after its reset: %+v, want %+v", got, free)
	}
	if log := ours.Output(); strings.Contains(log, "ERROR") || strings.Contains(log, "is tried again") {
		t.Errorf("something is logged as wrong:\n%s", log)
	}
}

// replica runs an operator's command on the service.
func (s *service) replica(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(spawn.Lockstep(t), append([]string{"replica"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "OPS_URL=" + s.ops}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
