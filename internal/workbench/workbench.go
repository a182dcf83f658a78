// Package workbench makes a stack's folder in somebody's clone ready, so that the plain
// engine works there on a sandbox as a run would: with its state, variables and secrets, from
// the files that are in the folder. What it writes into the clone is one file, which git
// ignores and which it takes away.
package workbench

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Override points the backend of a stack's folder at the server while somebody works there.
// Its name comes late in the order in which engines read override files.
const Override = "zz_terrace_override.tf"

const overrideText = "# Written by terrace sandbox shell, which removes it at its end. Git ignores it.\nterraform {\n  backend \"http\" {}\n}\n"

// Branch is the branch that is checked out in a folder, "" when it is none.
func Branch(ctx context.Context, dir string) string {
	cmd := exec.CommandContext(ctx, "git", "symbolic-ref", "--quiet", "--short", "HEAD")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// Bench is a stack's folder in a clone.
type Bench struct {
	// Repository is the clone.
	Repository string
	// Kept is a folder outside of it for what must not be in it, and for the engine's data.
	Kept string
	// Backend are the settings of the http backend, as variables.
	Backend [][2]string
	Shell   wire.SandboxShell
}

// Stack is the folder that is worked in.
func (w Bench) Stack() string { return filepath.Join(w.Repository, filepath.FromSlash(w.Shell.Path)) }

func (w Bench) varFile() string { return filepath.Join(w.Kept, "terrace.tfvars.json") }

// Prepare writes the variables and the override file. Errors: NotFound when the stack is not
// in the clone; Conflict when a file of the override's name is.
func (w Bench) Prepare() error {
	if _, err := os.Stat(w.Stack()); err != nil {
		return core.Errorf(core.NotFound, "%s is not here (%s); go to a clone of the repository, with the branch of the sandbox checked out", w.Shell.Path, w.Stack())
	}
	text, err := json.MarshalIndent(w.Shell.Variables, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.varFile(), text, 0o600); err != nil {
		return err
	}
	override := filepath.Join(w.Stack(), Override)
	if there, err := os.ReadFile(override); err == nil && string(there) != overrideText {
		return core.Errorf(core.Conflict, "%s is there already and was not written by this command; give it another name", override)
	}
	if err := w.exclude(); err != nil {
		return err
	}
	return os.WriteFile(override, []byte(overrideText), 0o600)
}

// exclude keeps the override file out of commits.
func (w Bench) exclude() error {
	info := filepath.Join(w.Repository, ".git", "info")
	if stat, err := os.Stat(filepath.Dir(info)); err != nil || !stat.IsDir() {
		return nil //nolint:nilerr // no clone, or a work tree of one elsewhere: the file is removed at the end
	}
	file := filepath.Join(info, "exclude")
	text, err := os.ReadFile(file)
	if err == nil && slices.Contains(strings.Split(string(text), "\n"), Override) {
		return nil
	}
	if err := os.MkdirAll(info, 0o755); err != nil {
		return err
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	return os.WriteFile(file, append(text, Override+"\n"...), 0o644)
}

// Leave takes away what Prepare wrote.
func (w Bench) Leave() {
	_ = os.Remove(filepath.Join(w.Stack(), Override)) // it may be gone
	_ = os.Remove(w.varFile())
}

// withVariables are the subcommands that take the values of variables.
var withVariables = []string{"plan", "apply", "destroy", "refresh", "import", "console", "test"}

// Variables are what the engine is started with. Values of the stack's variables are given
// last, as in a run, so that files in the folder do not override them.
func (w Bench) Variables() [][2]string {
	out := slices.Clone(w.Backend)
	out = append(out, [2]string{"TF_DATA_DIR", filepath.Join(w.Kept, "data")}, [2]string{"TERRACE_SANDBOX", w.Shell.Instance})
	var files []string
	for _, f := range w.Shell.VarFiles {
		files = append(files, "-var-file="+filepath.Join(w.Repository, filepath.FromSlash(f)))
	}
	files = append(files, "-var-file="+w.varFile())
	for i, f := range files {
		if strings.ContainsAny(f, " \t'\"\\") {
			files[i] = Quoted(f)
		}
	}
	for _, sub := range withVariables {
		out = append(out, [2]string{"TF_CLI_ARGS_" + sub, strings.Join(files, " ")})
	}
	for _, name := range slices.Sorted(maps.Keys(w.Shell.Secrets)) {
		out = append(out, [2]string{name, w.Shell.Secrets[name]})
	}
	return out
}

// Run runs a program in the folder with those variables. An interrupt is its own business.
// NotFound when there is no such program.
func (w Bench) Run(ctx context.Context, in io.Reader, out, errs io.Writer, args ...string) error {
	child := exec.CommandContext(context.WithoutCancel(ctx), args[0], args[1:]...)
	child.Dir, child.Env = w.Stack(), os.Environ()
	for _, v := range w.Variables() {
		child.Env = append(child.Env, v[0]+"="+v[1])
	}
	child.Stdin, child.Stdout, child.Stderr = in, out, errs
	err := child.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return core.Errorf(core.NotFound, "there is no program %s on this machine's PATH; install it, and try again", args[0])
	}
	return err
}

// Quoted is a word that engines and shells take as it is.
func Quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
