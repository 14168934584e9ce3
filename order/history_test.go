package order_test

import (
	"testing"

	"pgregory.net/rapid"
)

// TestNoHistoryLosesMoneyOrSellsTwice plays random histories of reservations,
// payments, expiry from both sides, cancellations, locked records, outages and
// deaths, against the real store, beside a tickets service that minds no lock. More of them: -rapid.checks=5000. A failure
// prints its seed. Cases 9, 9.1 and 9.2.
func TestNoHistoryLosesMoneyOrSellsTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newOrderWorld(t)
		actions := map[string]func(*rapid.T){"": func(*rapid.T) { w.active() }}
		for name, act := range map[string]func(){
			"reserve": w.reserve, "reserve2": w.reserve, "pay": w.pay, "pay2": w.pay, "pay again": w.payAgain, "deliver": w.deliver,
			"cancel": w.cancel, "Node hears": w.nodeHearsAny, "Node hears2": w.nodeHearsAny, "Node hears3": w.nodeHearsAny, "look": w.look, "sweep": w.sweep, "sweep2": w.sweep, "expiration:complete": w.expireOutside,
			"time passes": func() { w.clock.pass(6 * 60e9) }, "kill": w.restart, "die": w.dying,
			"lock a record":    func() { w.store.locked[w.order()] = rapid.Bool().Draw(w.T, "only its payments") },
			"free all records": func() { w.store.locked = map[string]bool{} },
			"broker away":      func() { w.away = true }, "broker back": func() { w.away = false }, "broker back2": func() { w.away = false },
		} {
			actions[name] = func(*rapid.T) { act() }
		}
		t.Repeat(actions)
		w.settle()
	})
}
