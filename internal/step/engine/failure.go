package engine

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// Failure is the cause of an error that the engine explained.
type Failure struct{ Diagnostics []Diagnostic }

func (f *Failure) Error() string {
	var texts []string
	for _, d := range f.Diagnostics {
		texts = append(texts, d.Summary)
	}
	return strings.Join(texts, "; ")
}

// transient matches what a repetition may mend: networks and overloaded services.
var transient = regexp.MustCompile(`(?i)connection (refused|reset|timed out)|no such host|i/o timeout|tls handshake timeout|unexpected eof|client\.timeout exceeded|` +
	`context deadline exceeded|temporary failure in name resolution|server misbehaving|network is unreachable|no route to host|broken pipe|` +
	`\b(status|code|response|http/[12](\.\d)?)\b[^\n]{0,20}\b(429|500|502|503|504)\b|\b(429 too many requests|500 internal server error|502 bad gateway|503 service unavailable|504 gateway timeout)\b`)

// backend matches errors of reaching or locking the state: not a fault of the code.
var backend = regexp.MustCompile(`(?i)error (acquiring|releasing|locking|loading) (the )?state|failed to (load|refresh|read|get) (the )?(state|existing workspaces)|state lock|http remote state endpoint`)

// needsInit matches what the engine says when init was skipped and should not have been.
var needsInit = regexp.MustCompile(`(?i)inconsistent dependency lock file|required plugins are not installed|module not installed|module source has changed|module version requirements have changed|backend initialization required|initialization required|provider registry\.[^ ]+: there is no package`)

// outcome is how an engine process ended.
type outcome struct {
	*reader
	err error // of the process
}

// exit is the exit code; -1 when it did not exit by itself.
func (o *outcome) exit() int {
	var e *exec.ExitError
	switch {
	case o.err == nil:
		return 0
	case errors.As(o.err, &e):
		return e.ExitCode()
	}
	return -1
}

// wantsInit reports whether every error says that init has to be run.
func (o *outcome) wantsInit() bool { return all(o.errors(), needsInit) }

func all(ds []Diagnostic, re *regexp.Regexp) bool {
	for _, d := range ds {
		if !re.MatchString(d.Summary) && !re.MatchString(d.Detail) {
			return false
		}
	}
	return len(ds) > 0
}

// failure says in an error why a command did not succeed. Unavailable is for what may
// work another time: networks, registries, the state's lock, a killed process.
func (s *Session) failure(command string, o *outcome) error {
	name := s.o.Engine.Name + " " + command
	found := o.errors()
	if len(found) == 0 {
		var e *exec.ExitError
		switch {
		case !errors.As(o.err, &e):
			return core.Errorf(core.Unavailable, "%s could not be run: %w", name, o.err)
		case o.exit() < 0:
			return core.Errorf(core.Unavailable, "%s was ended from outside (%s)", name, e)
		case len(o.other.lines) == 0:
			return core.Errorf(core.Internal, "%s failed (%s) without saying why", name, e)
		}
		return core.Errorf(core.Internal, "%s failed (%s): %s", name, e, o.other.String())
	}
	if l := lockedBy(found); l != nil && s.o.Backend == "" {
		return s.lockedError(l)
	}
	code := core.Invalid
	if all(found, transient) || all(found, backend) {
		code = core.Unavailable
	}
	return &core.Error{Code: code, Message: explain(name, found), Cause: &Failure{found}}
}

// Refused reports whether the engine said no to the code or what it is about, and not for a
// lock or something that passes.
func Refused(err error) bool {
	var f *Failure
	return errors.As(err, &f) && core.CodeOf(err) == core.Invalid
}

// explain is one error in full, the first that names a place, and how many more there are.
func explain(name string, found []Diagnostic) string {
	d := found[max(0, slices.IndexFunc(found, func(d Diagnostic) bool { return d.where() != "" }))]
	text := name + " failed: "
	if at := d.where(); at != "" {
		text += at + ": "
	}
	text += d.Summary
	if d.Address != "" && d.where() != d.Address {
		text += " (" + d.Address + ")"
	}
	if detail := strings.TrimSpace(d.Detail); detail != "" {
		text = strings.TrimSuffix(text, ".") + ": " + detail
	}
	if n := len(found) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more; the log has all)", n)
	}
	return text
}
