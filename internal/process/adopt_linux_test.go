package process_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/process"
)

// Adopt changes the whole program, so these tests run in programs of their own: this
// test's binary, started again.
const role = "TERRACE_TEST_ROLE"

func again(t *testing.T, name string, extra ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+name+"$", "-test.count=1")
	c.Env = append(os.Environ(), append(extra, role+"="+name)...)
	return c
}

// With Adopt, leaving the session and emptying the environment is not enough to escape.
func TestAdopt(t *testing.T) {
	if os.Getenv(role) != "TestAdopt" {
		if out, err := again(t, "TestAdopt").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := process.Adopt(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pid")
	other, err := process.Start(process.Command{Args: []string{"/bin/sleep", "600"}, Session: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_ = os.Remove(file)
		c := shell(fmt.Sprintf(`setsid env -i /bin/sh -c 'setsid env -i /bin/sh -c "echo \$\$ > %[1]s; exec /bin/sleep 600" & exit 0' & while [ ! -s %[1]s ]; do sleep 0.01; done; sleep 0.05`, file))
		if err := process.Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if pid := pidIn(t, file); runs(pid) {
			t.Errorf("process %d escaped", pid)
		}
	}
	if !runs(other.PID()) {
		t.Error("a process that was started here counts as an orphan")
	}
	if err := other.Kill(); err != nil {
		t.Fatal(err)
	}
	// What was adopted was also waited for.
	children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err != nil || len(bytes.TrimSpace(children)) != 0 {
		t.Errorf("children that are left: %s %v", children, err)
	}
}

// A child dies with its parent, however that ends, unless it has a session of its own.
func TestDeathOfTheParent(t *testing.T) {
	if os.Getenv(role) == "TestDeathOfTheParent" {
		for name, session := range map[string]bool{"child": false, "session": true} {
			c := shell("echo $$ > " + filepath.Join(os.Getenv("DIR"), name) + "; exec sleep 600")
			c.Session = session
			if _, err := process.Start(c); err != nil {
				t.Fatal(err)
			}
		}
		select {}
	}
	dir := t.TempDir()
	c := again(t, "TestDeathOfTheParent", "DIR="+dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	child, session := pidIn(t, filepath.Join(dir, "child")), pidIn(t, filepath.Join(dir, "session"))
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // killed
	eventually(t, "the end of the child", func() bool { return !runs(child) })
	if !runs(session) {
		t.Error("a process in its own session died with its parent")
	}
	p, err := os.FindProcess(session)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

func TestStartTimeOfStrangeNames(t *testing.T) {
	strange := filepath.Join(t.TempDir(), "a) R 1 (b c")
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strange, sleep, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	p, err := process.Start(process.Command{Args: []string{strange, "600"}})
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if got := p.Started(); got != fields[19] {
		t.Errorf("%q, want %q", got, fields[19])
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}
