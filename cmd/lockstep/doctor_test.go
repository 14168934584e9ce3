package main

import (
	"path/filepath"
	"strings"
	"testing"

	"lockstep/test/brokertest"
)

func TestDoctorFindsEverythingWell(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.Stored(t.TempDir()))
	out, errs, code := output(t, "doctor", "--data-dir", t.TempDir(), "--nats-url", b.URL(), "--nats-cluster-id", brokertest.ClusterID,
		"--nats-client-id", "pod-1", "--nats-monitor-url", b.MonitorURL(), "--jwt-key", strings.Repeat("k", 32), "--ops-token", strings.Repeat("t", 32))
	if code != 0 || strings.Contains(out, "✗") || !strings.Contains(out, "takes and confirms messages") || !strings.Contains(out, "keeps its messages in files") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestDoctorNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	inMemory := brokertest.Start(t)
	tests := map[string]struct {
		args []string
		want string
		code int
	}{
		"wrong cluster": {
			[]string{"--nats-url", inMemory.URL(), "--nats-cluster-id", "nonsense"}, "is the cluster id right?", 1,
		},
		"broker away": {[]string{"--nats-url", "nats://127.0.0.1:1", "--nats-cluster-id", "c"}, "no servers available", 1},
		"messages in memory": {
			[]string{"--nats-url", inMemory.URL(), "--nats-cluster-id", brokertest.ClusterID, "--nats-monitor-url", inMemory.MonitorURL()},
			"a restart loses what nobody has read", 0,
		},
		"key from a tutorial": {
			[]string{"--nats-url", inMemory.URL(), "--nats-cluster-id", brokertest.ClusterID, "--jwt-key", "asdf"}, "that everybody knows", 0,
		},
		"key that is short, strictly": { // case 11.7
			[]string{"--nats-url", inMemory.URL(), "--nats-cluster-id", brokertest.ClusterID, "--ops-token", "short", "--strict"}, "OPS_TOKEN is short", 1,
		},
		"data directory under a file": {
			[]string{"--nats-url", inMemory.URL(), "--nats-cluster-id", brokertest.ClusterID, "--data-dir", filepath.Join("doctor.go", "x")},
			"DATA_DIR cannot be made", 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"doctor", "--data-dir", t.TempDir(), "--nats-client-id", "pod-1", "--jwt-key", strings.Repeat("k", 32), "--ops-token", "t"}, tc.args...)
			out, errs, code := output(t, args...)
			if code != tc.code || !strings.Contains(out, tc.want) {
				t.Errorf("exit %d, want %d and %q\n%s%s", code, tc.code, tc.want, out, errs)
			}
		})
	}
}
