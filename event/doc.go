// Package event is the language of the bus: which subjects there are, what
// their payloads look like, how a payload is read and when it breaks the
// contract. Services written in other languages speak the same; the golden
// files under testdata hold what they send.
//
// It imports nothing of ours, does no I/O and keeps no state, so everything in
// it may be used from many goroutines.
package event
