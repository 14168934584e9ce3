//go:build !linux && !darwin

package broker

import "errors"

// diskFree is not known on this system.
func diskFree(string) (float64, error) { return 0, errors.ErrUnsupported }
