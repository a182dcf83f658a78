package ansible

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// installed is which Ansible there is.
type installed struct {
	core   string // its version
	python string // the program that runs it
}

var (
	coreVersion = regexp.MustCompile(`(?m)^ansible-playbook \[core ([^\]\s]+)\]`)
	pythonPath  = regexp.MustCompile(`(?m)^\s*python version = .*\(([^()]+)\)\s*$`)
)

// version asks Ansible which it is.
func (r *run) version(ctx context.Context) (installed, error) {
	out, err := r.ask(ctx, r.program, "--version")
	if err != nil {
		return installed{}, core.Errorf(core.Unavailable, "ansible-playbook --version: %w: %s", err, out)
	}
	found, python := coreVersion.FindStringSubmatch(out), pythonPath.FindStringSubmatch(out)
	if found == nil || python == nil {
		return installed{}, core.Errorf(core.Unavailable, "what ansible-playbook --version says is not understood; ansible-core 2.11 or later is needed for mitogen and requirements: %s", out)
	}
	return installed{core: found[1], python: python[1]}, nil
}

// ask runs a program and returns all that it says.
func (r *run) ask(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := process.Run(ctx, process.Command{Args: args, Dir: r.Dir, Env: append(clean(r.Env), r.ansibleHome()...), Stdout: &out, Stderr: &out, Grace: -1})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return strings.TrimSpace(out.String()), err
}

// mitogen has plays run by Mitogen, which has to be installed for the same Python.
func (r *run) mitogen(ctx context.Context, ansible installed) ([]string, error) {
	const where = "import os, ansible_mitogen; print(os.path.join(os.path.dirname(ansible_mitogen.__file__), 'plugins', 'strategy'))"
	out, err := r.ask(ctx, ansible.python, "-c", where)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || !filepath.IsAbs(out) {
		return nil, core.Errorf(core.Unavailable, "mitogen is asked for, and is not installed for the Python that runs Ansible on the machine of the runner (%s); install the package ansible-mitogen there, or take mitogen out of the ansible block", ansible.python)
	}
	return []string{"ANSIBLE_STRATEGY_PLUGINS=" + out, "ANSIBLE_STRATEGY=mitogen_linear",
		"TMPDIR=" + r.ssh.dir}, nil // for its sockets, whose paths have to be short
}
