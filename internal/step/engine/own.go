package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// Own is what a stack's own backend holds.
type Own struct {
	Backend   string // its type, as "s3"
	Lineage   string // "" while nothing is stored
	Serial    int64
	Resources int    // managed ones
	Digest    string // core.ResourcesDigest
	// Outputs are as in a state file: by name, with value, type and sensitive.
	Outputs json.RawMessage
	// Instances are the resources of the types that were asked for, as in a state file.
	Instances json.RawMessage
}

// Locked is the cause of an Unavailable error when somebody else has the lock of the
// stack's own backend.
type Locked struct {
	ID, Who, Operation, Created string
	cause                       error
}

func (l *Locked) Error() string { return "locked by " + l.Who }

func (l *Locked) Unwrap() error { return l.cause }

var lockFact = regexp.MustCompile(`(?m)^\s*(ID|Operation|Who|Created):\s+(\S.*?)\s*$`)

// lockedBy reads the lock info that engines print. nil without the ID of a lock.
func lockedBy(found []Diagnostic) *Locked {
	for _, d := range found {
		if _, info, ok := strings.Cut(d.Detail, "Lock Info:"); ok {
			facts := map[string]string{}
			for _, m := range lockFact.FindAllStringSubmatch(info, -1) {
				facts[m[1]] = m[2]
			}
			if facts["ID"] != "" {
				return &Locked{ID: facts["ID"], Who: facts["Who"], Operation: strings.TrimPrefix(facts["Operation"], "OperationType"), Created: facts["Created"], cause: &Failure{found}}
			}
		}
	}
	return nil
}

// lockedError tells people of a lock that Terrace neither gave nor may take away.
func (s *Session) lockedError(l *Locked) error {
	return &core.Error{Code: core.Unavailable, Cause: l, Message: fmt.Sprintf(
		"the state of %s is locked in its own backend, by %s since %s, for: %s (lock ID %s). Wait for it. If it is certain that nobody works on it any more, take the lock away, in that folder and with the same backend: %s force-unlock %[5]s",
		s.base, l.Who, l.Created, strings.ToLower(l.Operation), l.ID, s.o.Engine.Name)}
}

// needsBackend refuses a stack whose state would stay in the work tree, and be lost
// with it.
func (s *Session) needsBackend() error {
	root := s.config.root()
	if root.dynamic || len(root.backends) > 0 || len(root.clouds) > 0 {
		return nil
	}
	return core.Errorf(core.Invalid, "%s has no backend block, and state = \"stack\" leaves its state to one; without it the state would be lost with the run's work tree. Add one, for example terraform { backend \"s3\" {} }, or set state = \"terrace\" in terrace.hcl", s.base)
}

func (s *Session) backendFile() string { return filepath.Join(s.o.Temp, "backend.json") }

// backendArguments write what completes the stack's backend block to a file: nothing of
// it is an argument that other users of the machine could read.
func (s *Session) backendArguments() ([]string, error) {
	if s.o.Backend != "" || len(s.o.BackendConfig) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(s.o.BackendConfig)
	if err == nil {
		err = os.WriteFile(s.backendFile(), data, 0o600)
	}
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "the settings of the backend cannot be written: %w", err)
	}
	return []string{"-backend-config=" + s.backendFile()}, nil
}

// backendInputs identifies what init is told of the backend.
func (s *Session) backendInputs() string {
	if s.o.Backend != "" {
		return override
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.o.BackendConfig)) {
		fmt.Fprintf(&b, "%q=%s\n", name, s.o.BackendConfig[name])
	}
	return b.String()
}

// initialised is what init noted of the backend.
func (s *Session) initialised() string { return filepath.Join(s.o.Dir, dataDir, "terraform.tfstate") }

