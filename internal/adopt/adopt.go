// Package adopt takes the state of a stack out of the backend that keeps it now, whatever
// that is: the engine itself reads it. It works in a copy of the stack's repository, so
// that nothing of it changes, and proves the state with a plan before anybody relies on it.
package adopt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// Options of a Stack.
type Options struct {
	// Engine is the path of tofu or terraform.
	Engine string
	// Dir is the folder of the stack, its root module.
	Dir string
	// BackendConfig are settings as for "init -backend-config", Workspace is the
	// workspace, "" for default.
	BackendConfig []string
	Workspace     string
	// Vars and VarFiles are as for "plan".
	Vars, VarFiles []string
	// Env is the environment of the engine: who runs it has the credentials in it.
	Env []string
	// Output gets what the engine says.
	Output io.Writer
}

// Stack is a stack in a copy. Close removes that.
type Stack struct {
	o         Options
	root      string // of what is copied: the repository, or the folder
	copied    string // where root is copied to
	dir       string // where Dir is in it
	temporary string
}

// State is a state as it is in a backend.
type State struct {
	Content   []byte
	Serial    int64
	Lineage   string
	Resources int // managed instances
}

// Open copies a stack and initialises its backend and its modules. Errors: NotFound when
// there is no such folder; Invalid with what the engine said.
func Open(ctx context.Context, o Options) (s *Stack, err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, core.Errorf(core.NotFound, "there is no folder %s; name the stack's folder, where its .tf files are", o.Dir)
	}
	for i, file := range o.VarFiles { // relative to where the command is
		if o.VarFiles[i], err = filepath.Abs(file); err != nil {
			return nil, err
		}
	}
	s = &Stack{o: o, root: repository(dir)}
	if s.temporary, err = os.MkdirTemp("", "terrace-adopt-"); err != nil {
		return nil, core.Errorf(core.Unavailable, "the stack cannot be copied: %w", err)
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.copied = filepath.Join(s.temporary, "tree")
	inside, err := filepath.Rel(s.root, dir)
	if err != nil {
		return nil, err
	}
	s.dir = filepath.Join(s.copied, inside)
	if err := s.copy(ctx, func(string) bool { return true }); err != nil {
		return nil, err
	}
	args := []string{"init", "-input=false", "-no-color"}
	for _, setting := range o.BackendConfig {
		args = append(args, "-backend-config="+setting)
	}
	if _, err := s.run(ctx, s.workspace(), args...); err != nil {
		return nil, err
	}
	return s, nil
}

// Close removes the copy.
func (s *Stack) Close() { _ = os.RemoveAll(s.temporary) } // a temporary folder

