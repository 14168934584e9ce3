package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/replica"
)

// Case 11.4: a million forged tickets make a comparison long. It is not begun
// again as soon as it has ended; one that fails is, and one that is asked for.
func TestAComparisonThatTakesLongIsMadeSeldom(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		took       time.Duration
		failing    bool
		asked      bool
		from, upTo int // comparisons in two hours
	}{
		"short ones":              {took: time.Second, from: 10, upTo: 13},
		"long ones":               {took: 5 * time.Minute, from: 2, upTo: 3},
		"long ones that fail":     {took: 5 * time.Minute, failing: true, from: 15, upTo: 24},
		"a long one, and another": {took: 5 * time.Minute, asked: true, from: 3, upTo: 4},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				defer cancel()
				n := 0
				var m *mending
				m = newMending("replica", 10*time.Minute, slog.New(slog.DiscardHandler), func(ctx context.Context, _ replica.Cause) error {
					n++
					if tt.asked && n == 1 {
						m.want()
					}
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(tt.took):
					}
					if tt.failing {
						return errors.New("the owner is away")
					}
					return nil
				})
				if err := m.run(ctx); err != nil {
					t.Fatal(err)
				}
				if n < tt.from || n > tt.upTo {
					t.Errorf("%d comparisons in two hours, want %d to %d", n, tt.from, tt.upTo)
				}
			})
		})
	}
}
