// Package e2e proves the promises from outside: the built binary as real
// processes, driven over HTTP and the bus, stopped, killed and started again.
// It imports nothing of the services but the language of the bus.
package e2e
