package listeners

import (
	"errors"
	"fmt"
	"time"
)

// acker acknowledges one delivery; *stan.Msg is one.
type acker interface{ Ack() error }

// delivery is a message on its way through a lane, from the broker or from
// quarantine, until it is durable or forgotten. Its lane owns it.
type delivery struct {
	channel  *channel
	sequence uint64
	sentAt   time.Time // the broker's time
	payload  []byte
	ack      acker // the newest copy's

	item   Item
	poison error  // why the message cannot be applied; nil for all others
	reason Reason // why it is set aside, if it is
	detail string // the same as a sentence
	key    string // the item's; a name of its own for what has no key

	arrived time.Time
	copies  int  // how often it was delivered to this member
	held    bool // was counted as held
	waiting bool // is counted in its channel as held now

	// entry is its id in quarantine, where it stays until it is applied; "" of
	// a message that is not there. The broker wants no acknowledgement of it.
	entry string
	reply chan<- Verdict // takes the verdict for the operator; nil if nobody asked
}

// position identifies a delivery within a generation.
type position struct {
	channel  *channel
	sequence uint64
	entry    string
}

func (d *delivery) position() position {
	if d.entry != "" {
		return position{entry: d.entry}
	}
	return position{channel: d.channel, sequence: d.sequence}
}

// condemn marks d as a message that cannot be applied, now or ever.
func (d *delivery) condemn(why error) {
	d.poison, d.reason, d.detail = why, Undecodable, why.Error()
	if p := (*panicError)(nil); errors.As(why, &p) {
		d.reason = Failing
	}
	d.key = fmt.Sprintf("\x00%s\x00%d", d.channel.subject, d.sequence) // no key has a control character
}

// follows reports whether d can only be applied after version.
func (d *delivery) follows(version int64) bool {
	return d.poison == nil && d.item.Predecessor >= version
}

// count counts d in its channel as held, or no more.
func (d *delivery) count(waiting bool) {
	if waiting == d.waiting {
		return
	}
	d.waiting = waiting
	if waiting {
		d.channel.waiting.Add(1)
		d.channel.bytes.Add(int64(len(d.payload)))
		return
	}
	d.channel.waiting.Add(-1)
	d.channel.bytes.Add(-int64(len(d.payload)))
}
