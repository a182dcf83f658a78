package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/redact"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "c4n4ry-of-hooks"

// ran is a hook that was run: what became of it, and of its output.
type ran struct {
	wire.Hooked
	log, stdout string
}

func run(t *testing.T, ctx context.Context, script, within string, apart bool) ran {
	t.Helper()
	mask := redact.New([]string{canary})
	var log, stdout strings.Builder
	masked := mask.Writer(&log)
	o := Options{Dir: t.TempDir(), Env: []string{"PATH=" + os.Getenv("PATH"), "SECRET=" + canary}, Output: masked, Mask: mask}
	if apart {
		o.Stdout = &stdout
	}
	h := Run(ctx, wire.Hook{ID: "h", From: "terrace.hcl:3", Command: []string{"sh", "-c", script}, Within: within}, o)
	if err := masked.Flush(); err != nil {
		t.Fatal(err)
	}
	return ran{h, log.String(), stdout.String()}
}

func TestHowAHookEnds(t *testing.T) {
	cases := []struct {
		name, script, within string
		exit                 int
		message              string // a part of it
	}{
		{"well", "echo done", "1m", 0, "exit 0 after"},
		{"with an exit code", "echo first; echo 'no room left' >&2; exit 7", "1m", 7, "exit 7: no room left"},
		{"without a word", "exit 3", "1m", 3, "exit 3"},
		{"by a signal", "kill -9 $$", "1m", -1, "ended by signal: killed"},
		{"too late", "echo still; sleep 60", "3s", -1, "still running after 3s, and ended: still"},
		{"too late, with clean hands", "trap 'exit 0' INT TERM; sleep 60 & wait", "300ms", -1, "still running after 300ms, and ended"},
		{"with a secret as its last word", "echo $SECRET; exit 1", "1m", 1, "exit 1: "},
		{"with a limit that cannot be read", "true", "soon", 0, "exit 0 after"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := run(t, t.Context(), c.script, c.within, false)
			if h.OK != (c.exit == 0) || h.ExitCode != c.exit || !strings.Contains(h.Message, c.message) {
				t.Errorf("%+v", h.Hooked)
			}
			if h.ID != "h" || h.From != "terrace.hcl:3" || h.Started.IsZero() || h.Milliseconds < 0 {
				t.Errorf("whose it was: %+v", h.Hooked)
			}
			if all := fmt.Sprintf("%+v %s", h.Hooked, h.log); strings.Contains(all, canary) {
				t.Error("the secret is told:", all)
			}
		})
	}
}

func TestAHookThatCannotBeStarted(t *testing.T) {
	mask := redact.New([]string{canary})
	var log strings.Builder
	h := Run(t.Context(), wire.Hook{Command: []string{"no-such-program-" + canary}}, Options{Dir: t.TempDir(), Output: &log, Mask: mask})
	if h.OK || h.ExitCode != -1 || !strings.HasPrefix(h.Message, "it cannot be started: ") || strings.Contains(h.Message+log.String()+strings.Join(h.Command, " "), canary) {
		t.Errorf("%+v, log %q", h, log.String())
	}
}

// TestWhatAHookSaid is about the end of its output: the last lines, cut to a length, masked.
func TestWhatAHookSaid(t *testing.T) {
	h := run(t, t.Context(), "for i in $(seq 30); do echo line $i; echo; done; printf 'no end of line'", "1m", false)
	if len(h.Last) != lastLines || h.Last[0] != "line 12" || h.Last[lastLines-1] != "no end of line" {
		t.Errorf("the last lines: %q", h.Last)
	}
	if want := "$ sh -c for i"; !strings.HasPrefix(h.log, want) || !strings.Contains(h.log, "line 1\n") {
		t.Errorf("the log has not all of it: %q", h.log)
	}
	h = run(t, t.Context(), "head -c 100000 /dev/zero | tr '\\0' x; echo; exit 1", "1m", false)
	if len(h.Last) == 0 || slices.ContainsFunc(h.Last, func(l string) bool { return len(l) > lastBytes+100 }) || len(h.Message) > lastBytes+200 {
		t.Errorf("a line without an end: %d lines, message of %d bytes", len(h.Last), len(h.Message))
	}
}

// TestOutputApart is about hooks whose standard output is a value: it comes as it is, and the
// log has both, masked, in whole lines.
func TestOutputApart(t *testing.T) {
	h := run(t, t.Context(), "printf 'image-'; printf 'building\\n' >&2; printf '1\\n'; echo $SECRET", "1m", true)
	if h.stdout != "image-1\n"+canary+"\n" || !h.OK {
		t.Errorf("standard output: %q, %+v", h.stdout, h.Hooked)
	}
	for _, line := range []string{"image-1", "building"} {
		if !slices.Contains(strings.Split(h.log, "\n"), line) {
			t.Errorf("the log has no line %q: %q", line, h.log)
		}
	}
	if strings.Contains(h.log, canary) {
		t.Error("the secret is in the log")
	}
}

// TestACancelledHook is interrupted, gets time to clean up, and leaves no grandchild.
func TestACancelledHook(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	up, down := filepath.Join(dir, "up"), filepath.Join(dir, "down")
	ended := make(chan ran)
	go func() {
		ended <- run(t, ctx, fmt.Sprintf("trap 'touch %s; exit 0' INT TERM; sleep 60 & echo $! >%s.new; mv %[2]s.new %[2]s; wait", down, up), "1m", false)
	}()
	testkit.Eventually(t, time.Minute, "the hook to work", func() bool { _, err := os.Stat(up); return err == nil })
	cancel()
	h := <-ended
	if h.OK || h.Message != "stopped before its end" {
		t.Errorf("%+v", h.Hooked)
	}
	if _, err := os.Stat(down); err != nil {
		t.Error("it had no time to clean up:", err)
	}
	text, err := os.ReadFile(up)
	grandchild, numberErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || numberErr != nil {
		t.Fatal(err, numberErr)
	}
	testkit.Eventually(t, 10*time.Second, "its grandchild to be gone", func() bool { return errors.Is(syscall.Kill(grandchild, 0), syscall.ESRCH) })
}
