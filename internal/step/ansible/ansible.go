// Package ansible runs a stack's playbook against hosts of the state that was just
// written.
//
// # Secrets
//
// Nothing secret is in a file or an argument. ansible-playbook inherits inventory and
// vault password as files in memory (unlinked ones where there are none), and reads its
// extra variables from a pipe. The private key of SSH connections is held by an agent
// inside of the runner. Its environment is made from scratch. What Ansible itself writes
// down while it works is in Options.Dir, which is removed; when the runner is killed, the
// executor does that.
//
//	SSH_KEY             the private key of SSH connections
//	SSH_KEY_PASSPHRASE  opens it
//	SSH_PASSWORD        the password of SSH connections (needs sshpass)
//	BECOME_PASSWORD     the password of sudo, or of another become method
//	VAULT_PASSWORD      opens what ansible-vault has encrypted
//	any other           the extra variable of the same name in lower case
//
// Values that come from outputs and variables are data: a "{{" in one is not a template.
//
// # Host keys
//
// A host is known by its name in the inventory. One of which no key is known shows its
// key on the first connection, and Run returns it; one of which any is known has to show
// one of those. A bastion is the same.
//
// # Results
//
// A host is done when every play that is for it came to its end for it and it did not
// fail, whatever became of others. What ansible-playbook's exit code says of all of them
// is not enough for that: a callback reports plays and tasks as they happen.
package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	defaultWithin = 5 * time.Minute
	defaultGrace  = 30 * time.Second
	forks         = "10"
)

// Options says what to run and with what.
type Options struct {
	Provision wire.Provision
	// Instance is whose hosts they are, STACK@ENVIRONMENT.
	Instance string
	// Tree is the root of the repository's files, Root the directory of terrace.hcl in it.
	Tree, Root string
	// Dir is a private, empty directory for this call, which removes it.
	Dir string
	// Store keeps what requirements name, for all runs of the machine.
	Store string
	// Secrets are the job's, by name; Provision.Secrets says which to use.
	Secrets map[string]string
	// Env is the environment to start from; nothing else is inherited.
	Env    []string
	Output io.Writer
	// Mask takes secrets out of texts of the result; nil leaves them.
	Mask func(string) string
	// Progress is called with how it goes, at most once a second, when that is news.
	Progress func([]wire.HostResult)
	// Grace is how long Ansible may take to end when ctx does.
	Grace time.Duration
}

// Failed is the answer no of a playbook or its hosts: something for the people whose
// code it is.
type Failed struct{ Message string }

func (f *Failed) Error() string { return f.Message }

// Run runs the playbook and returns how it went per host, also with an error. Errors:
// *Failed, ctx's, or a core error when the machine could not do it. In check mode, hosts
// that failed are no error.
func Run(ctx context.Context, o Options) (done wire.Provisioned, err error) {
	o.complete()
	if len(o.Provision.Hosts) == 0 {
		_, err := fmt.Fprintln(o.Output, "ansible: the inventory has no hosts, nothing to do")
		return done, err
	}
	program, err := o.find()
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	files, err := o.write()
	if err != nil {
		return done, err
	}
	ssh, err := o.openSSH()
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, ssh.close()) }()

	r := &run{Options: o, program: program, files: files, ssh: ssh}
	if done.Warnings, err = r.prepare(ctx); err != nil {
		return done, err
	}
	how := once
	if o.Provision.Check {
		how = checked
	}
	seen, err := r.playbook(ctx, o.Provision.Limit, how)
	done.Recap, done.Hosts = seen.recaps(), seen.results()
	if err == nil && how == once && o.Provision.Twice {
		err = r.again(ctx, &done)
	}
	var unread error
	if done.HostKeys, unread = learned(ssh.path("known_hosts"), o.Provision); unread != nil && err == nil {
		err = core.Errorf(core.Unavailable, "the host keys that were met cannot be read: %w", unread)
	}
	return done, err
}

