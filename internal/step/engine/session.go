package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// overrideFile points the backend at the server. Its name comes late in the order in
// which engines read override files, so that it wins.
const overrideFile = "zz_terrace_override.tf"

const override = "# Written by Terrace into the work tree of this run.\nterraform {\n  backend \"http\" {}\n}\n"

// Session is made by Open.
type Session struct {
	o      Options
	base   string // the root module's path in the repository
	config *configuration
	short  string // a directory with a short name, for sockets; "" when there was no need

	varFile, planFile, cliFile string

	skipped bool // init was
	planned bool
	planSum string // of the file, as it was made
	kept    []*plugin
	looked  bool // for providers to keep

	mu       sync.Mutex
	commands int
}

// Open prepares the root module. Errors: Invalid for what is wrong with the code.
func Open(ctx context.Context, o Options) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = 10 * time.Second
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	rel, err := filepath.Rel(o.Tree, o.Dir)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, core.Errorf(core.Internal, "the stack's directory %s is not inside of the work tree", o.Dir)
	}
	s := &Session{o: o, base: filepath.ToSlash(rel),
		varFile: filepath.Join(o.Temp, "variables.tfvars.json"), planFile: filepath.Join(o.Temp, "plan"), cliFile: filepath.Join(o.Temp, "engine.rc")}
	if s.config, err = readConfiguration(o.Engine.Name, o.Dir); err != nil {
		return nil, core.Errorf(core.Unavailable, "the stack in %s cannot be read: %w", s.base, err)
	}
	if err := s.override(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, core.Errorf(core.Unavailable, "the engine's files cannot be written: %w", err)
	}
	return s, nil
}

// override writes the file that points the backend at the server.
func (s *Session) override() error {
	file := filepath.Join(s.o.Dir, overrideFile)
	if s.o.Backend == "" {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return core.Errorf(core.Unavailable, "the override file of an earlier run cannot be removed: %w", err)
		}
		return s.needsBackend()
	}
	root := s.config.root()
	if len(root.clouds) > 0 {
		return core.Errorf(core.Invalid, "%s has a cloud block, so its state is elsewhere; remove the block to keep the state in Terrace, or set state = \"stack\" in terrace.hcl to leave it where it is", path.Join(s.base, root.clouds[0]))
	}
	for _, name := range root.backends {
		stem, _, _ := strings.Cut(name, ".")
		if (stem == "override" || strings.HasSuffix(stem, "_override")) && name > overrideFile {
			return core.Errorf(core.Invalid, "%s overrides the backend after Terrace does; remove its backend block, or set state = \"stack\" in terrace.hcl", path.Join(s.base, name))
		}
	}
	there, err := os.ReadFile(file)
	switch {
	case err == nil && string(there) != override:
		return core.Errorf(core.Invalid, "the stack has a file %s, which is the name of a file that Terrace writes; give it another name", path.Join(s.base, overrideFile))
	case err == nil:
		return nil
	}
	if err := os.WriteFile(file, []byte(override), 0o600); err != nil {
		return core.Errorf(core.Unavailable, "the override file for the backend cannot be written: %w", err)
	}
	return nil
}

// prepare writes the files outside of the tree.
func (s *Session) prepare() error {
	if len(s.o.Variables) > 0 {
		data, err := json.Marshal(s.o.Variables)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.varFile, data, 0o600); err != nil {
			return err
		}
	}
	// Providers listen on a socket in TMPDIR, and a socket's path has to be short.
	const longest = 70
	if temp := lookup(s.o.Env, "TMPDIR"); temp == "" || len(temp) > longest {
		dir, err := os.MkdirTemp("/tmp", "terrace-")
		if err != nil {
			return err
		}
		s.short = dir
	}
	return nil
}

// Close ends the providers that were kept and removes what is secret.
func (s *Session) Close() error {
	s.release()
	var errs error
	for _, file := range []string{s.varFile, s.planFile, s.cliFile, s.backendFile()} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, err)
		}
	}
	if s.short != "" {
		errs = errors.Join(errs, os.RemoveAll(s.short))
	}
	if errs != nil {
		return core.Errorf(core.Unavailable, "files of the engine are left behind: %w", errs)
	}
	return nil
}

