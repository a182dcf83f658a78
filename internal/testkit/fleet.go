package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Fleet is some hosts on this machine, each with an sshd, host keys and a folder of its
// own. As root, each is in a network namespace with an address of its own; else it has an
// address and a port on loopback.
type Fleet struct {
	// Key lets in, KeyFile holds it.
	Key, KeyFile string
	Hosts        []*FleetHost

	t     testing.TB
	dir   string
	sshd  string
	user  string
	netns *netns // nil when not root
}

// FleetHost is one of them.
type FleetHost struct {
	Name    string
	Address string
	Port    int
	// Root is the folder that a playbook takes for the host's file system.
	Root string
	// Password also lets in, and becomes root; "" where nobody could check it.
	Password string

	fleet *Fleet
	dir   string
	space string // its namespace
	cmd   *exec.Cmd
}

// NewFleet starts the hosts, whose names are given. They end with the test.
func NewFleet(t testing.TB, names ...string) *Fleet {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	f := &Fleet{t: t, dir: t.TempDir(), sshd: findSSHD(t), user: me.Username}
	f.KeyFile = filepath.Join(f.dir, "key")
	keygen(t, "ed25519", f.KeyFile)
	f.Key = read(t, f.KeyFile)
	if os.Geteuid() == 0 {
		f.netns = openNetns(t)
	}
	for i, name := range names {
		h := &FleetHost{Name: name, fleet: f, dir: filepath.Join(f.dir, name), Root: filepath.Join(f.dir, name, "root")}
		if err := os.MkdirAll(h.Root, 0o755); err != nil {
			t.Fatal(err)
		}
		f.Hosts = append(f.Hosts, h)
		if f.netns != nil {
			h.space, h.Address, h.Port, h.Password = f.netns.add(t, i), f.netns.address(i), 22, "pass-of-"+name
			f.netns.root(t, h.space, h.dir, h.Password)
		} else {
			h.Address, h.Port = fmt.Sprintf("127.0.0.%d", 10+i), FreePort(t)
		}
		h.NewIdentity()
		h.Start()
	}
	t.Cleanup(func() {
		for _, h := range f.Hosts {
			if t.Failed() {
				t.Logf("sshd of %s said:\n%s", h.Name, read(t, filepath.Join(h.dir, "log")))
			}
			h.Kill()
		}
	})
	return f
}

// Host is the one with that name.
func (f *Fleet) Host(name string) *FleetHost {
	for _, h := range f.Hosts {
		if h.Name == name {
			return h
		}
	}
	f.t.Fatalf("the fleet has no host %s", name)
	return nil
}

// Names are those of all hosts.
func (f *Fleet) Names() (names []string) {
	for _, h := range f.Hosts {
		names = append(names, h.Name)
	}
	return names
}

// Behind makes a host reachable only by way of another, its bastion. Without
// namespaces it can still be reached directly.
func (f *Fleet) Behind(name, bastion string) *FleetHost {
	f.t.Helper()
	h := f.Host(name)
	if f.netns != nil {
		h.Address = f.netns.hide(f.t, h.space, f.Host(bastion).space)
	}
	return h
}

// Key is what lets in to all hosts of the fleet.
func (h *FleetHost) Key() string { return h.fleet.Key }

// Vars are what Ansible has to know of the host.
func (h *FleetHost) Vars() map[string]any {
	return map[string]any{"ansible_host": h.Address, "ansible_port": h.Port, "ansible_user": h.fleet.user,
		"ansible_remote_tmp": filepath.Join(h.dir, "tmp"), "ansible_python_interpreter": "/usr/bin/python3", "root": h.Root}
}

// NewIdentity gives the host other host keys, which it shows when it is started next.
func (h *FleetHost) NewIdentity() {
	h.fleet.t.Helper()
	key := filepath.Join(h.dir, "host_key")
	for _, file := range []string{key, key + ".pub"} {
		if err := os.RemoveAll(file); err != nil {
			h.fleet.t.Fatal(err)
		}
	}
	keygen(h.fleet.t, "ed25519", key)
}

// HostKey is the public one, as a known_hosts file has it.
func (h *FleetHost) HostKey() string {
	fields := strings.Fields(read(h.fleet.t, filepath.Join(h.dir, "host_key.pub")))
	return fields[0] + " " + fields[1]
}

// Start starts the host's sshd.
func (h *FleetHost) Start() {
	t := h.fleet.t
	t.Helper()
	listen := "ListenAddress " + net4(h.Address, h.Port)
	passwords := "no"
	if h.space != "" {
		listen, passwords = "Port 22", "yes"
	}
	config := writeSSHDConfig(t, h.dir, listen, filepath.Join(h.dir, "host_key"), h.fleet.KeyFile+".pub", passwords)
	log, err := os.OpenFile(filepath.Join(h.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{h.fleet.sshd, "-D", "-e", "-f", config}
	if h.space != "" {
		args = append([]string{"ip", "netns", "exec", h.space}, args...)
	}
	h.cmd = exec.Command(args[0], args[1:]...) //nolint:noctx // ended by Kill
	h.cmd.Stderr = log
	h.cmd.SysProcAttr = diesWithTests()
	if err := errors.Join(h.cmd.Start(), log.Close()); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 30*time.Second, "sshd of "+h.Name+" to listen", func() bool {
		return strings.Contains(read(t, filepath.Join(h.dir, "log")), fmt.Sprintf("port %d.", h.Port))
	})
}

// Kill ends the host in the middle of whatever it does, with all of its connections.
func (h *FleetHost) Kill() {
	if h.cmd == nil {
		return
	}
	for _, pid := range append(descendants(h.cmd.Process.Pid), h.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	_ = h.cmd.Wait()
	h.cmd = nil
	_ = os.Truncate(filepath.Join(h.dir, "log"), 0) // Start waits for what is said in it
}

// Restart is a host that comes back.
func (h *FleetHost) Restart() {
	h.fleet.t.Helper()
	h.Kill()
	h.Start()
}

// Processes are those of the host that have the text in their arguments.
func (h *FleetHost) Processes(text string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if args, err := os.ReadFile(file); err == nil && strings.Contains(strings.ReplaceAll(string(args), "\x00", " "), text) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// descendants are the processes that a process started, and those that these did.
func descendants(pid int) (found []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		children, _ := os.ReadFile(file) // gone
		for _, field := range strings.Fields(string(children)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(append(found, descendants(child)...), child)
			}
		}
	}
	return found
}

func net4(address string, port int) string { return address + ":" + strconv.Itoa(port) }
