package ansible

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// agentPatience is how long an agent may take to answer on its socket.
const agentPatience = 10 * time.Second

// session is what SSH connections of one run share: a folder with a short path, since
// the name of a socket has about 100 bytes, the agent, and connections that are kept
// open from task to task.
type session struct {
	dir   string
	own   bool // the repository brings its own ansible.cfg
	agent *process.Process
}

func openSSH(ctx context.Context, o Options) (*session, error) {
	fail := func(err error) (*session, error) {
		return nil, core.Errorf(core.Unavailable, "SSH cannot be prepared: %w", err)
	}
	dir, err := os.MkdirTemp("/tmp", "tr")
	if err != nil {
		return fail(err)
	}
	s := &session{dir: dir, own: o.ownConfig(filepath.Dir(filepath.Join(o.Tree, o.Provision.Playbook))) != ""}
	if err := errors.Join(os.MkdirAll(filepath.Dir(o.KnownHosts), 0o700), s.knownHosts(o)); err != nil {
		return fail(errors.Join(err, s.close()))
	}
	if key, ok := o.Secrets[KeySecret]; ok && slices.Contains(o.Provision.Secrets, KeySecret) {
		if err := s.startAgent(ctx, key, o.Env); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// knownHosts makes the kept file reachable by a path that needs no quoting.
func (s *session) knownHosts(o Options) error {
	if o.NewHosts {
		if err := os.WriteFile(o.KnownHosts, nil, 0o600); err != nil {
			return err
		}
	}
	return os.Symlink(o.KnownHosts, s.path("known_hosts"))
}

func (s *session) path(name string) string { return filepath.Join(s.dir, name) }

// env tells Ansible and ssh about the session. The user's own ~/.ssh, which ssh finds
// by the user's number and not by HOME, is shut out.
func (s *session) env() []string {
	policy := []string{
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=" + s.path("known_hosts"), "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "IdentityFile=none",
	}
	env := []string{
		"ANSIBLE_SSH_CONTROL_PATH=" + s.path("%%C"), "ANSIBLE_SSH_CONTROL_PATH_DIR=" + s.dir,
		"TERRACE_CONTROL_PATH=" + s.path("%C"),
	}
	if s.own {
		// The first word wins with ssh: these come last, after whatever the owner says.
		env = append(env, "ANSIBLE_SSH_EXTRA_ARGS="+strings.Join(policy, " "))
	} else {
		base := []string{"-F", "/dev/null", "-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s"}
		env = append(env, "ANSIBLE_SSH_ARGS="+strings.Join(append(base, policy...), " "))
	}
	if s.agent != nil {
		env = append(env, "SSH_AUTH_SOCK="+s.path("agent"))
	}
	return env
}

// startAgent starts an agent and gives it the key, over a pipe.
func (s *session) startAgent(ctx context.Context, key string, env []string) error {
	socket := s.path("agent")
	agent, err := process.Start(process.Command{Args: []string{"ssh-agent", "-D", "-a", socket}, Env: clean(env)})
	if err != nil {
		return core.Errorf(core.Unavailable, "ssh-agent cannot be started on the machine of the runner: %w", err)
	}
	s.agent = agent
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	if err := listening(ctx, socket); err != nil {
		return core.Errorf(core.Unavailable, "ssh-agent does not answer: %w", err)
	}
	var said bytes.Buffer
	if err := process.Run(ctx, process.Command{
		Args: []string{"ssh-add", "-q", "-"}, Env: append(clean(env), "SSH_AUTH_SOCK="+socket, "SSH_ASKPASS_REQUIRE=never"),
		// Keys that went through forms and files come with other line ends, or without the last one.
		Stdin:  strings.NewReader(strings.TrimSpace(strings.ReplaceAll(key, "\r\n", "\n")) + "\n"),
		Stdout: &said, Stderr: &said, Grace: -1,
		Session: true, // no terminal to ask a passphrase on
	}); err != nil {
		return &Failed{fmt.Sprintf("the secret %s is not a private key that ssh-add takes (it must have no passphrase): %s", KeySecret, lastLine(said.Bytes()))}
	}
	return nil
}

func lastLine(out []byte) string {
	lines := strings.Split(string(bytes.TrimSpace(out)), "\n")
	return lines[len(lines)-1]
}

// listening waits until somebody listens on the socket.
func listening(ctx context.Context, socket string) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// close ends the agent and removes the folder. Connections that were kept open have
// ended with Ansible, which they belong to.
func (s *session) close() error {
	var err error
	if s.agent != nil {
		err = s.agent.Kill()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