// backendType is the type of the stack's own backend, as init understood it. Invalid
// when it would keep the state in the work tree.
func (s *Session) backendType() (string, error) {
	data, err := os.ReadFile(s.initialised())
	if err != nil {
		return "", core.Errorf(core.Unavailable, "what init noted of the backend of %s cannot be read: %w", s.base, err)
	}
	var noted struct {
		Backend struct {
			Type   string
			Config struct{ Path *string }
		}
	}
	// Of other backends, path may be anything.
	if err := json.Unmarshal(data, &noted); err != nil && noted.Backend.Type == "" {
		return "", core.Errorf(core.Internal, "what init noted of the backend of %s cannot be read: %w", s.base, err)
	}
	if noted.Backend.Type == "local" {
		at := "terraform.tfstate"
		if p := noted.Backend.Config.Path; p != nil && *p != "" {
			at = *p
		}
		if !filepath.IsAbs(at) {
			return "", core.Errorf(core.Invalid, "the local backend of %s keeps the state in %s, inside of the run's work tree, where it would be lost; give it an absolute path on a disk that stays", s.base, path.Join(s.base, filepath.ToSlash(at)))
		}
	}
	return noted.Backend.Type, nil
}

// See reads the state from the stack's own backend, and of its resources those of these types. Unavailable when it cannot be read.
func (s *Session) See(ctx context.Context, types []string) (Own, error) {
	kind, err := s.backendType()
	if err != nil {
		return Own{}, err
	}
	own := Own{Backend: kind, Outputs: json.RawMessage("{}")}
	data, err := s.owns(ctx, "read", "state", "pull")
	if err != nil || len(bytes.TrimSpace(data)) == 0 {
		return own, err
	}
	var f struct {
		Lineage   string
		Serial    int64
		Outputs   json.RawMessage
		Resources []json.RawMessage
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return own, core.Errorf(core.Internal, "the state in the backend of %s is no state file: %w", s.base, err)
	}
	own.Lineage, own.Serial, own.Digest = f.Lineage, f.Serial, core.ResourcesDigest(data)
	if len(f.Outputs) > 0 {
		own.Outputs = f.Outputs
	}
	var selected []json.RawMessage
	for _, text := range f.Resources {
		var r struct {
			Mode, Type string
			Instances  []json.RawMessage
		}
		if err := json.Unmarshal(text, &r); err != nil {
			return own, core.Errorf(core.Internal, "the state in the backend of %s has a resource that cannot be read: %w", s.base, err)
		}
		if r.Mode != "managed" {
			continue
		}
		own.Resources += len(r.Instances)
		if slices.Contains(types, r.Type) {
			selected = append(selected, text)
		}
	}
	if selected != nil {
		own.Instances, err = json.Marshal(selected)
	}
	return own, err
}

// Push stores a state in the stack's own backend, under the engine's rules: the same
// lineage, and no older serial.
func (s *Session) Push(ctx context.Context, state []byte) error {
	file := filepath.Join(s.o.Temp, "push.tfstate")
	if err := os.WriteFile(file, state, 0o600); err != nil {
		return core.Errorf(core.Unavailable, "the state to store cannot be written: %w", err)
	}
	defer func() { _ = os.Remove(file) }() // the folder goes with the run
	_, err := s.owns(ctx, "written", "state", "push", "-lock-timeout="+s.o.LockTimeout.String(), "--", file)
	return err
}

// ForceUnlock takes away the lock with this ID, and no other.
func (s *Session) ForceUnlock(ctx context.Context, id string) error {
	_, err := s.owns(ctx, "unlocked", "force-unlock", "-force", "--", id)
	return err
}

// owns runs a command on the state in the stack's own backend and returns its output.
func (s *Session) owns(ctx context.Context, done string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	said := &tail{}
	lines := process.Lines(maxLine, func(line string) {
		if line = strings.TrimSpace(strings.Trim(line, "╷│╵")); line != "" {
			said.add(line)
		}
	})
	at := slices.Index(args, "--")
	if at < 0 {
		at = len(args)
	}
	args = slices.Insert(args, at, append([]string{"-no-color"}, s.variablesEverywhere()...)...)
	err := s.start(ctx, args, &out, lines)
	_ = lines.Close() // a line writer
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	text := strings.TrimPrefix(said.String(), "Error: ")
	if l := lockedBy([]Diagnostic{{Severity: "error", Detail: text}}); l != nil {
		return nil, s.lockedError(l)
	}
	return nil, &core.Error{Code: core.Unavailable, Cause: err, Message: fmt.Sprintf("the state of %s could not be %s in its own backend: %s", s.base, done, text)}
}
