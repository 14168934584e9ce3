package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/test/brokertest"
	"lockstep/test/spawn"
)

// message is what a message of a channel says of its record, and when.
type message struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
	OrderID string `json:"orderId"`
	Ticket  struct {
		ID string `json:"id"`
	} `json:"ticket"`

	subject event.Subject
	at      time.Time // when the broker stored it
}

func (m message) String() string {
	return fmt.Sprintf("%s %s %s:%d order %q ticket %q", m.at.Format("15:04:05.000"), m.subject, m.ID, m.Version, m.OrderID, m.Ticket.ID)
}

// channel returns all messages of a channel, from the first one.
func (s *system) channel(t *testing.T, subject event.Subject) (all []message) {
	t.Helper()
	last := s.last(t, subject)
	if last == 0 {
		return nil
	}
	conn, err := stan.Connect(brokertest.ClusterID, "reader-"+objectid.New(), stan.NatsURL(s.broker.URL()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	done := make(chan struct{})
	_, err = conn.Subscribe(string(subject), func(m *stan.Msg) {
		said := message{subject: subject, at: time.Unix(0, m.Timestamp)}
		_ = json.Unmarshal(m.Data, &said) // all of them are sent by our services and Node's
		if m.Sequence <= last {
			all = append(all, said)
		}
		if m.Sequence == last {
			close(done)
		}
	}, stan.DeliverAllAvailable())
	if err != nil {
		t.Fatal(err)
	}
	<-done
	return all
}

// last returns the number of a channel's last message, 0 if it has none.
func (s *system) last(t *testing.T, subject event.Subject) uint64 {
	t.Helper()
	var channel struct {
		LastSeq uint64 `json:"last_seq"`
	}
	spawn.Until(t, "the broker's monitor answers", func() bool {
		status, raw, err := try(t.Context(), "", http.MethodGet, s.broker.MonitorURL()+"/streaming/channelsz?channel="+string(subject), nil)
		return err == nil && (status == http.StatusNotFound || json.Unmarshal(raw, &channel) == nil)
	})
	return channel.LastSeq
}

// announced returns how often each version of each record was announced.
func announced(all ...[]message) map[string]map[int64]int {
	sum := map[string]map[int64]int{}
	for _, channel := range all {
		for _, m := range channel {
			if sum[m.ID] == nil {
				sum[m.ID] = map[int64]int{}
			}
			sum[m.ID][m.Version]++
		}
	}
	return sum
}
