// Package api is the door that HTTP comes in by: the routes of tickets and
// orders as the Node services answer them, and the operator's routes on a
// listener of their own.
//
// It promises that a request is checked in the order the contract names (body,
// session, validation, record), that every failure is answered with the
// contract's error body, and that an unexpected one is a 500 whose id is also
// in the log, never a client's fault.
//
// It decides nothing about tickets and orders: it reads words from requests,
// passes them to the services and writes what comes back. It never touches a
// store of theirs.
package api
