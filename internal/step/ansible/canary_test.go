package ansible

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// locked puts a passphrase on a key.
func locked(t *testing.T, key, passphrase string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// vaulted is what ansible-vault makes of a text.
func vaulted(t *testing.T, text, password string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ansible-vault", "encrypt", "--vault-password-file", file)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ansible-vault: %v", err)
	}
	return string(out)
}

func TestSecretsAreInNoFileAndNoArgument(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := newBench(t, remote+`
    - ansible.builtin.copy:
        dest: "{{ out }}/connected"
        content: "{% for s in ['SSH_KEY', 'SSH_KEY_PASSPHRASE', 'BECOME_PASSWORD', 'VAULT_PASSWORD'] %}{{ lookup('env', s) }}{% endfor %}"
    - ansible.builtin.assert:
        that: [db_password == 'canary-of-db', ansible_become_password == 'canary-of-become', sealed == 'canary-of-the-vault', told == 'canary-of-inventory']
    - ansible.builtin.wait_for: {path: "{{ out }}/go", timeout: 600, sleep: 1}
    - ansible.builtin.shell: echo "$SSH_CONNECTION" > "{{ out }}/from"
`).over(h)
	vars := h.Vars()
	vars["told"] = "canary-of-inventory"
	b.hosts(map[string]map[string]any{h.Name: vars})
	b.write("ansible/group_vars/web.yml", vaulted(t, "sealed: canary-of-the-vault\n", "canary-of-vault-password"))
	key := locked(t, h.Key(), "canary-of-passphrase")
	b.o.Secrets = map[string]string{
		KeySecret:        strings.ReplaceAll(strings.TrimSpace(key), "\n", "\r\n"), // as a web form sends it
		PassphraseSecret: "canary-of-passphrase\n", VaultSecret: "canary-of-vault-password\r\n", BecomeSecret: "canary-of-become\n", "DB_PASSWORD": "canary-of-db",
	}
	for name, value := range b.o.Secrets {
		b.o.Provision.Secrets = append(b.o.Provision.Secrets, name)
		b.o.Env = append(b.o.Env, name+"="+value)
	}
	canaries := [][]byte{[]byte("canary-of-"), []byte(strings.Split(h.Key(), "\n")[2]), []byte(strings.Split(key, "\n")[2])}
	ended := make(chan error, 1)
	go func() {
		done, err := b.run()
		if err == nil && statuses(done) != "web-1 done" {
			err = errors.New(statuses(done))
		}
		ended <- err
	}()
	waitFor(t, "the first task", func() bool { return !strings.HasPrefix(b.written("connected"), "(") })
	if got := b.written("connected"); got != "" {
		t.Errorf("Ansible sees secrets in its environment: %q", got)
	}
	sessions, err := filepath.Glob("/tmp/tr*")
	if err != nil || len(sessions) == 0 {
		t.Errorf("no folder of the session: %v", err)
	}
	seen := 0
	for _, dir := range append(sessions, b.o.Dir) {
		seen += search(t, dir, canaries)
	}
	if seen == 0 {
		t.Error("the search saw no file")
	}
	special := slices.Clone(canaries[1:])
	for _, name := range []string{"passphrase", "vault-password", "become", "the-vault", "inventory"} {
		special = append(special, []byte("canary-of-"+name))
	}
	searchProcesses(t, "cmdline", canaries)
	searchProcesses(t, "environ", special) // an ordinary one is in that of the run's processes
	if err := os.WriteFile(filepath.Join(b.out, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, b.log)
	}
	if got := b.written("from"); !strings.Contains(got, fmt.Sprint(" ", h.Port)) {
		t.Errorf("it did not come over SSH: %q", got)
	}
	search(t, filepath.Dir(b.o.Tree), canaries)
	sockets, _ := filepath.Glob("/proc/[0-9]*/environ") // nothing of the session lives on
	for _, file := range sockets {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(b.o.Dir)) {
			t.Errorf("%s is still there", file)
		}
	}
}

// searchProcesses looks at the arguments or the environments of all processes.
func searchProcesses(t *testing.T, what string, secrets [][]byte) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/" + what)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		for _, secret := range secrets {
			if bytes.Contains(text, secret) {
				args, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
				t.Errorf("a secret is in the %s of %q", what, args)
			}
		}
	}
}

// search fails the test when a file below dir holds a secret, and returns how many files
// it saw.
func search(t *testing.T, dir string, secrets [][]byte) (seen int) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(file string, d os.DirEntry, err error) error { // files come and go
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		seen++
		for _, secret := range secrets {
			if bytes.Contains(text, secret) && !bytes.Contains(text, []byte("- ansible.builtin.assert:")) {
				t.Errorf("a secret is in %s", file)
			}
		}
		return nil
	})
	return seen
}
