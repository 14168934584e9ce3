package e2e

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// smallDisk is SQLite with the files of the tickets service on a disk of a few
// megabytes.
type smallDisk struct{ dir string }

func (d smallDisk) env(t *testing.T, service, dir string) []string {
	if service != "tickets" {
		return sqlite{}.env(t, service, dir)
	}
	return []string{"DATA_DIR=" + filepath.Join(d.dir, service)}
}

// newSmallDisk mounts a disk of its own, or skips the test.
func newSmallDisk(t *testing.T) smallDisk {
	t.Helper()
	dir := t.TempDir()
	mountDisk(t, dir, "6m")
	return smallDisk{dir}
}

// mountDisk makes dir a disk of the size until the test ends, or skips the test.
func mountDisk(t *testing.T, dir, size string) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("NO SMALL DISK: mounting a tmpfs needs Linux and root: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
}

// Case 11.11. TestDiskThatIsFull: a service whose disk fills says so to each client and to
// its probes, and after a restart with room everything that it answered for is
// there and on the bus, and nothing of what it refused.
func TestDiskThatIsFull(t *testing.T) {
	t.Parallel()
	disk := newSmallDisk(t)
	s := newSystem(t, disk)
	s.broker.stop(t) // so that nothing is deleted from the outbox

	accepted := map[string]int64{}
	refused := 0
	for i := 0; refused < 5; i++ {
		if i == 1000 {
			t.Fatal("the disk does not fill")
		}
		r, err := s.try(t, "ann@example.com", http.MethodPost, s.ticketsURL+"/api/tickets", draft{strings.Repeat("x", 50_000), 1})
		switch {
		case err != nil:
			t.Fatal(err)
		case r.status == http.StatusCreated:
			accepted[r.id()] = 0
		case r.status == http.StatusServiceUnavailable: // unknown for one whose commit failed, refused for those behind it
			refused++
		default:
			t.Fatalf("POST = %d %s", r.status, r.raw)
		}
	}
	for id := range accepted {
		s.ticket(t, id) // reading goes on
	}
	until(t, "the probes tell", func() bool {
		r, err := s.try(t, "", http.MethodGet, s.ticketsOps+"/readyz", nil)
		return err == nil && r.status == http.StatusServiceUnavailable && strings.Contains(r.raw, "writing has stopped")
	})

	s.tickets.kill(t)
	if out, err := exec.Command("mount", "-o", "remount,size=256m", disk.dir).CombinedOutput(); err != nil {
		t.Fatalf("more room: %v %s", err, out)
	}
	s.broker.start(t)
	s.tickets.start(t)
	bus := s.observe(t)
	s.wantOnTheBus(t, bus, accepted)
	for id := range accepted {
		s.untilReplica(t, id, 0)
	}
}
