package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/go-version"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// stamp is what a session leaves beside what init made, in the kept work tree.
type stamp struct {
	// Inputs is a digest of everything that init depended on.
	Inputs string `json:"inputs"`
	// Lock is the digest of a lock file that init made, because the stack has none.
	Lock string `json:"lock,omitempty"`
}

func (s *Session) stampFile() string { return filepath.Join(s.o.Dir, dataDir, "terrace.json") }

func (s *Session) readStamp() stamp {
	var st stamp
	data, err := os.ReadFile(s.stampFile())
	if err != nil || json.Unmarshal(data, &st) != nil {
		return stamp{}
	}
	return st
}

// lockData is the lock file as it is now; nil when there is none.
func (s *Session) lockData() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(s.o.Dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// inputs is a digest of everything that init depends on: the engine, the backend, the
// lock file, and what the code says of modules, providers and versions. Other edits of
// the code do not change it. ok is false when it cannot be said.
func (s *Session) inputs(lock []byte) (sum string, ok bool) {
	code, ok := s.config.inputs()
	if !ok {
		return "", false
	}
	parts := []string{"1", s.o.Engine.Name, s.o.Engine.Version, platform, s.backendInputs(), digest(lock), code}
	if s.o.Registry != nil {
		parts = append(parts, s.o.Registry.inputs())
	}
	data, err := json.Marshal(parts)
	return digest(data), err == nil
}

// Init installs modules and providers, unless the kept tree has all of it. Errors: Invalid
// when the engine said no; Unavailable when trying again may help (rule 19): nothing is
// tried twice here.
func (s *Session) Init(ctx context.Context) (skipped bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	lock, err := s.lockData()
	if err != nil {
		return false, core.Errorf(core.Unavailable, "the lock file of %s cannot be read: %w", s.base, err)
	}
	if sum, ok := s.inputs(lock); ok && s.readStamp().Inputs == sum && s.intact(lock) {
		// Plan and apply read it as well.
		if err := s.writeConfig(s.sources(lock)); err != nil {
			return false, core.Errorf(core.Unavailable, "the engine's configuration cannot be written: %w", err)
		}
		s.skipped = true
		s.say("init: nothing that it depends on has changed")
		return true, nil
	}
	return false, s.initialise(ctx)
}

// intact reports whether what init made is still there.
func (s *Session) intact(lock []byte) bool {
	data := filepath.Join(s.o.Dir, dataDir)
	if _, err := os.Stat(s.initialised()); err != nil {
		return false
	}
	locks := readLock(lock)
	for a, l := range locks {
		dir := filepath.Join(data, "providers", a.path(l.version))
		if program(dir, a) == "" {
			return false
		}
	}
	for a := range s.config.providers() {
		if _, ok := locks[a]; !ok {
			return false
		}
	}
	if len(s.config.root().calls) == 0 {
		return true
	}
	m, err := readManifest(s.o.Dir)
	if err != nil {
		return false
	}
	for _, called := range m.Modules {
		if info, err := os.Stat(filepath.Join(s.o.Dir, called.Dir)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// initialise runs init, and gives the store what it brought.
func (s *Session) initialise(ctx context.Context) error {
	s.release() // what is kept may be another version
	s.skipped = false
	lock, err := s.lockData()
	if err != nil {
		return core.Errorf(core.Unavailable, "the lock file of %s cannot be read: %w", s.base, err)
	}
	made := s.readStamp().Lock
	if err := os.Remove(s.stampFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return core.Errorf(core.Unavailable, "the work tree cannot be written: %w", err)
	}
	if err := s.forgetModules(); err != nil {
		return core.Errorf(core.Unavailable, "the work tree cannot be written: %w", err)
	}
	args := []string{"init", "-input=false", "-reconfigure", "-no-color"}
	own := lock != nil && digest(lock) != made
	if own {
		args = append(args, "-lockfile=readonly")
	}
	backend, err := s.backendArguments()
	if err != nil {
		return err
	}
	args = slices.Concat(args, backend, s.variablesEverywhere())
	if s.speaksJSON() {
		args = append(args, "-json")
	}

	sources := s.sources(lock)
	if s.o.Store != "" && len(sources.missing) > 0 {
		// One run fetches what is missing. Who had to wait for it looks again, and does not
		// make others wait if that did not help.
		unlock, waited, err := s.lockStore(ctx, sources.missing)
		if err != nil {
			return err
		}
		defer unlock()
		if waited {
			if sources = s.sources(lock); len(sources.missing) > 0 {
				unlock()
			}
		}
	}
	if err := s.writeConfig(sources); err != nil {
		return core.Errorf(core.Unavailable, "the engine's configuration cannot be written: %w", err)
	}
	out := s.run(ctx, args...)
	if out.exit() != 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return s.failure("init", out)
	}
	if lock, err = s.lockData(); err != nil {
		return core.Errorf(core.Unavailable, "the lock file of %s cannot be read: %w", s.base, err)
	}
	if err := s.checkModules(); err != nil {
		return err
	}
	if s.o.Store != "" {
		if err := s.fill(lock); err != nil {
			return err
		}
	}
	if s.o.Backend == "" {
		if _, err := s.backendType(); err != nil {
			return err
		}
	}
	return s.stamp(lock, own)
}

// stamp notes what init depended on.
func (s *Session) stamp(lock []byte, own bool) error {
	sum, ok := s.inputs(lock)
	if !ok {
		sum = "" // it is run every time
	}
	st := stamp{Inputs: sum}
	if !own && lock != nil {
		st.Lock = digest(lock)
	}
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.stampFile()), 0o700); err != nil {
		return core.Errorf(core.Unavailable, "the work tree cannot be written: %w", err)
	}
	if err := writeAtomically(s.stampFile(), data, 0o600); err != nil {
		return core.Errorf(core.Unavailable, "the work tree cannot be written: %w", err)
	}
	return nil
}

// Versions are those of the engine and of the providers that init installed.
func (s *Session) Versions() wire.Versions {
	v := wire.Versions{Engine: wire.Engine{Name: s.o.Engine.Name, Version: s.o.Engine.Version}}
	lock, err := s.lockData()
	if err != nil {
		return v // it was read a moment ago; what is not known is not told
	}
	for a, l := range readLock(lock) {
		if v.Providers == nil {
			v.Providers = map[string]string{}
		}
		v.Providers[string(a)] = l.version
	}
	return v
}

// speaksJSON reports whether the engine's init can: Terraform since 1.9, OpenTofu since 1.11.
func (s *Session) speaksJSON() bool {
	if s.o.Engine.Name == Terraform {
		return s.o.Engine.atLeast("1.9.0")
	}
	return s.o.Engine.atLeast("1.11.0")
}

// atLeast compares versions, whatever follows their three numbers.
func (e Engine) atLeast(v string) bool {
	mine, err := version.NewVersion(e.Version)
	return err == nil && mine.Core().GreaterThanOrEqual(version.Must(version.NewVersion(v)))
}
