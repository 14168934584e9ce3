package mongotest_test

import (
	"os"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/test/mongotest"
)

func TestMain(m *testing.M) { os.Exit(mongotest.Run(m)) }

func TestASharedSetGivesEachTestAFreshDatabase(t *testing.T) {
	t.Parallel()
	s := mongotest.Shared(t)
	a, b := s.Database(t), s.Database(t)
	if a == b {
		t.Errorf("two databases are both %s", a)
	}
	if _, err := s.Client().Database(a).Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
		t.Error(err)
	}
}

// TestMembersObey plays every trouble that the set can make.
func TestMembersObey(t *testing.T) {
	if os.Getenv("LOCKSTEP_CHAOS") == "" {
		t.Skip("three members and their elections take a minute: run `make chaos-mongo`")
	}
	s := mongotest.Start(t, 3)
	first := s.Primary(t)
	other := func(was *mongotest.Member) *mongotest.Member {
		t.Helper()
		began := time.Now()
		for {
			if now := s.Primary(t); now != was {
				t.Logf("new primary after %v", time.Since(began))
				return now
			}
			if time.Since(began) > time.Minute {
				t.Fatal("the primary stays")
			}
		}
	}
	first.StepDown(t)
	second := other(first)
	s.Cut(second)
	third := other(second)
	s.Cut()
	third.Freeze(t)
	fourth := other(third)
	third.Thaw(t)
	fourth.Kill()
	other(fourth)
	fourth.Restart(t)
}