// Commands is how many engine processes were started.
func (s *Session) Commands() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commands
}

// environment is what the engine's processes see, and the providers that they start.
func (s *Session) environment() []string {
	env := s.plain()
	env = append(env, "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+s.cliFile)
	if s.o.Backend != "" {
		env = append(env, "TF_HTTP_ADDRESS="+s.o.Backend, "TF_HTTP_LOCK_ADDRESS="+s.o.Backend, "TF_HTTP_UNLOCK_ADDRESS="+s.o.Backend,
			"TF_HTTP_LOCK_METHOD=LOCK", "TF_HTTP_UNLOCK_METHOD=UNLOCK", "TF_HTTP_USERNAME=terrace", "TF_HTTP_PASSWORD="+s.o.Token,
			// A backend that is away is the runner's business, which relays. One that has an
			// error of its own is asked again a few times.
			"TF_HTTP_RETRY_MAX=6", "TF_HTTP_RETRY_WAIT_MIN=1", "TF_HTTP_RETRY_WAIT_MAX=4")
	}
	if len(s.kept) > 0 {
		env = append(env, "TF_REATTACH_PROVIDERS="+reattach(s.kept))
	}
	return env
}

// plain is the given environment without what would change the engine's behaviour.
func (s *Session) plain() []string {
	env := slices.DeleteFunc(slices.Clone(s.o.Env), func(v string) bool {
		if !strings.HasPrefix(v, "TF_") {
			return false
		}
		for _, allowed := range []string{"TF_VAR_", "TF_TOKEN_", "TF_LOG", "TF_ENCRYPTION"} {
			if strings.HasPrefix(v, allowed) {
				return false
			}
		}
		return s.o.Backend != "" || !strings.HasPrefix(v, "TF_HTTP_")
	})
	if s.o.Run != "" {
		env = append(env, "TERRACE_RUN="+s.o.Run, "TERRACE_FENCE="+strconv.FormatInt(s.o.Fence, 10))
	}
	if s.short != "" {
		env = append(env, "TMPDIR="+s.short)
	}
	if lookup(env, "GOGC") == "" {
		env = append(env, "GOGC="+collectAt)
	}
	return env
}

// collectAt makes the engine and its providers collect garbage less often. They are Go
// programs that live for a moment: with Go's default of 100 a plan of a small stack
// spends a quarter of its processor time on collecting what its end gives back anyway.
// A secret named GOGC sets another value.
const collectAt = "400"

func lookup(env []string, name string) string {
	for _, v := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// idleGrace is how long a command that changes nothing may take to end: a data source
// that hangs must not keep a newer release, or a person who cancels, waiting for long.
const idleGrace = 30 * time.Second

// run runs a command of the engine that speaks JSON.
func (s *Session) run(ctx context.Context, args ...string) *outcome {
	r := &reader{say: s.say, base: s.base, applying: args[0] == "apply"}
	stdout, stderr := process.Lines(maxLine, r.line), process.Lines(0, r.plain)
	err := s.start(ctx, args, stdout, stderr)
	_, _ = stdout.Close(), stderr.Close() // they pass on a last line
	return &outcome{reader: r, err: err}
}

func (s *Session) start(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	s.commands++
	s.mu.Unlock()
	grace := cmp.Or(s.o.Grace, process.DefaultGrace)
	if args[0] != "apply" {
		grace = min(grace, idleGrace)
	}
	return process.Run(ctx, process.Command{Args: append([]string{s.o.Engine.Path}, args...), Dir: s.o.Dir, Env: s.environment(),
		Stdout: stdout, Stderr: stderr, Grace: grace})
}

// say writes a line to the log. A log that cannot be written must not stop the engine.
func (s *Session) say(line string) { _, _ = io.WriteString(s.o.Output, line+"\n") }
