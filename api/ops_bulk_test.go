package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/event"
	"lockstep/listeners"
)

const quarantinePath = "/ops/replica/quarantine"

// fill puts n messages into quarantine, of key k0, k1 and so on, an hour old.
func (f *fixture) fill(t *testing.T, reason listeners.Reason, n int) {
	t.Helper()
	messages := make([]listeners.Quarantined, n)
	for i := range messages {
		messages[i] = listeners.Quarantined{
			ID: fmt.Sprintf("%s-%04d", reason, i), Group: listeners.OrdersService, Subject: event.TicketUpdated,
			Key: fmt.Sprint("k", i), Reason: reason, At: noon.Add(-time.Hour),
		}
	}
	if err := f.db.Quarantine().Put(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}

// Case 11.5: what is chosen is discarded in batches of a bounded size, each of
// which says how many it were and where to go on.
func TestOpsDiscardsInBatches(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	f, h := newOps(t, func(o *OpsOptions) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	f.fill(t, listeners.Undecodable, bulkPage+5)
	f.fill(t, listeners.TooEarly, 3)
	const chosen = quarantinePath + "/discard?reason=undecodable&subject=ticket:updated&service=tickets"
	last := fmt.Sprintf("undecodable-%04d", bulkPage-1)
	want(t, local(t, h, http.MethodPost, chosen), 200, fmt.Sprintf(`{"discarded":%d,"next":%q}`, bulkPage, last))
	want(t, local(t, h, http.MethodPost, chosen+"&after="+last), 200, `{"discarded":5}`)
	want(t, local(t, h, http.MethodPost, chosen), 200, `{"discarded":0}`)
	if said := log.String(); strings.Count(said, "level=WARN") != 2 || !strings.Contains(said, "discarded=5") || !strings.Contains(said, "reason=undecodable") {
		t.Errorf("the log does not tell each batch and what chose it:\n%s", said)
	}
	if n, err := f.db.Quarantine().Count(t.Context()); n != 3 || err != nil {
		t.Errorf("%d are left, %v, want those of another reason", n, err)
	}
}

// Case 11.5.
func TestOpsChoosesByReasonSubjectKeyAndAge(t *testing.T) {
	t.Parallel()
	for query, left := range map[string]int{
		"reason=too_early": 3, "reason=failing": 6, "subject=ticket:updated": 0, "subject=order:created": 6,
		"key=k1": 4, "olderThan=30m": 0, "olderThan=2h": 6, "reason=too_early&key=k0": 5, "all=true": 0,
	} {
		f, h := newOps(t, func(o *OpsOptions) { o.Now = func() time.Time { return noon } })
		f.fill(t, listeners.Undecodable, 3)
		f.fill(t, listeners.TooEarly, 3)
		if query != "all=true" {
			got := local(t, h, http.MethodGet, quarantinePath+"?"+query)
			if n := strings.Count(got.body, `"id"`); got.status != 200 || n != 6-left {
				t.Errorf("list of %s has %d, want %d", query, n, 6-left)
			}
		}
		want(t, local(t, h, http.MethodPost, quarantinePath+"/discard?"+query), 200, fmt.Sprintf(`{"discarded":%d}`, 6-left))
		if n, err := f.db.Quarantine().Count(t.Context()); n != left || err != nil {
			t.Errorf("discard of %s leaves %d, %v, want %d", query, n, err, left)
		}
	}
}

// Case 11.5: what is not said clearly discards nothing.
func TestOpsWantsToKnowWhatToDiscard(t *testing.T) {
	t.Parallel()
	f, h := newOps(t, nil)
	f.fill(t, listeners.TooEarly, 2)
	for query, why := range map[string]string{
		"":                             "choose messages by reason, subject, key or olderThan, or all of them by all=true",
		"service=tickets":              "choose messages by reason",
		"all=yes":                      "choose messages by reason",
		"all=false&reason=too_early":   "choose messages by reason",
		"all=true&reason=too_early":    "choose messages by reason",
		"reason=":                      "reason must be given once and not be empty",
		"reason=too_early&key=":        "key must be given once and not be empty",
		"key=a&key=b":                  "key must be given once",
		"reason=early":                 `reason: \"early\" is not undecodable, too_early or failing`,
		"reason=too_early&olderthan=1": "olderthan is not known here",
		"olderThan=1":                  "olderThan: time: missing unit",
		"olderThan=-1h":                "olderThan: -1h0m0s is not above 0",
	} {
		for _, what := range []string{"discard", "retry"} {
			got := local(t, h, http.MethodPost, quarantinePath+"/"+what+"?"+query)
			if got.status != 400 || !strings.Contains(got.body, why) {
				t.Errorf("%s of %q = %d %s, want %q", what, query, got.status, got.body, why)
			}
		}
	}
	if n, err := f.db.Quarantine().Count(t.Context()); n != 2 || err != nil {
		t.Errorf("%d are left, %v, want all", n, err)
	}
}

// Case 11.5.
func TestOpsRetriesManyAndSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	f, h := newOps(t, nil)
	f.fill(t, listeners.TooEarly, bulkPage+1)
	last := fmt.Sprintf("too_early-%04d", bulkPage-1)
	const path = quarantinePath + "/retry?reason=too_early"
	got := local(t, h, http.MethodPost, path)
	if want := fmt.Sprintf(`{"retried":0,"left":%d,"why":"retry message too_early-`, bulkPage); !strings.HasPrefix(got.body, want) ||
		!strings.HasSuffix(got.body, fmt.Sprintf(`its predecessor is still missing","next":%q}`, last)) {
		t.Errorf("retry = %s, want %s…", got.body, want)
	}
	want(t, local(t, h, http.MethodPost, path+"&after="+last), 200,
		fmt.Sprintf(`{"retried":0,"left":1,"why":"retry message too_early-%04d: its predecessor is still missing"}`, bulkPage))
}

// slow is a listener that takes its time to apply what it set aside.
type slow struct{ shelf }

func (slow) Retry(context.Context, string) error {
	time.Sleep(time.Second) // of a test's clock
	return nil
}

// Case 11.13: many are applied in steps that each end in time, whatever the store
// takes for one.
func TestOpsAppliesAsManyAsItCanInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, h := newOps(t, func(o *OpsOptions) { o.Services[0].Listeners = []Listener{slow{}} })
		f.fill(t, listeners.TooEarly, bulkPage)
		began := time.Now()
		got := local(t, h, http.MethodPost, quarantinePath+"/retry?reason=too_early")
		var sum retried
		if err := json.Unmarshal([]byte(got.body), &sum); err != nil || got.status != 200 {
			t.Fatalf("%d %s, %v", got.status, got.body, err)
		}
		if sum.Retried == 0 || sum.Retried%bulkRetries != 0 || sum.Retried == bulkPage || time.Since(began) > answerWithin {
			t.Errorf("%d applied in %v, want some of %d in time", sum.Retried, time.Since(began), bulkPage)
		}
		if want := fmt.Sprintf("too_early-%04d", sum.Retried-1); sum.Next != want {
			t.Errorf("it goes on behind %q, want %q", sum.Next, want)
		}
	})
}
