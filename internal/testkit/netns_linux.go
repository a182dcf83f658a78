package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// netns are network namespaces of this process, which has one network 10.213.N.0/24 of
// its own for them. N is locked for as long as the process lives: its names and addresses
// are nobody else's, and what a killed process left under it can be removed.
type netns struct {
	number int
	lock   *os.File
	spaces []string
	hidden int
}

const netnsFiles = "/etc/netns" // what is in a folder here is in /etc of the namespace

func openNetns(t testing.TB) *netns {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatal("ip is not installed; run: scripts/deps test")
	}
	for number := range 256 {
		lock, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("terrace-netns-%d", number)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			_ = lock.Close() // another process has it
			continue
		}
		n := &netns{number: number, lock: lock}
		n.sweep(t)
		t.Cleanup(func() {
			n.sweep(t)
			_ = lock.Close()
		})
		return n
	}
	t.Fatal("all networks for hosts are taken")
	return nil
}

func (n *netns) name(i int) string { return fmt.Sprintf("tr%d-%d", n.number, i) }

// sweep removes all namespaces of the number, with their processes and links.
func (n *netns) sweep(t testing.TB) {
	t.Helper()
	found, _ := filepath.Glob(fmt.Sprintf("/run/netns/tr%d-*", n.number))
	for _, file := range found {
		name := filepath.Base(file)
		out, _ := exec.Command("ip", "netns", "pids", name).Output() //nolint:noctx // also at the end
		for _, field := range strings.Fields(string(out)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
		ip(t, "netns", "del", name)
		_ = exec.Command("ip", "link", "del", name).Run() //nolint:noctx // it goes with the namespace, a moment later
		_ = os.RemoveAll(filepath.Join(netnsFiles, name))
	}
	_ = os.Remove(netnsFiles) // when it is empty
}

// add makes a namespace with a link to this machine.
func (n *netns) add(t testing.TB, i int) string {
	t.Helper()
	name := n.name(i)
	ip(t, "netns", "add", name)
	n.spaces = append(n.spaces, name)
	ip(t, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
	ip(t, "addr", "add", fmt.Sprintf("10.213.%d.%d/30", n.number, 4*i+1), "dev", name)
	ip(t, "link", "set", name, "up")
	ip(t, "-n", name, "addr", "add", n.address(i)+"/30", "dev", "eth0")
	ip(t, "-n", name, "link", "set", "eth0", "up")
	ip(t, "-n", name, "link", "set", "lo", "up")
	return name
}

// address is that of a namespace.
func (n *netns) address(i int) string { return fmt.Sprintf("10.213.%d.%d", n.number, 4*i+2) }

// hide takes a namespace's link to this machine away and links it with another one.
func (n *netns) hide(t testing.TB, space, other string) (address string) {
	t.Helper()
	ip(t, "link", "del", space)
	n.hidden++
	base := 256 - 4*n.hidden
	address = fmt.Sprintf("10.213.%d.%d", n.number, base+2)
	ip(t, "-n", other, "link", "add", fmt.Sprintf("in%d", n.hidden), "type", "veth", "peer", "name", "eth0", "netns", space)
	ip(t, "-n", other, "addr", "add", fmt.Sprintf("10.213.%d.%d/30", n.number, base+1), "dev", fmt.Sprintf("in%d", n.hidden))
	ip(t, "-n", other, "link", "set", fmt.Sprintf("in%d", n.hidden), "up")
	ip(t, "-n", space, "addr", "add", address+"/30", "dev", "eth0")
	ip(t, "-n", space, "link", "set", "eth0", "up")
	return address
}

// root gives the superuser, in this namespace alone, a password and a home of its own.
func (n *netns) root(t testing.TB, space, home, password string) {
	t.Helper()
	hash, err := exec.CommandContext(t.Context(), "openssl", "passwd", "-6", password).Output()
	if err != nil {
		t.Fatalf("openssl passwd: %v (run: scripts/deps test)", err)
	}
	users, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	var passwd strings.Builder
	for line := range strings.Lines(string(users)) {
		if strings.HasPrefix(line, "root:") {
			line = "root:x:0:0:root:" + home + ":/bin/sh\n"
		}
		passwd.WriteString(line)
	}
	dir := filepath.Join(netnsFiles, space)
	shadow := fmt.Sprintf("root:%s:19000:0:99999:7:::\nsshd:!:19000::::::\n", strings.TrimSpace(string(hash)))
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "passwd"), []byte(passwd.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "shadow"), []byte(shadow), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil { //nolint:noctx // also at the end
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
