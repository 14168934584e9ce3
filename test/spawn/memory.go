package spawn

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// peak is where Linux says how much memory a process has had at once.
var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// PeakMemory returns how many bytes of memory the process has had at once since
// it was started, or since ForgetPeak. Where nobody counts them the test is
// skipped.
func (s *Service) PeakMemory(t testing.TB) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.child.PID()))
	found := peak.FindSubmatch(status)
	if err != nil || found == nil {
		t.Skipf("the peak of the memory of a process is not known here: %v", err)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// ForgetPeak lets PeakMemory begin anew.
func (s *Service) ForgetPeak(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.child.PID()), []byte("5"), 0); err != nil {
		t.Skipf("the peak of the memory of a process cannot be forgotten here: %v", err)
	}
}
