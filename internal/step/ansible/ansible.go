// Package ansible runs a stack's playbook against the hosts of the state that was just
// written. ansible-playbook runs with an inventory, variables and a configuration that
// the run's own folder holds, in an environment made from scratch; secrets reach it in
// files of mode 0600 there and never as arguments. The private key of SSH connections
// is given to an agent of the run over a pipe and is in no file at all.
//
// Values that come from outputs and variables are data: a "{{" in one is not a template.
//
// Host keys are accepted when a host is met for the first time and kept per instance.
// They must not change after that, unless the apply before created or replaced
// something (Options.NewHosts): then all of the instance's hosts are met anew.
package ansible

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "embed"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/wire"
)

//go:embed terrace_events.py
var eventsPlugin []byte

// KeySecret is the secret that is the private key of SSH connections.
const KeySecret = "SSH_KEY"

const (
	defaultWithin = 5 * time.Minute
	defaultGrace  = 30 * time.Second
	forks         = "10"
)

// Options says what to run and with what.
type Options struct {
	Provision wire.Provision
	// Tree is the root of the repository's files, Root the directory of terrace.hcl in it.
	Tree, Root string
	// Dir is a private, empty directory for this call, which removes it.
	Dir string
	// KnownHosts is the file of host keys that is kept for the instance.
	KnownHosts string
	// NewHosts forgets the kept keys first.
	NewHosts bool
	// Secrets are the job's, by name; Provision.Secrets says which to use.
	Secrets map[string]string
	// Env is the environment to start from; nothing else is inherited.
	Env []string
	// Check shows what would be changed and changes nothing.
	Check  bool
	Output io.Writer
	// Grace is how long Ansible may take to end when ctx does.
	Grace time.Duration
}

// Failed is the answer no of a playbook or its hosts: something for the people whose
// code it is.
type Failed struct{ Message string }

func (f *Failed) Error() string { return f.Message }

// Run runs the playbook and returns the recap per host, which may be there with an
// error too. Errors: *Failed, ctx's, or a core error when the machine could not do it.
func Run(ctx context.Context, o Options) (recap []wire.Recap, err error) {
	if o.Output == nil {
		o.Output = io.Discard
	}
	if len(o.Provision.Hosts) == 0 {
		_, err := fmt.Fprintln(o.Output, "ansible: the inventory has no hosts, nothing to do")
		return nil, err
	}
	program, err := process.Lookup(o.Env, "ansible-playbook")
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "ansible-playbook is not installed on the machine of the runner; install ansible-core there")
	}
	playbook := filepath.Join(o.Tree, filepath.FromSlash(o.Provision.Playbook))
	if !filepath.IsLocal(filepath.FromSlash(o.Provision.Playbook)) {
		return nil, &Failed{fmt.Sprintf("the playbook %q is not inside the repository", o.Provision.Playbook)}
	}
	if info, err := os.Stat(playbook); err != nil || !info.Mode().IsRegular() {
		return nil, &Failed{fmt.Sprintf("the playbook %s is not in the repository at this commit", o.Provision.Playbook)}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	files, err := write(o)
	if err != nil {
		return nil, err
	}
	ssh, err := openSSH(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ssh.close()) }()

	args := []string{"-i", files.inventory, "-e", "@" + files.variables}
	if o.Check {
		args = append(args, "--check", "--diff")
	}
	said := &errorText{to: o.Output}
	ended := process.Run(ctx, process.Command{
		Args: append(append([]string{program}, args...), playbook), Dir: filepath.Join(o.Tree, filepath.FromSlash(o.Root)),
		Env:    slices.Concat(clean(o.Env), o.settings(files, filepath.Dir(playbook)), ssh.env()),
		Stdout: said, Stderr: said, Grace: cmp.Or(o.Grace, defaultGrace),
	})
	log, err := readEvents(files.events)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "what Ansible did could not be read: %w", err)
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return log.recap, ctx.Err()
	case ended == nil:
		return log.recap, nil
	case !errors.As(ended, &exit):
		return nil, core.Errorf(core.Unavailable, "ansible-playbook could not be started: %w", ended)
	case exit.ExitCode() < 0:
		return log.recap, core.Errorf(core.Unavailable, "ansible-playbook was ended from outside (%s); what it had done is done, and running it again is safe for an idempotent playbook", exit)
	}
	return log.recap, &Failed{log.explain(o, exit.ExitCode(), said.text(o.Tree))}
}

// files are what a run of Ansible reads and writes in its folder.
type files struct {
	inventory, variables, config, plugins, events string
}

