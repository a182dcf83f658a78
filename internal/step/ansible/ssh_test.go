package ansible

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// newHost is a real sshd that lets one key in.
func newHost(t *testing.T) *testkit.FleetHost {
	t.Helper()
	return testkit.NewFleet(t, "web-1").Hosts[0]
}

func keygen(t *testing.T, args ...string) (private string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", append([]string{"-q", "-f", file}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s (run: scripts/deps test)", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// over makes the bench's only host this one, with its key.
func (b *bench) over(h *testkit.FleetHost) *bench {
	b.hosts(map[string]map[string]any{h.Name: h.Vars()})
	b.o.Secrets, b.o.Provision.Secrets = map[string]string{KeySecret: h.Key()}, []string{KeySecret}
	return b
}

const remote = "- hosts: web\n  gather_facts: false\n  tasks:\n"

func TestAHostThatIsStillBootingIsWaitedFor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Kill()
	b := newBench(t, remote+"    - ansible.builtin.copy: {dest: '{{ out }}/file', content: 'x'}\n").over(h)
	failed := make(chan error, 1)
	go func() {
		_, err := b.run()
		failed <- err
	}()
	// ansible-playbook reads the inventory long before it gives up on the host.
	waitFor(t, "Ansible", func() bool { return strings.Contains(b.log.String(), "PLAY [web]") })
	h.Start()
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
	vars := h.Vars()
	vars["ansible_port"] = testkit.FreePort(t)
	b.hosts(map[string]map[string]any{"web-2": vars})
	b.o.Provision.Within = "1s"
	b.wants(b.fails("host web-2 did not let Ansible in within 1s", "Connection refused"), "web-2 unreachable")

	b = newBench(t, remote+"    - ansible.builtin.ping:\n").over(h)
	b.o.Secrets[KeySecret], b.o.Provision.Within = keygen(t, "-t", "ed25519", "-N", ""), "1s"
	b.fails("host web-1 did not let Ansible in", "Permission denied")
}