// repository is the folder with .git in which dir is, or dir: modules may be anywhere in it.
func repository(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// copy copies the files that are wanted. What the engine keeps for itself stays behind.
func (s *Stack) copy(ctx context.Context, want func(name string) bool) error {
	err := filepath.WalkDir(s.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(s.root, path)
		if err != nil {
			return err
		}
		to := filepath.Join(s.copied, inside)
		switch {
		case e.IsDir() && (e.Name() == ".git" || e.Name() == ".terraform"):
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(to, 0o700)
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, to); !errors.Is(err, fs.ErrExist) {
				return err
			}
			return nil
		case !e.Type().IsRegular() || !want(e.Name()):
			return nil
		}
		return copyFile(path, to)
	})
	if err != nil {
		return core.Errorf(core.Unavailable, "the stack cannot be copied: %w", err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()                                      // only read from
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o700) //nolint:gosec // scripts that modules call stay executable
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Backend is the type of the backend: "s3", "local", ….
func (s *Stack) Backend() string {
	var kept struct {
		Backend struct{ Type string }
	}
	content, err := os.ReadFile(filepath.Join(s.dir, ".terraform", "terraform.tfstate"))
	if err == nil {
		err = json.Unmarshal(content, &kept)
	}
	if err != nil || kept.Backend.Type == "" {
		return "local" // without a backend block
	}
	return kept.Backend.Type
}

// Pull reads the state that the backend has now. Errors: NotFound when it has none.
func (s *Stack) Pull(ctx context.Context) (State, error) {
	if s.Backend() == "local" { // its file may be in the copy
		if err := s.copy(ctx, func(name string) bool { return strings.HasSuffix(name, ".tfstate") }); err != nil {
			return State{}, err
		}
	}
	content, err := s.run(ctx, s.workspace(), "state", "pull")
	if err != nil {
		return State{}, err
	}
	start := bytes.Index(append([]byte("\n"), content...), []byte("\n{")) // warnings may come before it
	if content = content[max(start, 0):]; start < 0 {
		workspace := s.o.Workspace
		if workspace == "" {
			workspace = "default"
		}
		return State{}, core.Errorf(core.NotFound, "the %s backend of %s has no state in the workspace %q; is that the right folder, workspace (--workspace) and setting of the backend (--backend-config)?", s.Backend(), s.o.Dir, workspace)
	}
	var f struct {
		Serial    int64
		Lineage   string
		Resources []struct {
			Mode      string
			Instances []json.RawMessage
		}
	}
	if err := json.Unmarshal(content, &f); err != nil {
		return State{}, core.Errorf(core.Invalid, "what the backend has is no state: %w", err)
	}
	state := State{Content: content, Serial: f.Serial, Lineage: f.Lineage}
	for _, r := range f.Resources {
		if r.Mode == "managed" {
			state.Resources += len(r.Instances)
		}
	}
	return state, nil
}

// Prove plans with a state as Terrace will: from the same code, without the stack's
// backend and its workspaces. changes reports whether the plan has any.
func (s *Stack) Prove(ctx context.Context, state []byte) (changes bool, err error) {
	file := filepath.Join(s.temporary, "proof.tfstate")
	if err := os.WriteFile(file, state, 0o600); err != nil {
		return false, core.Errorf(core.Unavailable, "the state cannot be written for the plan: %w", err)
	}
	override, err := json.Marshal(map[string]any{"terraform": map[string]any{"backend": map[string]any{"local": map[string]string{"path": file}}}})
	if err != nil {
		return false, err
	}
	// A state in the folder would have to be migrated first. Pull copies it again.
	if err := os.Remove(filepath.Join(s.dir, "terraform.tfstate")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, core.Errorf(core.Unavailable, "the plan cannot be prepared: %w", err)
	}
	name := filepath.Join(s.dir, "terrace_adopt_override.tf.json")
	if err := os.WriteFile(name, override, 0o600); err != nil {
		return false, core.Errorf(core.Unavailable, "the plan cannot be prepared: %w", err)
	}
	defer func() { _ = os.Remove(name) }() // with it, the backend would be another one
	data := "TF_DATA_DIR=" + filepath.Join(s.temporary, "proof")
	if _, err := s.run(ctx, data, "init", "-reconfigure", "-input=false", "-no-color"); err != nil {
		return false, err
	}
	args := []string{"plan", "-input=false", "-lock=false", "-detailed-exitcode", "-no-color"}
	for _, file := range s.o.VarFiles {
		args = append(args, "-var-file="+file)
	}
	for _, v := range s.o.Vars {
		args = append(args, "-var="+v)
	}
	out, err := s.run(ctx, data, args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		_, _ = s.o.Output.Write(out) // a log
		return true, nil
	}
	return false, err
}

// workspace is the variable that selects it.
func (s *Stack) workspace() string {
	if s.o.Workspace == "" {
		return ""
	}
	return "TF_WORKSPACE=" + s.o.Workspace
}

// run runs the engine, with a variable if there is one, and returns what it printed. Its error has what it said.
func (s *Stack) run(ctx context.Context, variable string, args ...string) ([]byte, error) {
	var out, messages bytes.Buffer
	env := slices.DeleteFunc(slices.Clone(s.o.Env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "TF_DATA_DIR" || name == "TF_WORKSPACE" || strings.HasPrefix(name, "TERRACE_")
	})
	env = append(env, "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1")
	if variable != "" {
		env = append(env, variable)
	}
	err := process.Run(ctx, process.Command{Args: append([]string{s.o.Engine}, args...), Dir: s.dir, Env: env, Stdout: &out, Stderr: &messages})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 && args[0] == "plan" {
		return out.Bytes(), err
	}
	if err != nil {
		said := strings.TrimSpace(messages.String())
		if args[0] == "init" || args[0] == "plan" { // which say some of it there
			said = strings.TrimSpace(out.String() + "\n" + messages.String())
		}
		return nil, core.Errorf(core.Invalid, "%s %s in %s failed (%w):\n%s", filepath.Base(s.o.Engine), args[0], s.o.Dir, err, last(said, 4000))
	}
	return out.Bytes(), nil
}

// last is the end of a text.
func last(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "…" + text[len(text)-n:]
}
