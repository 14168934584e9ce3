// Package ticket holds the canonical tickets: their rules, the service that
// applies them and the port to where they are kept.
//
// It promises that a ticket's version rises by exactly one with every change,
// that every change is stored together with the event that announces it, that
// nobody's update is overwritten unseen, and that a ticket which an order
// holds is neither edited nor deleted.
//
// It never talks to the broker and never reads a clock or a random source that
// was not given to it.
package ticket
