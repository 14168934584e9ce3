// Package mongodb keeps tickets, orders, replicas and their outbox in one
// MongoDB database per service, for any number of processes at once. It needs
// a replica set, 6.0 or newer.
//
// A change whose Commit returned is held by a majority and survives the loss of
// a primary. Callers that wait at the same moment share a transaction: one bulk
// write per collection, one insert of events, one commit. If one of them loses,
// it gets its verdict and the others are committed without it. An answer that
// was lost is asked for again, and what cannot be asked is looked up by the
// derived ids of the events.
//
// The change stream is a doorbell. A tail opens it, scans what is there with a
// read that has seen everything up to that moment, and then follows it.
// Whatever goes wrong with it ends the tail; no resume token is kept.
//
// The documents are meant to be looked at, and continue those that the Node
// services wrote: an id of 24 hexadecimal digits is an ObjectId, every other id
// a string. Fields without a value are left out.
package mongodb
