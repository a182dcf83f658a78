// Package git runs the git command with nothing of its surroundings: no system or user
// configuration, no hooks, no prompts, no repository above the one that was named, an
// environment made from scratch, and only transports that cannot run a command.
//
// Run starts one command. Batch keeps a `cat-file --batch` process, which reads objects
// at a few microseconds each. ValidBranch, ValidOID and CheckURL are the doors that
// names from outside pass before they become arguments.
//
// Commands that talk to a remote (Cmd.Remote) are the exception to the empty
// environment: they get what the server's own user needs to identify itself (its
// ssh-agent, ~/.ssh, its git configuration with credential helpers and proxies), and
// nothing else. They run in a session of their own, so that ssh finds no terminal to
// ask on, and when their time is up the whole process group goes.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Transports are what git may use to reach a remote. ext, fd and remote helpers, which
// run commands, are never among them.
const Transports = "file:git:http:https:ssh"

// grace is how long git has to remove its lock files after it was told to stop.
const grace = 5 * time.Second

// Cmd is one git command.
type Cmd struct {
	// Dir is the folder to run in; GitDir the repository, which is otherwise looked
	// for in Dir and nowhere above it.
	Dir, GitDir string
	// Args start with the subcommand. Values from outside come after "--" or
	// --end-of-options, or have passed ValidBranch, ValidOID or CheckURL.
	Args []string
	// Env is added to the environment.
	Env   []string
	Stdin io.Reader
	// Remote allows the server user's credentials; see the package comment. Config is
	// then the path of a git configuration to use, the user's own when empty.
	Remote bool
	Config string
	// Timeout bounds the command when positive.
	Timeout time.Duration
}

// Error is a git command that did not succeed.
type Error struct {
	Args   []string
	Stderr string // what git said, trimmed and without control characters
	Stdout []byte // what it had written until then
	Code   int    // exit code, -1 when it was killed or never ran
	Cause  error
}

func (e *Error) Error() string {
	said := e.Stderr
	if said == "" && e.Cause != nil {
		said = e.Cause.Error()
	}
	name := "git"
	if len(e.Args) > 0 {
		name += " " + e.Args[0]
	}
	return name + ": " + said
}

// Unwrap returns why it ended, for errors.Is with the errors of a context.
func (e *Error) Unwrap() error { return e.Cause }

// Run runs a command to its end and returns what it wrote to standard output. Errors
// are *Error.
func Run(ctx context.Context, c Cmd) ([]byte, error) {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no end after %s: %w", c.Timeout, context.DeadlineExceeded))
		defer cancel()
	}
	cmd := command(ctx, c)
	var stdout bytes.Buffer
	stderr := &tail{max: 8 << 10}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, &stdout, stderr
	err := cmd.Run()
	if cmd.Process != nil && ctx.Err() != nil {
		// Transports that git started may have survived it.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if err == nil {
		return stdout.Bytes(), nil
	}
	failed := &Error{Args: c.Args, Stderr: clean(stderr.String()), Stdout: stdout.Bytes(), Code: -1, Cause: err}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		failed.Code = exit.ExitCode()
	}
	if ctx.Err() != nil {
		failed.Cause, failed.Stderr = context.Cause(ctx), ""
	}
	return nil, failed
}

// command builds the process: hardened settings first, so that nothing in Args or in a
// configuration file comes before them.
func command(ctx context.Context, c Cmd) *exec.Cmd {
	args := []string{
		"-c", "core.hooksPath=/dev/null",
		"-c", "core.fsmonitor=false",
		"-c", "core.protectHFS=true", "-c", "core.protectNTFS=true",
		"-c", "safe.directory=*", // the caller names the repository; it is not found by walking
		"-c", "submodule.recurse=false", "-c", "fetch.recurseSubmodules=false",
		"-c", "gc.auto=0", "-c", "maintenance.auto=false", // nothing left behind in the background
		"-c", "log.showSignature=false", "-c", "color.ui=false", "-c", "core.quotePath=false",
	}
	if c.GitDir != "" {
		args = append(args, "--git-dir="+c.GitDir)
	}
	cmd := exec.CommandContext(ctx, "git", append(args, c.Args...)...)
	cmd.Dir = c.Dir
	cmd.Env = append(environment(c), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	return cmd
}

// remoteEnv are the variables of the server's own environment that reaching a remote
// may need: who its user is, the agent, how its administrator configured access, and
// proxies.
var remoteEnv = []string{
	"HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "KRB5CCNAME",
	"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
}

func environment(c Cmd) []string {
	env := []string{
		"LC_ALL=C",
		"PATH=" + os.Getenv("PATH"),
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ALLOW_PROTOCOL=" + Transports,
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1", // an object is what its name says
	}
	if c.Dir != "" {
		env = append(env, "GIT_CEILING_DIRECTORIES="+filepath.Dir(c.Dir))
	}
	if !c.Remote {
		return append(env, "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_NO_LAZY_FETCH=1")
	}
	for _, name := range remoteEnv {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	if c.Config != "" {
		env = append(env, "GIT_CONFIG_GLOBAL="+c.Config)
	}
	return env
}

// tail keeps the last bytes written to it: git says last what went wrong.
type tail struct {
	max     int
	kept    []byte
	dropped bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.max; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
		t.dropped = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	if t.dropped {
		return "… " + string(t.kept)
	}
	return string(t.kept)
}

// clean makes what git, or a remote through git, said safe to show: progress lines that
// were overwritten and control characters are gone.
func clean(said string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.ToValidUTF8(said, "�"), "\n") {
		if i := strings.LastIndexByte(strings.TrimRight(line, "\r"), '\r'); i >= 0 {
			line = line[i+1:]
		}
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				return -1
			}
			return r
		}, line))
		if line != "" && !strings.HasPrefix(line, "hint:") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
