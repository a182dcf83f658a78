package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repository makes a bare repository with one blob per content and returns their names.
func repository(t *testing.T, contents ...string) (dir string, oids []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "r.git")
	if _, err := Run(t.Context(), Cmd{Args: []string{"init", "--quiet", "--bare", "--template=", "--", dir}}); err != nil {
		t.Fatal(err)
	}
	for _, content := range contents {
		out, err := Run(t.Context(), Cmd{GitDir: dir, Args: []string{"hash-object", "-w", "--stdin"}, Stdin: strings.NewReader(content)})
		if err != nil {
			t.Fatal(err)
		}
		oids = append(oids, strings.TrimSpace(string(out)))
	}
	return dir, oids
}

func TestRunIsAlone(t *testing.T) {
	home := t.TempDir()
	hook := filepath.Join(home, "hooks", "reference-transaction")
	if err := os.MkdirAll(filepath.Dir(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ntouch "+home+"/ran\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[core]\n\thooksPath = "+filepath.Dir(hook)+"\n[user]\n\tname = Leaked\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("GIT_DIR", "/nowhere")
	t.Setenv("CANARY", "secret")
	dir, oids := repository(t, "x")
	if out, err := Run(t.Context(), Cmd{GitDir: dir, Args: []string{"config", "--get", "user.name"}}); err == nil {
		t.Errorf("the user's configuration is visible: %s", out)
	}
	if out, err := Run(t.Context(), Cmd{GitDir: dir, Remote: true, Args: []string{"config", "--get", "user.name"}}); err != nil || strings.TrimSpace(string(out)) != "Leaked" {
		t.Errorf("a remote command does not see the user's configuration: %q, %v", out, err)
	}
	for _, remote := range []bool{false, true} {
		out, err := Run(t.Context(), Cmd{GitDir: dir, Remote: remote, Args: []string{"-c", "alias.env=!env", "env"}})
		if err != nil || bytes.Contains(out, []byte("CANARY")) || bytes.Contains(out, []byte("GIT_DIR=/nowhere")) {
			t.Errorf("environment, remote %t: %v\n%s", remote, err, out)
		}
	}
	if _, err := Run(t.Context(), Cmd{GitDir: dir, Remote: true, Args: []string{"update-ref", "refs/tags/x", oids[0]}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(home, "ran")); err == nil {
		t.Error("a hook of the user ran")
	}
}

func TestRunDoesNotWalkUp(t *testing.T) {
	dir := t.TempDir()
	if _, err := Run(t.Context(), Cmd{Args: []string{"init", "--quiet", "--", dir}}); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(dir, "inner")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), Cmd{Dir: inner, Args: []string{"rev-parse", "--git-dir"}}); err == nil {
		t.Error("found the repository of the folder above")
	}
	if _, err := Run(t.Context(), Cmd{Dir: dir, Args: []string{"rev-parse", "--git-dir"}}); err != nil {
		t.Error(err)
	}
}

func TestRunErrors(t *testing.T) {
	dir, _ := repository(t)
	_, err := Run(t.Context(), Cmd{GitDir: dir, Args: []string{"rev-parse", "--verify", "--end-of-options", "nothing"}})
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != 128 || !strings.Contains(failed.Stderr, "fatal: Needed a single revision") {
		t.Errorf("%#v", err)
	}
	for _, url := range []string{"ext::sh -c touch% " + dir + "/pwned", "fd::3"} {
		if _, err := Run(t.Context(), Cmd{Remote: true, Args: []string{"-c", "protocol.ext.allow=always", "ls-remote", "--", url}}); err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := os.Stat(dir + "/pwned"); err == nil {
		t.Error("ext:: ran a command")
	}
}

func TestRunEndsWithItsTransport(t *testing.T) {
	// A transport that never answers, with a child of its own.
	dir := t.TempDir()
	ssh := filepath.Join(dir, "ssh")
	if err := os.WriteFile(ssh, []byte("#!/bin/sh\necho $$ > "+dir+"/pid\nsleep 600 &\nwait\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSH", ssh)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the caller went away")
	go func() {
		for {
			if b, err := os.ReadFile(dir + "/pid"); err == nil && len(b) > 0 {
				cancel(gone)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	start := time.Now()
	_, err := Run(ctx, Cmd{Remote: true, Args: []string{"ls-remote", "--", "ssh://host.invalid/x"}})
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > grace+5*time.Second {
		t.Errorf("took %s", took)
	}
	pid, _ := os.ReadFile(dir + "/pid")
	deadline := time.Now().Add(10 * time.Second)
	for exec.Command("kill", "-0", strings.TrimSpace(string(pid))).Run() == nil {
		if time.Now().After(deadline) {
			t.Fatal("the transport is still there")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestRunTimeout(t *testing.T) {
	ssh := filepath.Join(t.TempDir(), "ssh")
	if err := os.WriteFile(ssh, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSH", ssh)
	_, err := Run(t.Context(), Cmd{Remote: true, Timeout: 50 * time.Millisecond, Args: []string{"ls-remote", "--", "ssh://host.invalid/x"}})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no end after 50ms") {
		t.Errorf("got %v", err)
	}
}

func TestClean(t *testing.T) {
	got := clean("Counting: 1%\rCounting: 100%\r\nfatal: \x1b[31mbad\x07\xff\nhint: try\n\n")
	if want := "Counting: 100%\nfatal: [31mbad�"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w := &tail{max: 10}
	for i := range 100 {
		_, _ = fmt.Fprintf(w, "%d;", i)
	}
	if got := w.String(); got != "… ;97;98;99;" {
		t.Errorf("tail %q", got)
	}
}

func TestBatch(t *testing.T) {
	var contents []string
	for i := range 2000 {
		contents = append(contents, strings.Repeat(fmt.Sprintf("line %d\n", i), i%50))
	}
	contents = append(contents[:50:50], "", "no newline at the end", strings.Repeat("big", 100_000))
	dir, oids := repository(t, contents...)
	b, err := OpenBatch(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	var many, wanted []string
	for range 40 {
		many, wanted = append(many, oids...), append(wanted, contents...)
	}
	if err := b.ReadMany(many, 1<<20, func(i int, kind string, content []byte, err error) error {
		if err != nil || kind != "blob" || string(content) != wanted[i] {
			return fmt.Errorf("object %d: %s, %d bytes, %w", i, kind, len(content), err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// An error of the callback leaves the conversation usable.
	enough := errors.New("enough")
	if err := b.ReadMany(many, 1<<20, func(i int, _ string, _ []byte, _ error) error {
		if i == 3 {
			return enough
		}
		return nil
	}); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if _, _, err := b.Read(strings.Repeat("0", 40), 100); !errors.Is(err, ErrMissing) {
		t.Errorf("missing: %v", err)
	}
	if _, _, err := b.Read(oids[len(oids)-1], 100); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, content, err := b.Read(oids[51], 100); err != nil || string(content) != contents[51] {
		t.Errorf("after that: %q, %v", content, err)
	}
	for _, bad := range []string{"HEAD", oids[0] + "\n", "", "--help"} {
		if _, _, err := b.Read(bad, 100); err == nil {
			t.Errorf("%q was asked for", bad)
		}
	}
}

func TestBatchBroken(t *testing.T) {
	dir, oids := repository(t, "x")
	b, err := OpenBatch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var failed *Error
	for range 2 {
		if _, _, err := b.Read(oids[0], 100); !errors.As(err, &failed) {
			t.Errorf("got %v", err)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
