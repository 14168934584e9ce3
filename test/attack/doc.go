// Package attack tries the 52 attacks that a reviewer of such a pair would try,
// by their numbers, on the real binary over HTTP and the bus: `make attack`
// prints a line for each. Where the contract with the Node services has another
// answer than the review, the line says which and why; docs/guarantees.md lists
// those.
package attack
