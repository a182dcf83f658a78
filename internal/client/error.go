package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Error is a server's refusal. Code is one of the words of the API ("invalid",
// "not_found", "conflict", "denied", "unauthenticated", "unavailable", "internal") and
// Message is for a person.
type Error struct {
	Status  int
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.Status >= 500
}

// Permanent reports whether the server gave a definite refusal: asking again changes
// nothing. It is false for nil and for anything that was not an answer.
func Permanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.Temporary()
}

// Unreachable is returned when no answer came at all.
type Unreachable struct {
	URL   string
	Cause error
}

func (e *Unreachable) Error() string {
	why := e.Cause.Error()
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(e.Cause, syscall.ECONNREFUSED):
		why = "connection refused"
	case errors.As(e.Cause, &dns):
		why = "the name " + dns.Name + " does not resolve"
	case errors.As(e.Cause, &op) && op.Timeout():
		why = "no answer in time"
	}
	return fmt.Sprintf("no Terrace server answers at %s: %s. Start one with: terrace server --data DIR; or say where yours is with TERRACE_URL", e.URL, why)
}

// Unwrap returns what the network said.
func (e *Unreachable) Unwrap() error { return e.Cause }

// refusal makes an Error of an answer. body may come from anything that listens on
// the address, so nothing is expected of it.
func refusal(resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode}
	var said struct{ Code, Message, Title, Detail string }
	if json.Unmarshal(body, &said) == nil {
		e.Code = said.Code
		for _, text := range []string{said.Message, said.Detail, said.Title} {
			if e.Message = text; text != "" {
				break
			}
		}
	}
	if e.Code == "" {
		e.Code = codeOf(resp.StatusCode)
	}
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode/100 == 3 {
		e.Message = fmt.Sprintf("the server redirects to %s; use that address itself (TERRACE_URL): a token is never sent to where a redirect leads", location)
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("the server answered %s without an explanation; is it a Terrace server?", strings.TrimSpace(resp.Status))
	}
	return e
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthenticated"
	case http.StatusForbidden:
		return "denied"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusConflict, http.StatusLocked, http.StatusPreconditionFailed:
		return "conflict"
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "unavailable"
	}
	if status >= 500 {
		return "internal"
	}
	return "invalid"
}
