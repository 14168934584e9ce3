// Package interop runs the libraries of the Node ticketing services (mongoose
// with mongoose-update-if-current, node-nats-streaming) against ours, on one
// database and on one bus.
//
// The tests need Node and npm, which they let install what package-lock.json
// names, and a MongoDB server (see test/mongotest).
package interop
