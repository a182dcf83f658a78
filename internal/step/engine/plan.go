package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// common are arguments of plan and apply.
func (s *Session) common() []string {
	args := []string{"-json", "-input=false", "-lock-timeout=" + s.o.LockTimeout.String()}
	if s.o.Parallelism > 0 {
		args = append(args, "-parallelism="+strconv.Itoa(s.o.Parallelism))
	}
	return args
}

// variables are the arguments that give the variables.
func (s *Session) variables() []string {
	var args []string
	for _, file := range s.o.VarFiles {
		args = append(args, "-var-file="+file)
	}
	if len(s.o.Variables) > 0 {
		args = append(args, "-var-file="+s.varFile)
	}
	return args
}

// variablesEverywhere are arguments of the commands that do not plan. OpenTofu 1.8 began
// to evaluate some variables early: init and apply have to be given the plan's, or they
// would take those that lie in the directory. Others refuse them.
func (s *Session) variablesEverywhere() []string {
	if s.o.Engine.Name == Tofu && s.o.Engine.atLeast("1.8.0") {
		return s.variables()
	}
	return nil
}

// Plan plans and saves the plan. Errors as of Init.
func (s *Session) Plan(ctx context.Context, o PlanOptions) (Planned, error) {
	s.planned, s.planSum = false, ""
	if err := s.keep(ctx); err != nil {
		return Planned{}, err
	}
	args := append([]string{"plan", "-detailed-exitcode", "-out=" + s.planFile}, s.common()...)
	if o.Destroy {
		args = append(args, "-destroy")
	}
	if o.RefreshOnly {
		args = append(args, "-refresh-only")
	}
	if o.NoLock {
		args = append(args, "-lock=false")
	}
	for _, address := range o.Exclude {
		args = append(args, "-exclude="+address)
	}
	for _, address := range o.Replace {
		args = append(args, "-replace="+address)
	}
	args = append(args, s.variables()...)
	out := s.run(ctx, args...)
	if s.skipped && out.exit() == 1 && out.wantsInit() {
		// The digest of init's inputs missed something. The engine is right.
		s.say("init is needed after all")
		if err := s.initialise(ctx); err != nil {
			return Planned{}, err
		}
		if err := s.keep(ctx); err != nil {
			return Planned{}, err
		}
		out = s.run(ctx, args...)
	}
	if code := out.exit(); code == 0 || code == 2 {
		var err error
		if s.planSum, err = sum(s.planFile); err != nil {
			return Planned{}, core.Errorf(core.Unavailable, "the saved plan cannot be read: %w", err)
		}
	}
	switch out.exit() {
	case 0:
		// Nothing to show: an engine process less.
		s.planned = true
		return Planned{JSON: []byte(`{"format_version":"1.2","resource_changes":[],"output_changes":{}}`)}, nil
	case 2:
		shown, err := s.show(ctx)
		s.planned = err == nil
		return Planned{Changes: true, JSON: shown}, err
	}
	if ctx.Err() != nil {
		return Planned{}, context.Cause(ctx)
	}
	return Planned{}, s.failure("plan", out)
}

// sum is the SHA-256 of a file.
func sum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read from
	h := sha256.New()
	_, err = io.Copy(h, f)
	return string(h.Sum(nil)), err
}

// samePlan refuses a saved plan that is not, byte for byte, the one that was made, shown
// and agreed to: a disk may flip a bit, and somebody may put another one there.
func (s *Session) samePlan() error {
	now, err := sum(s.planFile)
	if err != nil {
		return core.Errorf(core.Unavailable, "the saved plan cannot be read, and nothing was applied; plan again: %w", err)
	}
	if now != s.planSum {
		return core.Errorf(core.Invalid, "the saved plan is not the one that was made and checked: its file was changed. Nothing was applied. Plan again (terrace rollout start); when that happens twice, look who can write to the runner's folder, and at its disk")
	}
	return nil
}

// show returns the saved plan as JSON.
func (s *Session) show(ctx context.Context) ([]byte, error) {
	var out bytes.Buffer
	r := &reader{say: s.say, base: s.base}
	lines := process.Lines(0, r.plain)
	err := s.start(ctx, []string{"show", "-json", s.planFile}, &out, lines)
	_ = lines.Close() // a line writer
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, s.failure("show", &outcome{reader: r, err: err})
	}
	return out.Bytes(), nil
}
