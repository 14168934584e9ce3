// Package storetest says what a store must do, as tests: Run holds an adapter
// to every sentence of the ports in packages ticket, order, replica, outbox,
// listeners and incident. Every adapter runs all of it.
//
// The tests know nothing of an engine. They wait for what must come, with a
// deadline, and never for time to pass; they run in parallel, each on fresh
// data.
package storetest
