package mongotest

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Member is one server of a set that was started here.
type Member struct {
	Address string // under which the set and its clients know it

	set     *Set
	path    string
	dir     string
	port    int
	args    []string // beside those that all servers get
	link    *link    // nil in a set of one
	process *process
}

func (m *Member) direct() string { return fmt.Sprintf("127.0.0.1:%d", m.port) }

func (m *Member) start() (err error) {
	m.process, err = launch(m.path, m.dir, m.port, setName, m.args...)
	return err
}

func (m *Member) stop() error {
	if m.process != nil {
		m.process.Kill()
	}
	if m.link != nil {
		return m.link.close()
	}
	return nil
}

// Kill ends the member as kill -9 does.
func (m *Member) Kill() { m.process.Kill() }

// Restart starts a member that was killed, on the data it had.
func (m *Member) Restart(t testing.TB) {
	t.Helper()
	if err := m.start(); err != nil {
		t.Fatalf("restart member %s: %v", m.Address, err)
	}
}

// Freeze stops the member in its tracks: its connections stay open and silent.
func (m *Member) Freeze(t testing.TB) {
	t.Helper()
	if err := m.process.Freeze(); err != nil {
		t.Fatalf("freeze member %s: %v", m.Address, err)
	}
}

// Thaw lets a frozen member go on.
func (m *Member) Thaw(t testing.TB) {
	t.Helper()
	if err := m.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatalf("thaw member %s: %v", m.Address, err)
	}
}

// StepDown makes the primary give way to another member.
func (m *Member) StepDown(t testing.TB) {
	t.Helper()
	command := bson.D{{Key: "replSetStepDown", Value: 10}, {Key: "secondaryCatchUpPeriodSecs", Value: 5}}
	if err := m.admin(t.Context(), command, nil); err != nil {
		t.Fatalf("step member %s down: %v", m.Address, err)
	}
}

// answers waits until the member can be asked.
func (m *Member) answers(ctx context.Context) error {
	return m.admin(ctx, bson.D{{Key: "hello", Value: 1}}, nil)
}

// admin runs a command on this very member, past the link, as soon as the
// member answers.
func (m *Member) admin(ctx context.Context, command bson.D, reply any) error {
	o := options.Client().ApplyURI("mongodb://" + m.direct() + "/?directConnection=true").SetTimeout(patience)
	client, err := mongo.Connect(o)
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }() // nothing waits on it
	result := client.Database("admin").RunCommand(ctx, command)
	if reply == nil {
		return result.Err()
	}
	return result.Decode(reply)
}

// Cut separates the members from the rest of the set. Clients still reach
// everybody. No arguments heal the set.
func (s *Set) Cut(members ...*Member) {
	s.mu.Lock()
	s.cut = map[*Member]bool{}
	for _, m := range members {
		s.cut[m] = true
	}
	s.mu.Unlock()
	for _, m := range s.Members {
		m.link.cut()
	}
}

// refuses reports whether caller is a member on the other side of a cut.
func (s *Set) refuses(called *Member, caller net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cut) == 0 {
		return false
	}
	for _, m := range s.Members {
		if m != called && s.cut[m] != s.cut[called] && m.process != nil && owns(m.process.PID(), caller, called.link.listener.Addr()) {
			return true
		}
	}
	return false
}

// Primary waits until the set has a primary that a majority follows, and
// returns it. Members that do not answer within a second are not asked.
func (s *Set) Primary(t testing.TB) *Member {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if m := s.primary(ctx); m != nil {
			return m
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			for _, m := range s.Members {
				t.Logf("member %s:\n%s", m.Address, m.process.tail())
			}
			t.Fatalf("the set has no primary after %v", patience)
		}
	}
}

func (s *Set) primary(ctx context.Context) *Member {
	hello := bson.D{{Key: "hello", Value: 1}}
	for _, m := range s.Members {
		var reply struct {
			Primary bool `bson:"isWritablePrimary"`
		}
		asked, cancel := context.WithTimeout(ctx, time.Second)
		err := m.admin(asked, hello, &reply)
		cancel()
		if err == nil && reply.Primary && !s.isCut(m) {
			return m
		}
	}
	return nil
}

func (s *Set) isCut(m *Member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut[m]
}
