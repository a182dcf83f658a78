package runner

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/wire"
)

// touching is a world whose server wants hooks to run before it lets a plan be applied.
func touching(t *testing.T, script string, hooks ...wire.Hook) *world {
	t.Helper()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": web, "backup.sh": "#!/bin/sh\n" + script})
	w.job.Variables["size"] = text("large")
	w.job.Secrets["TOKEN"] = "s3cr3t-value"
	w.job.Release = wire.Release{Number: 12}
	w.next = func(p wire.Planned) wire.Next {
		left := slices.DeleteFunc(slices.Clone(hooks), func(h wire.Hook) bool {
			return slices.ContainsFunc(p.Before, func(done wire.Hooked) bool { return done.ID == h.ID && done.OK })
		})
		if len(left) == 0 {
			return wire.Next{Do: "apply"}
		}
		return wire.Next{Do: "before", Reason: "The plan touches x.y, which is stateful", Before: left, After: wire.After{Mask: []string{"an-output"}}}
	}
	return w
}

func backup(args ...string) wire.Hook {
	return wire.Hook{ID: "h-1", From: "terrace.hcl of release 12", Command: append([]string{"./backup.sh"}, args...), Within: "1m"}
}

// Hooks run once, in their order, in the files of the commit that wrote them, before
// anything is applied; what they say is kept, masked.
func TestHooksRunBeforeTheApply(t *testing.T) {
	t.Parallel()
	w := touching(t, "echo old >>OUT/ran\n")
	there := w.job.Source.Commit
	w.commit(map[string]string{"backup.sh": "#!/bin/sh\necho new \"$1\" >>OUT/ran\nfor i in $(seq 30); do echo line $i; done\nprintf 'with %s and %s' \"$TOKEN\" \"$1\"\n"})
	second := wire.Hook{ID: "h-2", From: "terrace.hcl of release 11, which is there now", Commit: there, Command: []string{"./backup.sh"}, Within: "1m"}
	next := touching(t, "", backup("an-output"), second).next
	w.next = next
	w.start().ends("succeeded")
	if want := []string{"claim", "phase planning", "phase checking", "planned", "planned", "applied", "finish"}; !slices.Equal(w.reported(), want) {
		t.Errorf("reported %q, want %q", w.reported(), want)
	}
	if got := w.read("ran"); got != "new an-output\nold\n" {
		t.Errorf("what ran: %q", got)
	}
	done := w.planned.Before
	if len(done) != 2 || !done[0].OK || done[0].ExitCode != 0 || done[0].Milliseconds == 0 || len(done[0].Last) != 20 || done[0].Last[19] != "with *** and ***" ||
		done[0].Last[0] != "line 12" || !slices.Equal(done[0].Command, []string{"./backup.sh", "***"}) || done[1].From != second.From {
		t.Errorf("kept: %+v", done)
	}
	if got := w.log.text("before_change"); !strings.Contains(got, "line 1\n") || !strings.Contains(got, "The plan touches x.y") || strings.Contains(got, "s3cr3t-value") {
		t.Errorf("the log has\n%s", got)
	}
	heard, err := json.Marshal([]any{w.planned, w.end(), w.log.text("")})
	if err != nil || strings.Contains(string(heard), "s3cr3t-value") || strings.Contains(string(heard), "an-output") {
		t.Errorf("%v: not masked: %s", err, heard)
	}
	if w.end().Phases["before_change"] == 0 {
		t.Errorf("phases %v", w.end().Phases)
	}
}

// A hook that does not end well ends the run before anything is changed.
func TestAHookThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script, within string
		command        []string
		says           string
		code           int
	}{
		"fails":      {"echo the disk is full >&2; exit 3", "1m", nil, "exit 3: the disk is full", 3},
		"too long":   {"echo $$ >OUT/started; sleep 600 & wait", "1s", nil, "still running after 1s", -1},
		"killed":     {"kill -9 $$", "1m", nil, "ended by signal", -1},
		"not there":  {"", "1m", []string{"./nothing.sh"}, "cannot be started", -1},
		"second one": {"", "1m", []string{"sh", "-c", "exit 1"}, "exit 1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := backup()
			h.Within = c.within
			if c.command != nil {
				h.Command = c.command
			}
			w := touching(t, c.script, h, wire.Hook{ID: "h-2", Command: []string{"sh", "-c", "echo >OUT/never"}, Within: "1m"})
			f := w.start().ends("failed", "before_change (terrace.hcl of release 12)", c.says, "The plan touches x.y, which is stateful; so nothing was changed", "terrace rollout start --commit 12")
			if len(f.Before) != 1 || f.Before[0].OK || f.Before[0].ExitCode != c.code {
				t.Errorf("kept: %+v", f.Before)
			}
			if slices.Contains(w.reported(), "applied") || w.resources() != nil {
				t.Errorf("reported %q; the state has %q", w.reported(), w.resources())
			}
		})
	}
}

// A cancelled run ends its hook, and all that the hook started.
func TestAHookIsCancelled(t *testing.T) {
	t.Parallel()
	w := touching(t, "trap 'echo stopped >OUT/stopped; exit 1' INT\necho $$ >OUT/started\nsleep 600 &\nwait\n", backup())
	w.start()
	w.read("started")
	w.do(func() { w.beat.Cancel = true })
	f := w.ends("cancelled", "before_change, before anything was changed")
	if w.read("stopped") == "" || len(f.Before) != 1 || f.Before[0].Message != "stopped before its end" {
		t.Errorf("kept: %+v", f.Before)
	}
}

// A server that asks for a hook that ran already gets none of it twice.
func TestAHookRunsOnce(t *testing.T) {
	t.Parallel()
	w := touching(t, "echo ran >>OUT/ran\n")
	w.next = func(wire.Planned) wire.Next { return wire.Next{Do: "before", Before: []wire.Hook{backup()}} }
	w.start().ends("errored", "has run already")
	if got := w.read("ran"); got != "ran\n" {
		t.Errorf("what ran: %q", got)
	}
}
