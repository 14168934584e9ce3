package listeners

import (
	"errors"
	"time"

	"lockstep/event"
)

// settled is what the verdicts on a batch lead to.
type settled struct {
	done     []*delivery      // durable: to be acknowledged, or removed from quarantine
	advanced map[string]int64 // keys that got on, with the version they reached
	wanted   []want           // keys that wait and should be announced to peers
	hot      []want           // keys that many messages wait for
	failed   error            // one of the errors, if there were any
}

// settle files a batch by its verdicts.
func (l *lane) settle(batch []*delivery, verdicts []Verdict, now time.Time) settled {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := settled{advanced: map[string]int64{}}
	looked := map[string]*waiting{}
	for i, d := range batch {
		v := verdicts[i]
		switch {
		case v.Err == nil && v.Outcome != event.Early:
			l.drop(d)
			s.finish(d)
		case d.entry != "": // it is safe where it is, and looked at again from there
			l.drop(d)
		case hopeless(v.Err) && d.poison == nil:
			d.condemn(v.Err)
			l.arrived = append(l.arrived, d)
		default:
			if v.Err != nil {
				s.failed = v.Err
				d.channel.count.failed.Inc()
			}
			looked[d.key] = l.wait(d)
			looked[d.key].looked(v.Err, l.succeeded, now)
		}
	}
	for key, w := range looked {
		w.postpone(now, l.maxFailedPause)
		if w.failed == nil {
			s.note(key, w, now)
		}
	}
	l.tidy(batch, s.advanced, now)
	return s
}

// drop forgets d, which is finished here.
func (l *lane) drop(d *delivery) {
	delete(l.known, d.position())
	if d.entry != "" {
		l.recalled--
	}
}

// hopeless reports whether an item is not worth another try.
func hopeless(err error) bool {
	var p *panicError
	return errors.Is(err, event.ErrInvalid) || errors.As(err, &p)
}

// finish files d as durable.
func (s *settled) finish(d *delivery) {
	s.done = append(s.done, d)
	if d.poison != nil {
		return
	}
	if reached, ok := s.advanced[d.key]; !ok || reached < d.item.Version {
		s.advanced[d.key] = d.item.Version
	}
}

// note files what there is to tell of a key that waits.
func (s *settled) note(key string, w *waiting, now time.Time) {
	say := want{Key: key, Waiting: len(w.deliveries)}
	hot := say.Waiting >= hotKey
	if hot {
		s.hot = append(s.hot, say)
	}
	if now.Sub(w.announced) >= announceEvery || hot && !w.hot {
		w.announced = now
		s.wanted = append(s.wanted, say)
	}
	w.hot = hot
}

// wait files d as one that cannot be applied yet.
func (l *lane) wait(d *delivery) *waiting {
	w := l.waiting[d.key]
	if w == nil {
		w = &waiting{}
		l.waiting[d.key] = w
	}
	l.hold(w, d)
	return w
}

// tidy drops what waits for nothing any more, and looks at once again at keys
// that got on.
func (l *lane) tidy(batch []*delivery, advanced map[string]int64, now time.Time) {
	if len(advanced) > 0 {
		l.succeeded = now
	}
	for _, d := range batch {
		w := l.waiting[d.key]
		if w == nil {
			continue
		}
		if len(w.deliveries) == 0 {
			delete(l.waiting, d.key)
			continue
		}
		if _, ok := advanced[d.key]; ok {
			w.hurry()
		}
	}
}
