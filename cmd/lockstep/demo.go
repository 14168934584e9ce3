package main

import (
	"context"
	"errors"
)

// demoCmd is the finite proof.
type demoCmd struct{}

// Run is not there yet.
func (c *demoCmd) Run(context.Context, streams) error {
	return errors.New("demo: not in this build yet")
}
