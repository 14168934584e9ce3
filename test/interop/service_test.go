package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"lockstep/test/brokertest"
	"lockstep/test/spawn"
)

// service is one of the services as a process, ours or Node's.
type service struct {
	spawn.Service
	ours     bool
	url, ops string // of the API; of the ops port, "" for Node's
}

// newService returns a service on a database that is not started yet.
func newService(t *testing.T, ours bool, name, uri string, b *brokertest.Broker) *service {
	t.Helper()
	a := spawn.Addresses(t, 2)
	s := &service{ours: ours, url: "http://" + a[0]}
	s.Env = []string{
		"MONGO_URI=" + uri, "NATS_URL=" + b.URL(), "NATS_CLUSTER_ID=" + brokertest.ClusterID, "NATS_CLIENT_ID=" + name + "-depl-1",
		"JWT_KEY=" + jwtKey,
	}
	if ours {
		s.ops = "http://" + a[1]
		s.Name, s.Args, s.Ready = "our "+name, []string{name}, s.ops+"/readyz"
		s.Env = append(s.Env, strings.ToUpper(name)+"_ADDR="+a[0], "OPS_ADDR="+a[1])
		return s
	}
	needNode(t)
	s.Name, s.Program, s.Ready = "Node's "+name, "node", s.url+"/ready"
	s.Args = []string{"--unhandled-rejections=warn", filepath.Join("node", "services", name+".js")}
	_, port, _ := strings.Cut(a[0], ":")
	s.Env = append(s.Env, "PORT="+port)
	return s
}

// owner returns where the other service asks for what this one owns.
func (s *service) owner() string {
	if s.ours {
		return s.ops
	}
	return s.url
}

// start starts the service until the test ends, with more settings.
func (s *service) start(t *testing.T, env ...string) {
	t.Helper()
	s.Env = append(s.Env, env...)
	s.Start(t)
	t.Cleanup(s.Kill) // before its database is dropped
}

func said(s *service, words string) bool { return strings.Contains(s.Output(), words) }
