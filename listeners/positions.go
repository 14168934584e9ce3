package listeners

import (
	"context"
	"errors"
	"fmt"

	"lockstep/event"
)

// Position is how far a queue group has come in a channel.
type Position struct {
	Channel event.Subject `json:"channel"`
	Group   string        `json:"group"`
	Mark    uint64        `json:"mark"`  // every message up to it was seen, as stored
	Lost    uint64        `json:"lost"`  // messages that were found to be lost, since the store began
	First   uint64        `json:"first"` // oldest message that the broker keeps; 0 if it was not asked
	Last    uint64        `json:"last"`  // newest message; 0 if it was not asked
	Lag     *uint64       `json:"lag"`   // messages that are still to be acknowledged; nil if nobody knows
}

// Positions returns where a group stands in its channels. Without a monitor
// the broker's side stays unknown. With an error the positions are those that could
// be had.
func Positions(ctx context.Context, marks Marks, m *Monitor, group string, channels []event.Subject) ([]Position, error) {
	var positions []Position
	var errs []error
	for _, c := range channels {
		mark, err := marks.Mark(ctx, group, c)
		if err != nil {
			errs = append(errs, fmt.Errorf("mark of %s: %w", c, err))
			continue
		}
		p := Position{Channel: c, Group: group, Mark: mark.Sequence, Lost: mark.Lost}
		if m != nil {
			info, err := m.ChannelInfo(ctx, c)
			if err != nil {
				errs = append(errs, err)
			} else {
				lag := info.Lag(group)
				p.First, p.Last, p.Lag = info.FirstSeq, info.LastSeq, &lag
			}
		}
		positions = append(positions, p)
	}
	return positions, errors.Join(errs...)
}
