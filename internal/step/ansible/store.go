package ansible

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// The store of a machine has a folder per digest of requirements, with roles and
// collections. A folder is complete when it appears, and never changes after that.

const (
	installTries = 3
	installPause = 2 * time.Second
	// unusedFor is how long what no run uses is kept.
	unusedFor = 30 * 24 * time.Hour
)

// requirements has roles and collections in the store, and returns where Ansible finds
// them: beside what the repository says, and without a network once they are there.
func (r *run) requirements(ctx context.Context, ansible installed) (env, warnings []string, err error) {
	var all []required
	for _, file := range r.Provision.Requirements {
		files, err := r.readRequirements(file)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, files...)
	}
	for _, f := range all {
		warnings = append(warnings, f.warnings()...)
	}
	digest, err := r.requirementsDigest(all, ansible)
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(r.Store, digest)
	if err := r.have(ctx, dir, all); err != nil {
		return nil, warnings, err
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // only for prune
	roles, collections := r.ownPaths()
	return []string{
		"ANSIBLE_ROLES_PATH=" + joinPaths(roles, filepath.Join(dir, "roles"), "/usr/share/ansible/roles", "/etc/ansible/roles"),
		"ANSIBLE_COLLECTIONS_PATH=" + joinPaths(collections, filepath.Join(dir, "collections"), "/usr/share/ansible/collections"),
	}, warnings, nil
}

func joinPaths(own string, more ...string) string {
	return strings.TrimPrefix(own+":"+strings.Join(more, ":"), ":")
}

// have installs what is not there yet. Others that want the same wait for it.
func (r *run) have(ctx context.Context, dir string, all []required) error {
	there := func() bool { info, err := os.Stat(dir); return err == nil && info.IsDir() }
	if there() {
		return nil
	}
	fail := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return core.Errorf(core.Unavailable, "the store of roles and collections cannot be written: %w", err)
	}
	locks := filepath.Join(r.Store, "locks")
	if err := os.MkdirAll(locks, 0o700); err != nil {
		return fail(err)
	}
	unlock, _, err := process.Lock(ctx, filepath.Join(locks, filepath.Base(dir)))
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if there() {
		return nil // somebody else was quicker
	}
	r.prune()
	temp, err := os.MkdirTemp(r.Store, ".new-")
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // gone when all went well
	for _, sub := range []string{"roles", "collections"} {
		if err := os.Mkdir(filepath.Join(temp, sub), 0o700); err != nil {
			return fail(err)
		}
	}
	for _, f := range all {
		if len(f.roles) > 0 {
			if err := r.install(ctx, f, "role", filepath.Join(temp, "roles")); err != nil {
				return err
			}
		}
		if len(f.collections) > 0 {
			if err := r.install(ctx, f, "collection", filepath.Join(temp, "collections")); err != nil {
				return err
			}
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		return fail(err)
	}
	return nil
}

// prune removes what no run has used for long.
func (r *run) prune() {
	entries, _ := os.ReadDir(r.Store) // another time
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() != "locks" && time.Since(info.ModTime()) > unusedFor {
			_ = os.RemoveAll(filepath.Join(r.Store, e.Name())) // another time
		}
	}
}

// network is how failures sound that may be gone in a moment.
var network = regexp.MustCompile(`(?i)timed? ?out|connection (refused|reset|aborted|closed)|name or service not known|temporary failure|could not resolve|no route to host|unreachable|urlopen error|remote end closed|unexpected eof|early eof|rate limit|HTTP (Code:? ?|Error )?(429|5\d\d)|Code: (429|5\d\d)`)

// install has ansible-galaxy install the roles or the collections of a file.
func (r *run) install(ctx context.Context, f required, kind, to string) error {
	galaxy, err := process.Lookup(r.Env, "ansible-galaxy")
	if err != nil {
		return core.Errorf(core.Unavailable, "ansible-galaxy is not installed on the machine of the runner; install ansible-core there")
	}
	for try := 1; ; try++ {
		_, _ = fmt.Fprintf(r.Output, "ansible: installing the %ss of %s\n", kind, f.file) // as little as the log of Ansible itself
		var said bytes.Buffer
		out := io.MultiWriter(r.Output, &said)
		err := process.Run(ctx, process.Command{
			Args: []string{galaxy, kind, "install", "-r", filepath.Join(r.Tree, filepath.FromSlash(f.file)), "-p", to},
			Dir:  r.root(), Env: append(r.galaxyEnv(), "ANSIBLE_COLLECTIONS_PATH="+to), Stdout: out, Stderr: out, Grace: r.Grace,
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			return nil
		}
		why := complaint(said.String())
		if !network.MatchString(said.String()) {
			return &Failed{fmt.Sprintf("the %ss of %s cannot be installed: %s", kind, f.file, why)}
		}
		if try == installTries {
			return core.Errorf(core.Unavailable, "the %ss of %s could not be installed in %d tries: %s", kind, f.file, installTries, why)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * installPause):
		}
	}
}

// galaxyEnv is the run's environment: ansible-galaxy may need proxies, and tokens that are
// secrets of the environment.
func (r *run) galaxyEnv() []string {
	env := append(clean(r.Env), r.ansibleHome()...)
	for _, v := range r.Env {
		if strings.HasPrefix(v, "ANSIBLE_GALAXY_") {
			env = append(env, v)
		}
	}
	env = append(env, "ANSIBLE_GALAXY_CACHE_DIR="+filepath.Join(r.Dir, "galaxy"), "ANSIBLE_NOCOLOR=True", "GIT_TERMINAL_PROMPT=0", "GIT_SSH_COMMAND=ssh -o BatchMode=yes")
	if r.ssh.agent != nil {
		env = append(env, "SSH_AUTH_SOCK="+r.ssh.path("agent"))
	}
	return env
}

// complaint is the error in what ansible-galaxy said, or what it said last.
func complaint(said string) string {
	lines := slices.DeleteFunc(strings.Split(uncolour(said), "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	for i, line := range lines {
		if strings.HasPrefix(line, "ERROR!") || strings.HasPrefix(line, "[ERROR]") {
			return shorten(strings.Join(lines[i:min(i+3, len(lines))], " "), maxMessage)
		}
	}
	if len(lines) == 0 {
		return "ansible-galaxy said nothing"
	}
	return shorten(lines[len(lines)-1], maxMessage)
}

// ownPaths are where the repository's configuration looks for roles and collections.
func (o Options) ownPaths() (roles, collections string) {
	file := o.ownConfig()
	if file == "" {
		return "", ""
	}
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", "" // Ansible will say so
	}
	section := ""
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section != "[defaults]" {
			continue
		}
		switch strings.TrimSpace(key) {
		case "roles_path":
			roles = absolute(value, filepath.Dir(file))
		case "collections_path", "collections_paths":
			collections = absolute(value, filepath.Dir(file))
		}
	}
	return roles, collections
}

// absolute makes the entries of a list of paths so, which are relative to the file that
// has them.
func absolute(paths, dir string) string {
	var out []string
	for _, p := range strings.Split(strings.TrimSpace(paths), ":") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if !filepath.IsAbs(p) && !strings.HasPrefix(p, "~") {
			p = filepath.Join(dir, p)
		}
		out = append(out, p)
	}
	return strings.Join(out, ":")
}
