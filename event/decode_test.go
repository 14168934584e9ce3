package event_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep/event"
)

// TestDecodeTicketRefusesWhatBreaksTheContract, and what the owner's API would
// not take. Case 11.6.
func TestDecodeTicketRefusesWhatBreaksTheContract(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		subject event.Subject
		payload string
	}{
		"not JSON":                        {event.TicketUpdated, `{`},
		"empty":                           {event.TicketUpdated, ``},
		"null":                            {event.TicketUpdated, `null`},
		"an array":                        {event.TicketUpdated, `[]`},
		"a string":                        {event.TicketUpdated, `"x"`},
		"trailing data":                   {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":1}{}`},
		"not UTF-8":                       {event.TicketUpdated, "{\"id\":\"a\",\"title\":\"\xff\",\"price\":1,\"version\":1}"},
		"title with a NUL":                {event.TicketUpdated, `{"id":"a","title":"a\u0000b","price":1,"version":1}`},
		"no id":                           {event.TicketUpdated, `{"title":"t","price":1,"version":1}`},
		"empty id":                        {event.TicketUpdated, `{"id":"","title":"t","price":1,"version":1}`},
		"id with a line break":            {event.TicketUpdated, `{"id":"a\nb","title":"t","price":1,"version":1}`},
		"id with a space of its own":      {event.TicketUpdated, `{"id":"a\u00a0b","title":"t","price":1,"version":1}`},
		"id that steers a terminal":       {event.TicketUpdated, `{"id":"a\u009b2J","title":"t","price":1,"version":1}`},
		"id that turns a line around":     {event.TicketUpdated, `{"id":"\u202ea","title":"t","price":1,"version":1}`},
		"id with nothing that is seen":    {event.TicketUpdated, `{"id":"\u200b","title":"t","price":1,"version":1}`},
		"id that was no text":             {event.TicketUpdated, `{"id":"a\ud800","title":"t","price":1,"version":1}`}, // as any other lone surrogate
		"id of 129 bytes":                 {event.TicketUpdated, `{"id":"` + strings.Repeat("a", 129) + `","title":"t","price":1,"version":1}`},
		"number as id":                    {event.TicketUpdated, `{"id":7,"title":"t","price":1,"version":1}`},
		"no version":                      {event.TicketUpdated, `{"id":"a","title":"t","price":1}`},
		"negative version":                {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":-1}`},
		"fractional version":              {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":1.5}`},
		"version as string":               {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":"1"}`},
		"version over 63 bits":            {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":9223372036854775808}`},
		"null version":                    {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":null}`},
		"update with version 0":           {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":0}`},
		"creation with version 1":         {event.TicketCreated, `{"id":"a","title":"t","price":1,"version":1}`},
		"keys in another case":            {event.TicketUpdated, `{"ID":"a","Title":"t","Price":1,"Version":1}`},
		"no title":                        {event.TicketUpdated, `{"id":"a","price":1,"version":1}`},
		"number as title":                 {event.TicketUpdated, `{"id":"a","title":1,"price":1,"version":1}`},
		"no price":                        {event.TicketUpdated, `{"id":"a","title":"t","version":1}`},
		"string as price":                 {event.TicketUpdated, `{"id":"a","title":"t","price":"1","version":1}`},
		"price beyond a double":           {event.TicketUpdated, `{"id":"a","title":"t","price":1e999,"version":1}`},
		"number as orderId":               {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":1,"orderId":3}`},
		"previousVersion above version":   {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":5,"previousVersion":5}`},
		"previousVersion not a number":    {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":5,"previousVersion":"4"}`},
		"deletion of the first version":   {event.TicketDeleted, `{"id":"a","version":0}`},
		"version above 2^53":              {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":9007199254740993}`},
		"the highest of all versions":     {event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":9223372036854775807,"previousVersion":0}`},
		"deletion above 2^53":             {event.TicketDeleted, `{"id":"a","version":9007199254740993}`},
		"price of 0":                      {event.TicketUpdated, `{"id":"a","title":"t","price":0,"version":1}`},
		"price below 0":                   {event.TicketUpdated, `{"id":"a","title":"t","price":-5,"version":1}`},
		"price that is no number":         {event.TicketUpdated, `{"id":"a","title":"t","price":NaN,"version":1}`},
		"empty title":                     {event.TicketUpdated, `{"id":"a","title":"","price":1,"version":1}`},
		"title of 100 KiB and a byte":     {event.TicketUpdated, `{"id":"a","title":"` + strings.Repeat("a", 100<<10+1) + `","price":1,"version":1}`},
		"object where a string should be": {event.TicketUpdated, `{"id":{"$gt":""},"title":"t","price":1,"version":1}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Scheme{}.DecodeTicket(tc.subject, []byte(tc.payload))
			if !errors.Is(err, event.ErrInvalid) {
				t.Fatalf("DecodeTicket(%s) = %+v, %v, want ErrInvalid", tc.payload, got, err)
			}
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("error has more than one line: %q", err)
			}
		})
	}
}

func TestDecodeTicketIsLenientWhereTheBusIs(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string]string{
		"unknown fields":        `{"id":"a","title":"t","price":1,"version":1,"__v":3,"extra":{"x":[1]}}`,
		"orderId null":          `{"id":"a","title":"t","price":1,"version":1,"orderId":null}`,
		"no userId":             `{"id":"a","title":"t","price":1,"version":1}`,
		"userId is a number":    `{"id":"a","title":"t","price":1,"version":1,"userId":7}`, // case 9.8
		"userId is blank":       `{"id":"a","title":"t","price":1,"version":1,"userId":" "}`,
		"userId is long":        `{"id":"a","title":"t","price":1,"version":1,"userId":"` + strings.Repeat("u", 2000) + `"}`,
		"a blank title":         `{"id":"a","title":" ","price":1,"version":1}`, // the owner takes it
		"the smallest price":    `{"id":"a","title":"t","price":5e-324,"version":1}`,
		"a long title":          `{"id":"a","title":"` + strings.Repeat("a", 100<<10) + `","price":1,"version":1}`,
		"white space around it": " \n{\"id\":\"a\",\"title\":\"t\",\"price\":1,\"version\":1}\n",
		"the last of two keys":  `{"id":"z","id":"a","title":"t","price":1,"version":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Scheme{}.DecodeTicket(event.TicketUpdated, []byte(payload))
			if err != nil {
				t.Fatalf("DecodeTicket: %v", err)
			}
			if got.ID != "a" || got.Version != 1 || got.Predecessor != 0 || got.OrderID != "" {
				t.Errorf("got %+v, want ticket a, version 1 on 0, free", got)
			}
		})
	}
}

func TestSchemesOfOtherPublishers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		step    int64
		subject event.Subject
		payload string
		want    int64
	}{
		"step 100":                           {100, event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":300}`, 200},
		"step 100, deletion":                 {100, event.TicketDeleted, `{"id":"a","version":400}`, 300},
		"timestamps, first":                  {0, event.TicketCreated, `{"id":"a","title":"t","price":1,"version":1763863081630,"previousVersion":null}`, event.None},
		"timestamps, next":                   {0, event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":1763863099999,"previousVersion":1763863081630}`, 1763863081630},
		"previousVersion wins over a step":   {100, event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":301,"previousVersion":7}`, 7},
		"an update that is a record's first": {0, event.TicketUpdated, `{"id":"a","title":"t","price":1,"version":9,"previousVersion":null}`, event.None},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Scheme{Step: tc.step}.DecodeTicket(tc.subject, []byte(tc.payload))
			if err != nil {
				t.Fatalf("DecodeTicket: %v", err)
			}
			if got.Predecessor != tc.want {
				t.Errorf("predecessor = %d, want %d", got.Predecessor, tc.want)
			}
		})
	}
	if _, err := (event.Scheme{Step: 100}).DecodeTicket(event.TicketUpdated, []byte(`{"id":"a","title":"t","price":1,"version":50}`)); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("version 50 at a step of 100: error %v, want ErrInvalid", err)
	}
}

func TestDecodeOrderEventsRefuseWhatBreaksTheContract(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string]string{
		"negative version":   `{"id":"o","version":-1,"ticket":{"id":"a","price":1}}`,
		"no version":         `{"id":"o","ticket":{"id":"a","price":1}}`,
		"version above 2^53": `{"id":"o","version":9007199254740993,"ticket":{"id":"a","price":1}}`,
		"id of 129 bytes":    `{"id":"` + strings.Repeat("o", 129) + `","version":1,"ticket":{"id":"a","price":1}}`,
		"no id":              `{"version":1,"ticket":{"id":"a","price":1}}`,
		"no ticket":          `{"id":"o","version":1}`,
		"null ticket":        `{"id":"o","version":1,"ticket":null}`,
		"ticket without id":  `{"id":"o","version":1,"ticket":{}}`,
		"ticket as a string": `{"id":"o","version":1,"ticket":"a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := event.DecodeReserved([]byte(payload)); !errors.Is(err, event.ErrInvalid) {
				t.Errorf("DecodeReserved = %+v, %v, want ErrInvalid", got, err)
			}
			if got, err := event.DecodeCancelled([]byte(payload)); !errors.Is(err, event.ErrInvalid) {
				t.Errorf("DecodeCancelled = %+v, %v, want ErrInvalid", got, err)
			}
		})
	}
}

// TestWhatAConsumerDoesNotUseIsNoReasonToRefuse. Case 9.8.
func TestWhatAConsumerDoesNotUseIsNoReasonToRefuse(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]string{
		"nothing else":         ``,
		"null":                 `,"expiresAt":null,"userId":null,"status":null`,
		"an odd expiresAt":     `,"expiresAt":"tomorrow"`,
		"a number expiresAt":   `,"expiresAt":1795000000000`,
		"an object expiresAt":  `,"expiresAt":{"$date":"2026-11-23T01:58:01.630Z"}`,
		"a number userId":      `,"userId":7`,
		"an odd status":        `,"status":{"a":[1]}`,
		"a string price":       `,"ticket":{"id":"a","price":"20.5"}`,
		"a price that is null": `,"ticket":{"id":"a","price":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := []byte(`{"id":"o","version":3,"ticket":{"id":"a"}` + rest + `}`)
			if got, err := event.DecodeReserved(payload); err != nil || got.OrderID != "o" || got.Version != 3 || got.TicketID != "a" {
				t.Errorf("DecodeReserved(%s) = %+v, %v", payload, got, err)
			}
			if got, err := event.DecodeCancelled(payload); err != nil || got.OrderID != "o" || got.Version != 3 || got.TicketID != "a" {
				t.Errorf("DecodeCancelled(%s) = %+v, %v", payload, got, err)
			}
		})
	}
}

// TestPaymentsHaveNames: what tells one payment of an order from another.
// Case 9.1.
func TestPaymentsHaveNames(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"orderId":"o","id":"p","stripeId":"s"}`:  "p",
		`{"orderId":"o","stripeId":"s"}`:           "s",
		`{"orderId":"o","id":"","stripeId":"s"}`:   "s",
		`{"orderId":"o","id":null,"stripeId":"s"}`: "s",
		`{"orderId":"o","id":7}`:                   "7",
		`{"orderId":"o"}`:                          "unnamed",
	} {
		if got, err := event.DecodePaid([]byte(payload)); err != nil || got.Name() != want {
			t.Errorf("DecodePaid(%s) has the name %q, %v, want %q", payload, got.Name(), err, want)
		}
	}
}

// TestWhatIsNoObjectIsSaidInTheWordsOfJSON: an operator reads it. Case 11.13.
func TestWhatIsNoObjectIsSaidInTheWordsOfJSON(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`[]`: "not a JSON object: array", `"x"`: "not a JSON object: string", `7`: "not a JSON object: number", `true`: "not a JSON object: bool",
		`null`: "null is not an object", ``: "not a JSON object: unexpected end of JSON input",
	} {
		if _, err := event.DecodeExpired([]byte(payload)); !errors.Is(err, event.ErrInvalid) || err.Error() != "invalid event: "+want {
			t.Errorf("of %q it says %v, want %q", payload, err, want)
		}
	}
}

// TestDeletionsOfWhateverIsStoredAreRead: what a deleted ticket was decides
// nothing any more. Case 11.6.
func TestDeletionsOfWhateverIsStoredAreRead(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{``, `,"title":"","price":-5`, `,"title":7,"price":"x"`} {
		got, err := event.Scheme{}.DecodeTicket(event.TicketDeleted, []byte(`{"id":"a","version":1`+rest+`}`))
		if err != nil || !got.Deleted || got.Version != 1 {
			t.Errorf("deletion with %q = %+v, %v", rest, got, err)
		}
	}
}

// Case 11.6.
func TestPaymentsHaveNamesOfABoundedLength(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"id", "stripeId"} {
		payload := `{"orderId":"o","` + key + `":"` + strings.Repeat("p", 1001) + `"}`
		if got, err := event.DecodePaid([]byte(payload)); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("a payment whose %s has 1,001 bytes: %.50v, %v, want ErrInvalid", key, got, err)
		}
	}
}

func TestPayloadOverTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	_, err := event.Ticket{ID: "a", Title: strings.Repeat("x", event.MaxPayload)}.Updated(time.Now())
	if !errors.Is(err, event.ErrInvalid) {
		t.Errorf("error = %v, want ErrInvalid", err)
	}
}

// Case 10.7: no consumer would take it.
func TestAVersionThatNobodyCountsOnFromIsRefused(t *testing.T) {
	t.Parallel()
	made := event.Ticket{ID: "a", Title: "t", Price: 1, Version: event.MaxVersion}
	if _, err := made.Updated(time.Now()); err != nil {
		t.Errorf("the last version: %v", err)
	}
	made.Version++
	if _, err := made.Updated(time.Now()); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("error = %v, want ErrInvalid", err)
	}
}

// Case 10.7: as new Date(…).toISOString() prints it.
func TestTimesArePrintedAsJavaScriptDoes(t *testing.T) {
	t.Parallel()
	for want, at := range map[string]time.Time{
		"2026-03-04T12:00:00.120Z":    time.Date(2026, 3, 4, 13, 0, 0, 120_999_999, time.FixedZone("", 3600)),
		"0000-01-01T00:00:00.000Z":    time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"9999-12-31T23:59:59.999Z":    time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		"+010000-01-01T00:00:00.000Z": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"-000001-01-01T00:00:00.000Z": time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		"+275760-09-13T00:00:00.000Z": time.UnixMilli(8.64e15),
		"-271821-04-20T00:00:00.000Z": time.UnixMilli(-8.64e15),
	} {
		if got := event.FormatTime(at); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"id":"a","title":"t","price":1,"version":1}`, `{"id":"a","version":1,"ticket":{"id":"b","price":2}}`,
		`{"orderId":"a"}`, `null`, `[]`, `{"id":"a","version":1,"ticket":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range event.TicketSubjects() {
			c, err := event.Scheme{}.DecodeTicket(s, data)
			if err != nil {
				if !errors.Is(err, event.ErrInvalid) {
					t.Fatalf("DecodeTicket: %v does not wrap ErrInvalid", err)
				}
				continue
			}
			if c.ID == "" || c.Version < 0 || c.Predecessor >= c.Version {
				t.Fatalf("DecodeTicket let %+v pass", c)
			}
		}
		for name, err := range map[string]error{
			"reserved":  second(event.DecodeReserved(data)),
			"cancelled": second(event.DecodeCancelled(data)),
			"expired":   second(event.DecodeExpired(data)),
			"paid":      second(event.DecodePaid(data)),
		} {
			if err != nil && !errors.Is(err, event.ErrInvalid) {
				t.Fatalf("%s: %v does not wrap ErrInvalid", name, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }
