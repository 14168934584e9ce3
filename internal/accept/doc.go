// Package accept is what stands between a listener and net/http: it bounds how
// many connections are open, and refuses requests whose end two readers would
// see in different places.
//
// It promises that a port never holds more than its share of the process's
// descriptors (and one), that a newcomer is let in while any connection is idle,
// and that no request is carried out on a connection it has cut.
package accept
