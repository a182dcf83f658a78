package engine

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// erroredState is where engines leave a state that they could not upload.
const erroredState = "errored.tfstate"

// lostState matches what engines say when they could not upload the state. Without the
// file it is in nobody's hands.
var lostState = regexp.MustCompile(`(?i)failed to (save|serialize|persist) state|local state file`)

// deadProvider matches what engines say when a provider ended while it was asked to change
// something: https://github.com/opentofu/opentofu/blob/main/internal/plugin6/grpc_error.go.
var deadProvider = regexp.MustCompile(`(?is)did not respond|failed to respond`)

const changeCall = "ApplyResourceChange"

// interrupted lists what was being changed by providers that ended.
func interrupted(ds []Diagnostic) (addresses []string) {
	for _, d := range ds {
		text := d.Summary + "\n" + d.Detail
		if deadProvider.MatchString(text) && strings.Contains(text, changeCall) {
			addresses = append(addresses, cmp.Or(d.Address, "a resource"))
		}
	}
	return addresses
}

// Unsaved is where the engine leaves a state that it could not upload.
func (s *Session) Unsaved() string { return filepath.Join(s.o.Dir, erroredState) }

// Apply applies the saved plan, once. Applied counts with an error as well. The error is
// Invalid when the engine said no; its end by a signal is Unavailable, and its outcome
// unknown unless Applied says that the state is stored.
//
// When ctx ends, the engine is interrupted: it finishes what it has in hand, stores its
// state and ends, with an error.
func (s *Session) Apply(ctx context.Context) (Applied, error) {
	if !s.planned {
		return Applied{Stored: true}, core.Errorf(core.Internal, "there is no saved plan to apply")
	}
	s.planned = false
	if err := s.samePlan(); err != nil {
		return Applied{Stored: true}, err
	}
	file := s.Unsaved()
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Applied{Stored: true}, core.Errorf(core.Unavailable, "a state that an earlier run left cannot be removed, and nothing was applied: %w", err)
	}
	if err := s.keep(ctx); err != nil {
		return Applied{Stored: true}, err
	}
	before := s.Commands()
	args := slices.Concat([]string{"apply"}, s.common(), s.variablesEverywhere(), []string{s.planFile})
	out := s.run(ctx, args...)
	if s.Commands() == before {
		return Applied{Stored: true}, out.err // ctx had ended before
	}
	var a Applied
	unsaved, err := os.ReadFile(file)
	switch {
	case err == nil:
		a.Unsaved = unsaved
	case !errors.Is(err, fs.ErrNotExist):
		return a, core.Errorf(core.Unavailable, "the state that the engine could not upload is in %s, and cannot be read: %w", file, err)
	default:
		// 0 and 1 are the engine's own words; anything else is a crash or a signal.
		a.Stored = (out.exit() == 0 || out.exit() == 1) && !mention(out.diagnostics, lostState)
	}
	a.Interrupted = interrupted(out.diagnostics)
	if out.exit() != 0 {
		return a, s.failure("apply", out)
	}
	return a, nil
}

func mention(ds []Diagnostic, re *regexp.Regexp) bool {
	for _, d := range ds {
		if re.MatchString(d.Summary) || re.MatchString(d.Detail) {
			return true
		}
	}
	return false
}