func write(o Options) (files, error) {
	f := files{
		inventory: filepath.Join(o.Dir, "inventory.json"),
		variables: filepath.Join(o.Dir, "variables.json"),
		config:    filepath.Join(o.Dir, "ansible.cfg"),
		plugins:   filepath.Join(o.Dir, "plugins"),
		events:    filepath.Join(o.Dir, "events"),
	}
	inventory, err := staticInventory(o.Provision.Inventory)
	if err != nil {
		return f, &Failed{"the inventory cannot be read: " + err.Error()}
	}
	variables, err := extraVariables(o.Provision, o.Secrets)
	if err != nil {
		return f, err
	}
	if err := os.MkdirAll(f.plugins, 0o700); err != nil {
		return f, core.Errorf(core.Unavailable, "no folder for Ansible: %w", err)
	}
	for file, content := range map[string][]byte{
		f.inventory: inventory, f.variables: variables, f.events: nil,
		// An empty configuration, so that none is looked for in /etc.
		f.config: []byte("[defaults]\n"), filepath.Join(f.plugins, "terrace_events.py"): eventsPlugin,
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return f, core.Errorf(core.Unavailable, "no file for Ansible: %w", err)
		}
	}
	return f, nil
}

// settings are Ansible's. A configuration in the repository, beside the playbook or
// beside terrace.hcl, is the owner's word: what is set here then is only what keeps the
// run inside of its folder and heard.
func (o Options) settings(f files, beside string) []string {
	within, err := time.ParseDuration(o.Provision.Within)
	if err != nil || within <= 0 {
		within = defaultWithin
	}
	env := []string{
		"ANSIBLE_HOME=" + filepath.Join(o.Dir, "home"),
		"ANSIBLE_LOCAL_TEMP=" + filepath.Join(o.Dir, "tmp"),
		"ANSIBLE_CALLBACK_PLUGINS=" + f.plugins,
		"ANSIBLE_INVENTORY_ENABLED=yaml",
		"ANSIBLE_RETRY_FILES_ENABLED=False",
		"ANSIBLE_FORCE_COLOR=True",
		"ANSIBLE_NOCOWS=True",
		"PYTHONUNBUFFERED=1",
		"TERRACE_EVENTS=" + f.events,
		"TERRACE_WITHIN=" + strconv.FormatFloat(within.Seconds(), 'f', -1, 64),
	}
	if own := o.ownConfig(beside); own != "" {
		return append(env, "ANSIBLE_CONFIG="+own)
	}
	return append(env, "ANSIBLE_CONFIG="+f.config, "ANSIBLE_STDOUT_CALLBACK=default", "ANSIBLE_FORKS="+forks,
		"ANSIBLE_PIPELINING=True", "ANSIBLE_HOST_KEY_CHECKING=True")
}

// ownConfig is the repository's ansible.cfg, "" when it has none.
func (o Options) ownConfig(beside string) string {
	for _, dir := range []string{beside, filepath.Join(o.Tree, filepath.FromSlash(o.Root))} {
		file := filepath.Join(dir, "ansible.cfg")
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

// clean drops what would change Ansible's or SSH's behaviour, and the key.
func clean(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == KeySecret || strings.HasPrefix(name, "ANSIBLE_") || strings.HasPrefix(name, "TERRACE_") || strings.HasPrefix(name, "SSH_")
	})
}

// errorText passes output on and keeps Ansible's own complaint: what follows "ERROR!".
type errorText struct {
	to   io.Writer
	line []byte
	kept []string
	on   bool
}

const errorLines = 12

func (e *errorText) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			if len(e.line) < 4096 {
				e.line = append(e.line, rest...)
			}
			break
		}
		e.take(string(append(e.line, rest[:i]...)))
		e.line, rest = e.line[:0], rest[i+1:]
	}
	return e.to.Write(p)
}

func (e *errorText) take(line string) {
	line = strings.TrimRight(uncolour(line), " \r")
	e.on = e.on || strings.HasPrefix(line, "ERROR!") || strings.HasPrefix(line, "[ERROR]")
	if e.on && line != "" && len(e.kept) < errorLines {
		e.kept = append(e.kept, line)
	}
}

// text is the complaint, with the tree's own path taken off file names.
func (e *errorText) text(tree string) string {
	e.take(string(e.line))
	return strings.ReplaceAll(strings.Join(e.kept, "\n"), tree+string(filepath.Separator), "")
}

// uncolour drops colour sequences.
func uncolour(s string) string {
	for {
		start := strings.Index(s, "\x1b[")
		if start < 0 {
			return s
		}
		end := strings.IndexByte(s[start:], 'm')
		if end < 0 {
			return s[:start]
		}
		s = s[:start] + s[start+end+1:]
	}
}
