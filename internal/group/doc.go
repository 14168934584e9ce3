// Package group lets callers that wait at the same moment share one flush: one
// transaction, one fsync, one round trip. Both storage engines commit through
// it.
//
// It promises that a batch is whatever was queued when the flusher became
// free, so a lone caller waits for no one; that items with a common key never
// share a batch and are flushed in the order of their arrival, one after the
// other has ended; that a caller which gives up while its item is queued takes
// it out again, and during its flush is told that the outcome is unknown; and
// that everybody else learns what became of the own item, whoever gave up,
// failed or panicked beside it.
//
// It never drops, repeats or splits an item, and never waits for a batch to
// fill.
package group
