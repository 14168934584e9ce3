package attack

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

func rights() []attack {
	return []attack{
		{18, "edit another user's ticket", "", func(t *testing.T, p *pair) {
			id := p.create(t, session("ann"))
			p.wants(t, http.StatusUnauthorized, p.put(session("eve"), id, `{"title":"mine","price":0.01}`))
			if r := p.ticket(t, id); r.Title != "t" || r.Version != 0 {
				t.Errorf("the ticket is %+v", r)
			}
			list := p.wants(t, http.StatusOK, p.operate(http.MethodGet, "/ops/outbox")).body
			if strings.Contains(list, id+":1:") {
				t.Errorf("an event is in the outbox: %s", list)
			}
		}},
		{19, "fields that are not the user's to set", "Express passes over them, so they are passed over and change nothing", func(t *testing.T, p *pair) {
			const more = `"userId":"eve","version":7,"orderId":"o","_id":"x","id":"x","__v":3,"rev":9,"deleted":true`
			r := decode(t, p.wants(t, http.StatusCreated, p.post(session("ann"), `{"title":"t","price":1,`+more+`}`)))
			p.wants(t, http.StatusOK, p.put(session("ann"), r.ID, `{"title":"u","price":2,`+more+`}`))
			if now := p.ticket(t, r.ID); now.UserID != "ann" || now.Version != 1 || now.OrderID != "" || now.Title != "u" {
				t.Errorf("the ticket is %+v", now)
			}
		}},
		{20, "edit a reserved ticket", "", func(t *testing.T, p *pair) {
			id := p.create(t, session("ann"))
			p.untilReplica(t, id, 0)
			p.wants(t, http.StatusCreated, p.order(session("bob"), id))
			p.untilReplica(t, id, 1)
			p.wants(t, http.StatusBadRequest, p.put(session("ann"), id, draft))
			p.wants(t, http.StatusBadRequest, p.order(session("eve"), id))
		}},
		{21, "many edits between a read and its write", "", func(t *testing.T, p *pair) {
			id := p.create(t, session("ann"))
			codes := make([]int, 30)
			var all sync.WaitGroup
			for i := range codes {
				all.Go(func() { codes[i] = p.send(t, p.put(session("ann"), id, draft)).status })
			}
			all.Wait()
			done := len(slices.DeleteFunc(slices.Clone(codes), func(c int) bool { return c != http.StatusOK }))
			if slices.ContainsFunc(codes, func(c int) bool { return c != http.StatusOK && c != http.StatusConflict }) {
				t.Errorf("answers %v", codes)
			}
			if r := p.ticket(t, id); r.Version != int64(done) {
				t.Errorf("version %d after %d edits", r.Version, done)
			}
		}},
		{22, "the operator's routes with a user's token", "", func(t *testing.T, p *pair) {
			for _, path := range []string{"/ops/outbox", "/metrics", "/readyz", "/debug/pprof/"} {
				p.wants(t, http.StatusNotFound, p.get(path, "Cookie", session("ann")))
			}
			p.wants(t, http.StatusUnauthorized, call{http.MethodPost, "http://" + p.ops + "/ops/outbox/x/discard", "", []string{"Cookie", session("ann"), "Authorization", "Bearer " + token(hs256, ann, key)}})
		}},
	}
}
