// Package interop runs the Node ticketing services beside ours: their libraries
// (mongoose with mongoose-update-if-current, node-nats-streaming) on one
// database and on one bus with ours, and small services with the rules of the
// originals, faults included (node/services), in every combination with ours.
//
// The tests need Node and npm, which they let install what package-lock.json
// names, and a MongoDB server (see test/mongotest).
package interop