// complete fills in what may be left out.
func (o *Options) complete() {
	if o.Output == nil {
		o.Output = io.Discard
	}
	if o.Mask == nil {
		o.Mask = func(s string) string { return s }
	}
	if len(o.Provision.Limit) == 0 {
		o.Provision.Limit = o.Provision.Hosts
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
}

// find returns the program, when there is a playbook for it.
func (o Options) find() (program string, err error) {
	if program, err = process.Lookup(o.Env, "ansible-playbook"); err != nil {
		return "", core.Errorf(core.Unavailable, "ansible-playbook is not installed on the machine of the runner; install ansible-core there")
	}
	if !filepath.IsLocal(filepath.FromSlash(o.Provision.Playbook)) {
		return "", &Failed{fmt.Sprintf("the playbook %q is not inside the repository", o.Provision.Playbook)}
	}
	if info, err := os.Stat(o.playbookFile()); err != nil || !info.Mode().IsRegular() {
		return "", &Failed{fmt.Sprintf("the playbook %s is not in the repository at this commit", o.Provision.Playbook)}
	}
	return program, nil
}

func (o Options) playbookFile() string {
	return filepath.Join(o.Tree, filepath.FromSlash(o.Provision.Playbook))
}

func (o Options) root() string { return filepath.Join(o.Tree, filepath.FromSlash(o.Root)) }

// run is a call of Run under way. It runs ansible-playbook once or twice.
type run struct {
	Options
	program string
	files   files
	ssh     *session
	env     []string // beyond what every run has
}

// mode is how ansible-playbook runs.
type mode int

const (
	once mode = iota
	repeated
	checked
)

// prepare finds what was asked for besides a playbook.
func (r *run) prepare(ctx context.Context) (warnings []string, err error) {
	if !r.Provision.Mitogen && len(r.Provision.Requirements) == 0 {
		return nil, nil
	}
	ansible, err := r.version(ctx)
	if err != nil {
		return nil, err
	}
	if r.Provision.Mitogen {
		if r.env, err = r.mitogen(ctx, ansible); err != nil {
			return nil, err
		}
	}
	if len(r.Provision.Requirements) == 0 {
		return nil, nil
	}
	paths, warnings, err := r.requirements(ctx, ansible)
	r.env = append(r.env, paths...)
	return warnings, err
}

// playbook runs ansible-playbook to its end on some of the hosts.
func (r *run) playbook(ctx context.Context, limit []string, how mode) (*results, error) {
	seen := newResults(r.Options, limit)
	var given given
	args, env, err := r.invocation(&given, limit, how)
	if err != nil {
		return seen, errors.Join(err, given.close())
	}
	listening, err := seen.listen(r.Progress)
	if err != nil {
		return seen, errors.Join(core.Errorf(core.Unavailable, "no pipe for Ansible: %w", err), given.close())
	}
	env = append(env, fmt.Sprintf("TERRACE_EVENTS=%d", given.add(listening.theirs)))

	said := &errorText{to: r.Output}
	ended := process.Run(ctx, process.Command{
		Args: append([]string{r.program}, args...), Dir: r.root(), Env: env, ExtraFiles: given.files,
		Stdout: said, Stderr: said, Grace: r.Grace,
	})
	err = given.close()
	listening.end()
	if err != nil {
		return seen, core.Errorf(core.Unavailable, "what Ansible was given could not be taken back: %w", err)
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return seen, ctx.Err()
	case ended == nil:
		seen.finish()
		return seen, nil
	case !errors.As(ended, &exit):
		return seen, core.Errorf(core.Unavailable, "ansible-playbook could not be started: %w", ended)
	case exit.ExitCode() < 0:
		return seen, core.Errorf(core.Unavailable, "ansible-playbook was ended from outside (%s); what it had done is done, and running it again is safe for an idempotent playbook", exit)
	case how == checked && seen.troubled():
		return seen, nil // of which the results tell
	}
	return seen, &Failed{seen.explain(exit.ExitCode(), said.text(r.Tree))}
}

// files are what a run of Ansible reads in its folder. Nothing in them is secret.
type files struct {
	config, plugins string
}

func (o Options) write() (files, error) {
	f := files{config: filepath.Join(o.Dir, "ansible.cfg"), plugins: filepath.Join(o.Dir, "plugins")}
	if err := os.MkdirAll(f.plugins, 0o700); err != nil {
		return f, core.Errorf(core.Unavailable, "no folder for Ansible: %w", err)
	}
	for file, content := range map[string][]byte{
		// An empty configuration, so that none is looked for in /etc.
		f.config: []byte("[defaults]\n"),
		filepath.Join(f.plugins, "terrace_events.py"): eventsPlugin,
		filepath.Join(f.plugins, "terrace_hosts.py"):  hostsPlugin,
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return f, core.Errorf(core.Unavailable, "no file for Ansible: %w", err)
		}
	}
	return f, nil
}

// limited reports whether the playbook runs on fewer hosts than there are.
func (o Options) limited(limit []string) bool {
	return slices.ContainsFunc(o.Provision.Hosts, func(h string) bool { return !slices.Contains(limit, h) })
}
