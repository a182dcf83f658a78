package testkit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// SSHServer is an sshd on loopback that lets in one key.
type SSHServer struct {
	Port int
	// User is whom to connect as: the one who runs the tests.
	User string
	// Key is the client's private key, KeyFile the file that holds it.
	Key, KeyFile string
	// KnownHosts is the server's line for a known_hosts file.
	KnownHosts string
}

// SSHD starts an sshd that ends with the test.
func SSHD(t testing.TB) *SSHServer {
	t.Helper()
	sshd := findSSHD(t)
	dir := t.TempDir()
	hostKey, clientKey := filepath.Join(dir, "host"), filepath.Join(dir, "client")
	for _, file := range []string{hostKey, clientKey} {
		keygen(t, "ed25519", file)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &SSHServer{Port: FreePort(t), User: me.Username, Key: read(t, clientKey), KeyFile: clientKey}
	s.KnownHosts = fmt.Sprintf("[127.0.0.1]:%d %s", s.Port, read(t, hostKey+".pub"))
	configFile := writeSSHDConfig(t, dir, "ListenAddress "+net4("127.0.0.1", s.Port), hostKey, clientKey+".pub", "no")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", configFile) //nolint:noctx // ended by the cleanup
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			t.Logf("sshd said:\n%s", read(t, log.Name()))
		}
	})
	Eventually(t, 10*time.Second, "sshd to listen", func() bool { return listens(s.Port) })
	return s
}

// writeSSHDConfig writes an sshd's configuration into its folder, and returns the file. Whoever
// logs in has an empty home there: what somebody's shell does when it starts may take longer
// than most tasks, and what they leave is none of theirs.
func writeSSHDConfig(t testing.TB, dir, listen, hostKey, authorized, passwords string) string {
	t.Helper()
	home, file := filepath.Join(dir, "home"), filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf(`%s
HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication %s
KbdInteractiveAuthentication no
PidFile none
MaxStartups 100
SetEnv HOME=%s
Subsystem sftp internal-sftp
`, listen, hostKey, authorized, passwords, home)
	if err := errors.Join(os.MkdirAll(home, 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return file
}

// findSSHD returns the absolute path, by which sshd insists on being called.
func findSSHD(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/opt/homebrew/sbin/sshd"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if os.Geteuid() == 0 {
			if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // what the service does before it starts
				t.Fatal(err)
			}
		}
		return path
	}
	t.Fatal("sshd is not installed; run: scripts/deps test")
	return ""
}

// keygen makes a key pair.
func keygen(t testing.TB, kind, file string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", file).CombinedOutput(); err != nil { //nolint:noctx // a moment
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

func listens(port int) bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func read(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}
