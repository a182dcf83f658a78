package ansible

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "embed"

	"github.com/terrace-cd/terrace/internal/core"
)

//go:embed terrace_events.py
var eventsPlugin []byte

//go:embed terrace_hosts.py
var hostsPlugin []byte

// invocation makes the arguments and the environment of ansible-playbook, and gives it
// what it reads.
func (r *run) invocation(to *given, limit []string, how mode) (args, env []string, err error) {
	fail := func(err error) ([]string, []string, error) {
		return nil, nil, core.Errorf(core.Unavailable, "nothing can be given to Ansible: %w", err)
	}
	inventory, err := staticInventory(r.Provision.Inventory)
	if err != nil {
		return nil, nil, &Failed{"the inventory cannot be read: " + err.Error()}
	}
	variables, err := extraVariables(r.Provision, r.Secrets)
	if err != nil {
		return nil, nil, err
	}
	path, err := to.file("inventory", inventory)
	if err != nil {
		return fail(err)
	}
	pipe := filepath.Join(r.Dir, "variables")
	if err := to.pipe(pipe, variables); err != nil {
		return fail(err)
	}
	args = []string{"-i", path, "-e", "@" + pipe}
	env = slices.Concat(clean(r.Env), r.settings(), r.ssh.env(), r.env)
	if r.uses(VaultSecret) {
		path, err := to.file("vault", []byte(strings.TrimRight(r.Secrets[VaultSecret], "\r\n")+"\n"))
		if err != nil {
			return fail(err)
		}
		env = append(env, "ANSIBLE_VAULT_PASSWORD_FILE="+path)
	}
	if r.limited(limit) {
		file := filepath.Join(r.Dir, "limit")
		if err := os.WriteFile(file, r.limitPatterns(limit), 0o600); err != nil {
			return fail(err)
		}
		args = append(args, "--limit", "@"+file)
	}
	switch how {
	case checked:
		args = append(args, "--check", "--diff")
		env = append(env, "TERRACE_GO_ON=yes")
	case repeated:
		args = append(args, "--diff")
	}
	return append(args, r.playbookFile()), env, nil
}

var plainPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// limitPatterns are the hosts as Ansible's patterns. Plays for the machine itself are not
// left out, unless the inventory has one of that name.
func (o Options) limitPatterns(limit []string) []byte {
	var b bytes.Buffer
	for _, host := range limit {
		if !plainPattern.MatchString(host) {
			host = "~^" + regexp.QuoteMeta(host) + "$"
		}
		fmt.Fprintln(&b, host)
	}
	if !slices.Contains(o.Provision.Hosts, "localhost") {
		fmt.Fprintln(&b, "localhost")
	}
	return b.Bytes()
}

// settings are Ansible's. A configuration in the repository, beside the playbook or
// beside terrace.hcl, is the owner's word: what is set here then is only what keeps the
// run inside of its folder and heard.
func (r *run) settings() []string {
	within, err := time.ParseDuration(r.Provision.Within)
	if err != nil || within <= 0 {
		within = defaultWithin
	}
	env := append(r.ansibleHome(),
		"ANSIBLE_CALLBACK_PLUGINS="+r.files.plugins,
		"ANSIBLE_INVENTORY_ENABLED=yaml",
		"ANSIBLE_RETRY_FILES_ENABLED=False",
		"ANSIBLE_FORCE_COLOR=True",
		"ANSIBLE_NOCOWS=True",
		"PYTHONUNBUFFERED=1",
		"TERRACE_WITHIN="+strconv.FormatFloat(within.Seconds(), 'f', -1, 64),
	)
	if r.ssh.own {
		return env
	}
	return append(env, "ANSIBLE_STDOUT_CALLBACK=default", "ANSIBLE_FORKS="+forks,
		"ANSIBLE_PIPELINING=True", "ANSIBLE_HOST_KEY_CHECKING=True",
		// Of a connection. Ansible's ten seconds are few where many hosts, or the machine
		// of the runner, are busy.
		"ANSIBLE_TIMEOUT=30")
}

// ansibleHome keeps any program of Ansible inside of the run's folder.
func (r *run) ansibleHome() []string {
	config := r.ownConfig()
	if config == "" {
		config = r.files.config
	}
	return []string{"ANSIBLE_HOME=" + filepath.Join(r.Dir, "home"), "ANSIBLE_LOCAL_TEMP=" + filepath.Join(r.Dir, "tmp"), "ANSIBLE_CONFIG=" + config}
}

// ownConfig is the repository's ansible.cfg, "" when it has none.
func (o Options) ownConfig() string {
	for _, dir := range []string{filepath.Dir(o.playbookFile()), o.root()} {
		file := filepath.Join(dir, "ansible.cfg")
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

func (o Options) within() string { return cmp.Or(o.Provision.Within, defaultWithin.String()) }

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
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if _, s, found = strings.Cut(rest, "m"); !found {
			return b.String()
		}
	}
}
