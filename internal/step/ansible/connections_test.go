package ansible

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// A host that only the bastion reaches is waited for, provisioned and known like others,
// also with a configuration of the repository's own.
func TestBastion(t *testing.T) {
	t.Parallel()
	f := testkit.NewFleet(t, "edge", "inner-1", "inner-2")
	edge := f.Host("edge")
	f.Behind("inner-1", "edge")
	f.Behind("inner-2", "edge")
	b := newBench(t, remote+"    - ansible.builtin.copy: {dest: '{{ root }}/file', content: x}\n").onFleet(f, "inner-1", "inner-2")
	b.o.Provision.Bastion = &wire.Bastion{Host: edge.Address, Port: edge.Port, User: edge.Vars()["ansible_user"].(string)}
	bastion := bastionName(*b.o.Provision.Bastion)
	done := b.succeeds()
	b.wants(done, "inner-1 done, inner-2 done")
	if k := done.HostKeys; len(k) != 3 || k[0].Host != bastion || k[0].Keys[0] != edge.HostKey() || k[1].Keys[0] != f.Host("inner-1").HostKey() {
		t.Fatalf("learned were %+v", k)
	}
	b.o.Provision.HostKeys = done.HostKeys

	b.write("ansible.cfg", "[ssh_connection]\nssh_args = -F /dev/null\n")
	b.wants(b.succeeds(), "inner-1 done, inner-2 done")

	edge.Kill()
	b.o.Provision.Within = "1s"
	b.wants(b.fails("the bastion "+strings.TrimPrefix(bastion, "bastion:")+" did not let Ansible in within 1s", "Connection refused"), "inner-1 left, inner-2 left")
	edge.NewIdentity()
	edge.Start()
	b.fails("the bastion "+strings.TrimPrefix(bastion, "bastion:")+" has another host key than before", "terrace hosts forget shop@dev "+bastion)
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	f := testkit.NewFleet(t, "web-1")
	h := f.Hosts[0]
	b := newBench(t, remote+"    - ansible.builtin.command: id -un\n      register: who\n    - ansible.builtin.copy: {dest: '{{ root }}/who', content: '{{ who.stdout }} {{ ansible_become_password }}'}\n").onFleet(f, "web-1")
	b.o.Secrets = map[string]string{PasswordSecret: h.Password + "\n", BecomeSecret: "of sudo\n"}
	b.o.Provision.Secrets = []string{BecomeSecret, PasswordSecret}
	if h.Password == "" { // nobody here may look passwords up, so every one is wrong
		b.o.Secrets[PasswordSecret] = "any"
	} else {
		b.wants(b.succeeds(), "web-1 done")
		if got := fileText(t, filepath.Join(h.Root, "who")); got != "root of sudo" {
			t.Errorf("it was done as %q", got)
		}
		b.o.Secrets[PasswordSecret] = "another one"
	}
	b.o.Provision.Within = "1s"
	b.fails("host web-1 did not let Ansible in", "the password is refused")

	b.o.Env = []string{"PATH=" + onlyAnsible(t), "HOME=" + t.TempDir()}
	if _, err := b.run(); err == nil || !strings.Contains(err.Error(), "sshpass is not installed on the machine of the runner") {
		t.Errorf("without sshpass: %v", err)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t, "").local("web-1")
	b.o.Provision.Secrets = []string{KeySecret}
	b.o.Secrets = map[string]string{KeySecret: keygen(t, "-t", "ecdsa", "-N", "open sesame"), PassphraseSecret: "wrong"}
	b.fails("SSH_KEY is a private key with a passphrase", "SSH_KEY_PASSPHRASE")
	b.o.Provision.Secrets = []string{KeySecret, PassphraseSecret}
	b.fails("SSH_KEY cannot be opened with SSH_KEY_PASSPHRASE")
	b.o.Secrets[PassphraseSecret] = "open sesame\n"
	b.write("ansible/site.yml", local+"    - ansible.builtin.meta: noop\n")
	b.succeeds()
	b.o.Secrets, b.o.Provision.Secrets = map[string]string{KeySecret: keygen(t, "-t", "rsa", "-N", "")}, []string{KeySecret}
	b.succeeds()
}

func fileText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// onlyAnsible is a folder for PATH that has nothing else.
func onlyAnsible(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("ansible-playbook")
	dir := t.TempDir()
	if err == nil {
		err = os.Symlink(program, filepath.Join(dir, "ansible-playbook"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// With Mitogen, hosts are known and waited for as without it.
func TestMitogen(t *testing.T) {
	t.Parallel()
	f := testkit.NewFleet(t, "web-1")
	h := f.Hosts[0]
	b := newBench(t, remote+"    - ansible.builtin.copy: {dest: '{{ root }}/file', content: \"{{ lookup('config', 'DEFAULT_STRATEGY') }}\"}\n").onFleet(f, "web-1")
	b.o.Provision.Mitogen = true
	done := b.succeeds()
	b.wants(done, "web-1 done")
	if got := fileText(t, filepath.Join(h.Root, "file")); got != "mitogen_linear" {
		t.Errorf("the strategy is %s", got)
	}
	if len(done.HostKeys) != 1 || done.HostKeys[0].Keys[0] != h.HostKey() {
		t.Fatalf("learned were %+v", done.HostKeys)
	}
	b.o.Provision.HostKeys = done.HostKeys
	b.wants(b.succeeds(), "web-1 done")
	h.NewIdentity()
	h.Restart()
	b.o.Provision.Check = true // in which Ansible itself is let through to it
	b.wants(b.succeeds(), "web-1 unreachable")
}
