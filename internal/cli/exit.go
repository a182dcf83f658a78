package cli

import (
	"errors"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
)

// Exit codes, the same for every command.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitWaiting = 3 // what was asked for waits on a gate
)

// exitError ends the command with a code. A nil err prints nothing: everything was
// said already.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// usage marks an error as wrong usage.
func usage(err error) error { return exitError{exitUsage, err} }

// codeOf maps an error to an exit code; the only place that does.
func codeOf(err error) int {
	var e exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	}
	return exitFailed
}

// messageOf is what a person reads of an error.
func messageOf(err error) string {
	var c *client.Error
	if errors.As(err, &c) {
		return c.Message
	}
	return core.MessageOf(err)
}
