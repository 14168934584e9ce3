package listeners

import (
	"errors"
	"fmt"
	"time"

	"lockstep/event"
)

// acker acknowledges one delivery; *stan.Msg is one.
type acker interface{ Ack() error }

// delivery is a message of the broker, from its arrival until it is
// acknowledged or forgotten. Its lane owns it.
type delivery struct {
	channel  *channel
	sequence uint64
	sentAt   time.Time // the broker's time
	payload  []byte
	ack      acker // the newest copy's

	item   Item
	poison error  // why the message cannot be applied; nil for all others
	reason Reason // of its poison
	key    string // the item's; a name of its own for what has no key

	arrived time.Time
	copies  int  // how often it was delivered to this member
	held    bool // was counted as held
	early   bool // is counted in its channel's window as waiting for something

	// borrowed: a scout read it from the channel. It fills no window and is
	// not acknowledged, unless the group delivers it too.
	borrowed bool
}

// position identifies a message within a generation.
type position struct {
	subject  event.Subject
	sequence uint64
}

func (d *delivery) position() position { return position{d.channel.subject, d.sequence} }

// condemn marks d as a message that cannot be applied, now or ever.
func (d *delivery) condemn(why error) {
	d.poison, d.reason = why, Undecodable
	if p := (*panicError)(nil); errors.As(why, &p) {
		d.reason = Failing
	}
	d.key = fmt.Sprintf("\x00%s\x00%d", d.channel.subject, d.sequence) // no key has a control character
}

// follows reports whether d can only be applied after version.
func (d *delivery) follows(version int64) bool {
	return d.poison == nil && d.item.Predecessor >= version
}

// countEarly counts d in its channel's window, or no more.
func (d *delivery) countEarly(early bool) {
	early = early && !d.borrowed
	if early == d.early {
		return
	}
	d.early = early
	if early {
		d.channel.early.Add(1)
		return
	}
	d.channel.early.Add(-1)
}
