package mongotest

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// States of members, as replSetGetStatus numbers them.
const (
	statePrimary   = 1
	stateSecondary = 2
)

// Healthy waits until every member is primary or secondary.
func (s *Set) Healthy(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !s.healthy(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the set is not healthy after %v", 2*patience)
		}
	}
}

func (s *Set) healthy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var status struct {
		Members []struct {
			State int `bson:"state"`
		} `bson:"members"`
	}
	if err := s.client.Database("admin").RunCommand(ctx, bson.D{{Key: "replSetGetStatus", Value: 1}}).Decode(&status); err != nil {
		return false // asked of the primary, and there may be none
	}
	primaries := 0
	for _, m := range status.Members {
		switch m.State {
		case statePrimary:
			primaries++
		case stateSecondary:
		default:
			return false
		}
	}
	return primaries == 1
}
