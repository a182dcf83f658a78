package core

import (
	"errors"
	"fmt"
)

// Code classifies an error for the one who has to react to it. One function in
// httpapi maps codes to HTTP statuses and one in cli maps them to exit codes.
type Code string

const (
	// Invalid: the request or the file is wrong; repeating it changes nothing.
	Invalid Code = "invalid"
	// NotFound: the named thing does not exist, or the caller may not know of it.
	NotFound Code = "not_found"
	// Conflict: the thing is in a state that does not allow this now.
	Conflict Code = "conflict"
	// Denied: the caller is known and not allowed to do this.
	Denied Code = "denied"
	// Unauthenticated: the caller did not say who it is, or not credibly.
	Unauthenticated Code = "unauthenticated"
	// Unavailable: try again later, nothing was changed.
	Unavailable Code = "unavailable"
	// Internal: a defect or a broken machine; the message is safe to show.
	Internal Code = "internal"
)

// Error is a code, a message for a person (what happened, why, what to do next)
// and optionally the cause.
type Error struct {
	Code    Code
	Message string
	Cause   error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error. A %w in the format becomes its cause, as with fmt.Errorf,
// and its text is part of the message.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// CodeOf returns the code of the outermost Error in err's chain, Internal for any
// other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// MessageOf returns the message for a person: that of the outermost Error, else
// err's own text, and "" for nil.
func MessageOf(err error) string {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}
