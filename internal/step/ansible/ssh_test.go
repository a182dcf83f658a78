package ansible

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/wire"
)

// host is a real sshd on loopback that lets one key in.
type host struct {
	t    *testing.T
	dir  string
	port string
	cmd  *exec.Cmd
}

func keygen(t *testing.T, file string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s (install openssh-client)", err, out)
	}
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // what its service would have made
			t.Fatal(err)
		}
	}
	h := &host{t: t, dir: t.TempDir(), port: freePort(t)}
	keygen(t, filepath.Join(h.dir, "id"))
	h.newIdentity()
	h.start()
	return h
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// newIdentity gives the host another host key.
func (h *host) newIdentity() {
	h.t.Helper()
	key := filepath.Join(h.dir, "host_key")
	for _, file := range []string{key, key + ".pub"} {
		if err := os.RemoveAll(file); err != nil {
			h.t.Fatal(err)
		}
	}
	keygen(h.t, key)
}

func (h *host) start() {
	h.t.Helper()
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s/host_key\nAuthorizedKeysFile %[2]s/id.pub\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n",
		h.port, h.dir)
	file := filepath.Join(h.dir, "sshd_config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", file)
	if err := h.cmd.Start(); err != nil {
		h.t.Fatalf("sshd: %v (install openssh-server)", err)
	}
	h.t.Cleanup(h.stop)
	waitFor(h.t, "sshd", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+h.port)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func (h *host) stop() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

func (h *host) key() string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, "id"))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

func (h *host) vars() map[string]any {
	me, err := user.Current()
	if err != nil {
		h.t.Fatal(err)
	}
	return map[string]any{"ansible_host": "127.0.0.1", "ansible_port": h.port, "ansible_user": me.Username, "ansible_remote_tmp": filepath.Join(h.dir, "tmp")}
}

// over makes the bench's only host this one, with its key.
func (b *bench) over(h *host) *bench {
	b.hosts(map[string]map[string]any{"web-1": h.vars()})
	b.o.Secrets, b.o.Provision.Secrets = map[string]string{KeySecret: h.key()}, []string{KeySecret}
	return b
}

const remote = "- hosts: web\n  gather_facts: false\n  tasks:\n"

func TestSSHKeyIsInNoFileAndNoArgument(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := newBench(t, remote+`
    - ansible.builtin.copy: {dest: "{{ out }}/connected", content: "{{ lookup('env', 'SSH_KEY') }}"}
    - ansible.builtin.wait_for: {path: "{{ out }}/go", timeout: 60, sleep: 1}
    - ansible.builtin.shell: echo "$SSH_CONNECTION" > "{{ out }}/from"
`).over(h)
	b.o.Secrets[KeySecret] = strings.ReplaceAll(strings.TrimSpace(h.key()), "\n", "\r\n") // as a web form sends it
	b.o.Env = append(b.o.Env, KeySecret+"="+h.key())
	secret := []byte(strings.Split(h.key(), "\n")[2])
	type result struct {
		recap []wire.Recap
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		recap, err := b.run()
		ended <- result{recap, err}
	}()
	waitFor(t, "the first task", func() bool { return !strings.HasPrefix(b.written("connected"), "(") })
	if got := b.written("connected"); got != "" {
		t.Errorf("Ansible sees the key in its environment: %q", got)
	}
	before, err := filepath.Glob("/tmp/tr*")
	if err != nil || len(before) == 0 {
		t.Errorf("no folder of the session: %v", err)
	}
	seen := 0
	for _, dir := range append(before, b.o.Dir, filepath.Dir(b.o.KnownHosts)) {
		seen += search(t, dir, secret)
	}
	if seen == 0 {
		t.Error("the search saw no file")
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range lines {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, secret) {
			t.Errorf("the key is in the arguments of %s", text)
		}
	}
	if err := os.WriteFile(filepath.Join(b.out, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := <-ended
	if r.err != nil || len(r.recap) != 1 || r.recap[0].Failed+r.recap[0].Unreachable > 0 {
		t.Fatalf("%+v, %v\n%s", r.recap, r.err, b.log)
	}
	if got := b.written("from"); !strings.Contains(got, " "+h.port) {
		t.Errorf("it did not come over SSH: %q", got)
	}
	search(t, filepath.Dir(b.o.Tree), secret)
	sockets, _ := filepath.Glob("/proc/[0-9]*/environ") // nothing of the session lives on
	for _, file := range sockets {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(b.o.Dir)) {
			t.Errorf("%s is still there", file)
		}
	}
}

// search fails the test when a file below dir holds the secret, and returns how many
// files it saw.
func search(t *testing.T, dir string, secret []byte) (seen int) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(file string, d os.DirEntry, err error) error { // files come and go
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if text, err := os.ReadFile(file); err == nil {
			seen++
			if bytes.Contains(text, secret) {
				t.Errorf("the key is in %s", file)
			}
		}
		return nil
	})
	return seen
}

func TestAHostThatIsStillBootingIsWaitedFor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.stop()
	b := newBench(t, remote+"    - ansible.builtin.copy: {dest: '{{ out }}/file', content: 'x'}\n").over(h)
	failed := make(chan error, 1)
	go func() {
		_, err := b.run()
		failed <- err
	}()
	// ansible-playbook reads the inventory long before it gives up on the host.
	waitFor(t, "Ansible", func() bool { return strings.Contains(b.log.String(), "PLAY [web]") })
	h.start()
	if err := <-failed; err != nil {
		t.Fatalf("%v\n%s", err, b.log)
	}
	if got := b.written("file"); got != "x" {
		t.Errorf("the host has %q", got)
	}
}

func TestHostsThatDoNotLetUsIn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := newBench(t, remote+"    - ansible.builtin.ping:\n")
	vars := h.vars()
	vars["ansible_port"] = freePort(t)
	b.hosts(map[string]map[string]any{"web-2": vars})
	b.o.Provision.Within = "1s"
	b.fails("host web-2 did not let Ansible in within 1s", "Connection refused")

	b = newBench(t, remote+"    - ansible.builtin.ping:\n").over(h)
	keygen(t, filepath.Join(b.out, "other"))
	other, err := os.ReadFile(filepath.Join(b.out, "other"))
	if err != nil {
		t.Fatal(err)
	}
	b.o.Secrets[KeySecret], b.o.Provision.Within = string(other), "1s"
	b.fails("host web-1 did not let Ansible in", "Permission denied")
}

func TestHostKeysAreKept(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := newBench(t, remote+"    - ansible.builtin.raw: \"true\"\n").over(h)
	b.succeeds()
	h.stop()
	h.newIdentity()
	h.start()
	b.fails("host web-1", "its host key is not the one it had before")
	b.o.NewHosts = true
	b.succeeds()
}

func TestAHostThatGoesAwayIsUnreachable(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := newBench(t, remote+`
    - name: Leave
      ansible.builtin.command: sh -c "kill -9 $(cat {{ out }}/pid)"
      delegate_to: localhost
      vars: {ansible_connection: local}
    - ansible.builtin.meta: reset_connection
    - name: Come back
      ansible.builtin.ping:
`).over(h)
	b.o.Provision.Variables["ansible_ssh_retries"] = []byte("0")
	if err := os.WriteFile(filepath.Join(b.out, "pid"), fmt.Append(nil, h.cmd.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	recap := b.fails(`host web-1 was unreachable at task "Come back"`)
	if len(recap) != 1 || recap[0].Unreachable != 1 {
		t.Errorf("the recap is %+v", recap)
	}
}
