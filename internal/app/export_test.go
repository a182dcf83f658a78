package app

import "time"

// WithSettle is o with another keys.Settle, which is too long for a test.
func WithSettle(o Options, settle time.Duration) Options {
	o.settle = settle
	return o
}
