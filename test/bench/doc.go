// Package bench measures the system against the raw limit of the engines it
// stands on, both in the same run, and reports the ratio: so the machine does
// not matter.
//
//	go test ./test/bench -run '^$' -bench . -benchtime 1x
package bench
