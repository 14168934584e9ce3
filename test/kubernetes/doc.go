// Package kubernetes holds the manifests of deploy/k8s to the API of Kubernetes
// and to our command line. It is a module of its own, so that nobody who uses
// Lockstep gets the libraries of Kubernetes: run it with `make manifests`.
package kubernetes
