package session

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
)

func TestEveryPublishHasExactlyOneAnswer(t *testing.T) {
	t.Parallel()
	f := newFlight()
	var got []error
	id, ok := f.add(func(err error) { got = append(got, err) })
	if !ok {
		t.Fatal("no room for the first publish")
	}
	f.giveUp(ErrInterrupted)
	f.settle(id, nil) // the library's answer comes late
	f.giveUp(ErrInterrupted)
	if len(got) != 1 || !errors.Is(got[0], ErrInterrupted) {
		t.Errorf("answers %v, want ErrInterrupted once", got)
	}
}

// The client library blocks without end when it holds its maximum. An answer
// given up early still counts there.
func TestPublishesAreRefusedBeforeTheLibraryBlocks(t *testing.T) {
	t.Parallel()
	f := newFlight()
	var last uint64
	for range maxUnconfirmed {
		id, ok := f.add(func(error) {})
		if !ok {
			t.Fatalf("refused after %d, want room for %d", last, maxUnconfirmed)
		}
		last = id
	}
	f.giveUp(ErrInterrupted)
	if _, ok := f.add(func(error) {}); ok {
		t.Fatal("accepted one that the library would block on")
	}
	f.settle(last, nil)
	if _, ok := f.add(func(error) {}); !ok {
		t.Error("refused although the library has room again")
	}
}

// The link may break between the look at it and the sending.
func TestWhatTheLibraryDidNotSendIsToldApartFromWhatItMayHaveSent(t *testing.T) {
	t.Parallel()
	for err, nothingSent := range map[error]bool{
		nats.ErrReconnectBufExceeded: true,
		nats.ErrConnectionClosed:     true,
		stan.ErrConnectionClosed:     false,
		nats.ErrMaxPayload:           false, // and judged as what it is
	} {
		got := unsent(err)
		if !errors.Is(got, err) || errors.Is(got, ErrUnavailable) != nothingSent {
			t.Errorf("%v became %v", err, got)
		}
	}
}
