package ticket_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/ticket"
)

func TestCreateAndUpdateAnnounceWhatWasStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t)
	b, err := f.Update(t.Context(), a.ID, "ann", ticket.Draft{Title: "c2", Price: 30})
	if err != nil {
		t.Fatal(err)
	}
	if b.Version != 1 || b.Title != "c2" || b.Price != 30 || b.UserID != "ann" {
		t.Errorf("updated ticket = %+v", b)
	}
	records := f.events(t, a.ID)
	want := []string{
		`ticket:created {"id":"` + a.ID + `","title":"concert","price":20.5,"userId":"ann","version":0}`,
		`ticket:updated {"id":"` + a.ID + `","title":"c2","price":30,"userId":"ann","version":1}`,
	}
	var got []string
	for _, r := range records {
		got = append(got, string(r.Subject)+" "+string(r.Payload))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if _, err := f.Update(t.Context(), a.ID, "ann", ticket.Draft{Title: "c2", Price: 30}); err != nil {
		t.Fatal(err)
	}
	f.want(t, a.ID, "", 2) // the same values again are a change too
}

func TestEditsThatAreRefusedChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	free, held, gone := f.create(t), f.create(t), f.create(t)
	f.lock(t, "o1", held.ID)
	if err := f.Delete(t.Context(), gone.ID, "ann"); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		id, user string
		want     error
	}{
		"unknown":                     {"6b0300000000000000000001", "ann", ticket.ErrNotFound},
		"deleted":                     {gone.ID, "ann", ticket.ErrNotFound},
		"somebody else's":             {free.ID, "bob", ticket.ErrNotOwner},
		"held":                        {held.ID, "ann", ticket.ErrReserved},
		"held and somebody else's":    {held.ID, "bob", ticket.ErrNotOwner},
		"deleted and somebody else's": {gone.ID, "bob", ticket.ErrNotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := f.Update(t.Context(), tc.id, tc.user, ticket.Draft{Title: "x", Price: 1}); !errors.Is(err, tc.want) {
				t.Errorf("Update: %v, want %v", err, tc.want)
			}
			if err := f.Delete(t.Context(), tc.id, tc.user); !errors.Is(err, tc.want) {
				t.Errorf("Delete: %v, want %v", err, tc.want)
			}
		})
	}
	f.want(t, free.ID, "", 0)
	f.want(t, held.ID, "o1", 1)
}

func TestDeleteLeavesATombstoneAndAnEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t)
	if err := f.Delete(t.Context(), a.ID, "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Ticket(t.Context(), a.ID); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("deleted ticket: %v, want not found", err)
	}
	for range f.Free(t.Context()) {
		t.Error("the deleted ticket is listed")
	}
	records := f.events(t, a.ID)
	if got, want := string(records[1].Payload), `{"id":"`+a.ID+`","title":"concert","price":20.5,"userId":"ann","version":1}`; records[1].Subject != event.TicketDeleted || got != want {
		t.Errorf("event = %s %s, want ticket:deleted %s", records[1].Subject, got, want)
	}
	if got := f.lock(t, "o1", a.ID); got != event.Applied || f.state(t, "o1") != ticket.Waiting {
		t.Errorf("order of a deleted ticket: %v %s, want recorded as waiting", got, f.state(t, "o1"))
	}
}
