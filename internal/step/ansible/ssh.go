package ansible

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/wire"
)

// session is what SSH connections of one run share: a folder with a short path, since
// the name of a socket has about 100 bytes, the agent, the keys of hosts, and
// connections that are kept open from task to task. Nothing in the folder is secret.
type session struct {
	dir     string
	alive   *os.File // locked for as long as this is in use
	own     bool     // the repository brings its own ansible.cfg
	agent   *keyAgent
	bastion *wire.Bastion
}

func (o Options) openSSH() (_ *session, err error) {
	dir, alive, err := sessionDir()
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "SSH cannot be prepared: %w", err)
	}
	s := &session{dir: dir, alive: alive, own: o.ownConfig() != "", bastion: o.Provision.Bastion}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if o.uses(PasswordSecret) {
		if _, err := process.Lookup(o.Env, "sshpass"); err != nil {
			return nil, core.Errorf(core.Unavailable, "sshpass is not installed on the machine of the runner, and the secret %s needs it; install the package sshpass there, or use %s", PasswordSecret, KeySecret)
		}
	}
	keys := known(o.Provision)
	hosts, err := knownHosts(keys)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"known_hosts": hosts}
	if s.bastion != nil {
		_, strict := keys[bastionName(*s.bastion)]
		if files["bastion"], err = s.bastionConfig(strict); err != nil {
			return nil, err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
			return nil, core.Errorf(core.Unavailable, "SSH cannot be prepared: %w", err)
		}
	}
	if o.uses(KeySecret) {
		passphrase := ""
		if o.uses(PassphraseSecret) {
			passphrase = o.Secrets[PassphraseSecret]
		}
		s.agent, err = startAgent(s.path("agent"), o.Secrets[KeySecret], passphrase)
		var failed *Failed
		if err != nil && !errors.As(err, &failed) {
			err = core.Errorf(core.Unavailable, "SSH cannot be prepared: %w", err)
		}
	}
	return s, err
}

// uses reports whether a secret is given to the playbook.
func (o Options) uses(secret string) bool {
	_, set := o.Secrets[secret]
	return set && slices.Contains(o.Provision.Secrets, secret)
}

func (s *session) path(name string) string { return filepath.Join(s.dir, name) }

// policy is what holds for every connection. The first word wins with ssh: this comes
// last, after whatever the owner of the repository says. The user's own ~/.ssh, which
// ssh finds by the user's number and not by HOME, is shut out.
func (s *session) policy() string {
	policy := "-o UserKnownHostsFile=" + s.path("known_hosts") + " -o GlobalKnownHostsFile=/dev/null -o HashKnownHosts=no -o UpdateHostKeys=no -o CheckHostIP=no -o IdentityFile=none"
	if s.bastion != nil {
		policy += " -o 'ProxyCommand=ssh " + s.throughBastion() + "'"
	}
	return policy
}

func (s *session) throughBastion() string {
	return "-F " + s.path("bastion") + " -W [%h]:%p bastion"
}

// bastionConfig is a configuration for ssh of its own, which knows one host. Connections
// to hosts behind it share one to it.
func (s *session) bastionConfig(strict bool) ([]byte, error) {
	b := s.bastion
	for _, word := range []string{b.Host, b.User} {
		if strings.ContainsAny(word, " \t\r\n\"'\\%#") || strings.HasPrefix(word, "-") {
			return nil, &Failed{fmt.Sprintf("%q in bastion of the ansible block is neither a host nor a user", word)}
		}
	}
	checking := "accept-new"
	if strict {
		checking = "yes"
	}
	lines := []string{
		"Host bastion", "HostName " + b.Host, "HostKeyAlias " + alias(bastionName(*b)), "StrictHostKeyChecking " + checking,
		"UserKnownHostsFile " + s.path("known_hosts"), "GlobalKnownHostsFile /dev/null", "HashKnownHosts no", "UpdateHostKeys no", "CheckHostIP no",
		"IdentityFile none", "BatchMode yes", "ControlMaster auto", "ControlPersist 60s", "ControlPath " + s.path("%C"), "ServerAliveInterval 15",
	}
	if b.Port != 0 {
		lines = append(lines, "Port "+strconv.Itoa(b.Port))
	}
	if b.User != "" {
		lines = append(lines, "User "+b.User)
	}
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}

// env tells Ansible and ssh about the session.
func (s *session) env() []string {
	// A host that the inventory does not have, and a playbook adds, is known by its address.
	other := "-o StrictHostKeyChecking=accept-new " + s.policy()
	env := []string{
		"ANSIBLE_SSH_CONTROL_PATH=" + s.path("%%C"), "ANSIBLE_SSH_CONTROL_PATH_DIR=" + s.dir,
		"ANSIBLE_SSH_EXTRA_ARGS=" + other, "ANSIBLE_SFTP_EXTRA_ARGS=" + other, "ANSIBLE_SCP_EXTRA_ARGS=" + other,
		"TERRACE_SSH=" + s.policy(), "TERRACE_KNOWN_HOSTS=" + s.path("known_hosts"), "TERRACE_CONTROL_PATH=" + s.path("%C"),
	}
	if !s.own {
		env = append(env, "ANSIBLE_SSH_ARGS=-F /dev/null -C -o ControlMaster=auto -o ControlPersist=60s")
	}
	if s.bastion != nil {
		env = append(env, "TERRACE_BASTION="+bastionName(*s.bastion), "TERRACE_BASTION_SSH="+s.throughBastion())
	}
	if s.agent != nil {
		env = append(env, "SSH_AUTH_SOCK="+s.path("agent"))
	}
	return env
}

// close ends the agent and removes the folder. Connections that were kept open have
// ended with Ansible, which they belong to.
func (s *session) close() error {
	var err error
	if s.agent != nil {
		err = s.agent.close()
	}
	return errors.Join(err, os.RemoveAll(s.dir), s.alive.Close())
}

// sessionDir makes the folder, and removes those of runners that were killed.
func sessionDir() (dir string, alive *os.File, err error) {
	const parent, prefix, lock, justMade = "/tmp", "tr-", "alive", time.Minute
	left, _ := filepath.Glob(filepath.Join(parent, prefix+"*", lock))
	for _, file := range left {
		info, err := os.Stat(file)
		if err != nil || time.Since(info.ModTime()) < justMade {
			continue
		}
		if f, err := os.Open(file); err == nil {
			if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				_ = os.RemoveAll(filepath.Dir(file)) // nobody's
			}
			_ = f.Close()
		}
	}
	if dir, err = os.MkdirTemp(parent, prefix); err != nil {
		return "", nil, err
	}
	if alive, err = os.Create(filepath.Join(dir, lock)); err == nil {
		err = syscall.Flock(int(alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	return dir, alive, err
}
