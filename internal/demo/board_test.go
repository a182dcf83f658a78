package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/wire"
)

var (
	release1 = &wire.Release{Number: 1, Commit: "1111111122222222"}
	release2 = &wire.Release{Number: 2, Commit: "aaaaaaaabbbbbbbb", Subject: "Version 2 of the page"}
)

func TestBoard(t *testing.T) {
	t.Parallel()
	status := wire.Status{Environments: []string{"dev", "staging", "production"}, Instances: []wire.InstanceStatus{
		{Instance: "database@dev", Stack: "database", State: "up_to_date", Release: release2},
		{Instance: "database@staging", Stack: "database", State: "behind", Release: release1},
		{Instance: "database@production", Stack: "database", State: "never"},
		{Instance: "web@dev", Stack: "web", State: "running", Phase: "applying", Release: release1},
		{Instance: "web@staging", Stack: "web", State: "unknown"},
	}}
	rollout := wire.Rollout{Release: *release2, Status: "running", Stages: []wire.Stage{
		{Environment: "dev", Status: "running"}, {Environment: "staging", Status: "waiting", WaitsFor: "dev"}, {Environment: "production", Status: "waiting"},
	}}
	want := `  stack      dev                 staging             production
  database   ● release 2         ○ release 1, behind · never
  web        ◐ applying          ✗ unknown           -

  release 2 (aaaaaaaa) Version 2 of the page
  running, 1.2 s   dev: running, staging: waiting, production: waiting`
	if diff := cmp.Diff(want, strings.Join(board(status, rollout, 1234*time.Millisecond, 100, false), "\n")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, line := range board(status, rollout, time.Second, 40, false) {
		if n := len([]rune(line)); n > 40 {
			t.Errorf("on 40 columns a line has %d: %q", n, line)
		}
	}
	if got := strings.Join(board(status, rollout, time.Second, 100, true), "\n"); !strings.Contains(got, "\x1b[32m● release 2") {
		t.Errorf("in color the board is %q", got)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	before := wire.Rollout{
		Stages: []wire.Stage{{ID: "st-1", Environment: "dev", Status: "running"}, {ID: "st-2", Environment: "staging", Status: "waiting"}},
		Runs:   []wire.Run{{ID: "r-1", Instance: "web@dev", Kind: "deploy", Status: "planning"}, {ID: "r-0", Instance: "network@dev", Kind: "deploy", Status: "succeeded"}},
	}
	now := wire.Rollout{
		Stages: []wire.Stage{{ID: "st-1", Environment: "dev", Status: "failed"}, {ID: "st-2", Environment: "staging", Status: "waiting", WaitsFor: "dev"}},
		Runs: []wire.Run{
			{ID: "r-2", Instance: "web@dev", Kind: "verify", Status: "queued"},
			{ID: "r-1", Instance: "web@dev", Kind: "deploy", Status: "failed", Error: &wire.Problem{Message: "no capacity"}},
			{ID: "r-0", Instance: "network@dev", Kind: "deploy", Status: "succeeded"},
		},
	}
	want := []string{"web@dev failed: no capacity", "web@dev (verify) queued", "dev: failed", "staging: waits for dev"}
	if diff := cmp.Diff(want, changes(before, now)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := changes(now, now); got != nil {
		t.Errorf("nothing changed, and it says %q", got)
	}
	if err := outcome(wire.Rollout{Release: *release2, Status: "failed", Runs: now.Runs}); err == nil || !strings.Contains(err.Error(), "web@dev (run r-1): no capacity") {
		t.Errorf("the outcome is %v", err)
	}
}

func TestOnlyWeb(t *testing.T) {
	t.Parallel()
	web := RunSummary{Stack: "web", Kind: "deploy"}
	for _, test := range []struct {
		name string
		runs []RunSummary
		ok   bool
	}{
		{"web alone", []RunSummary{web}, true},
		{"web, watched", []RunSummary{web, {Stack: "web", Kind: "verify"}}, true},
		{"nothing", nil, false},
		{"web twice", []RunSummary{web, web}, false},
		{"another", []RunSummary{{Stack: "network", Kind: "deploy"}, web}, false},
	} {
		if err := onlyWeb(RolloutSummary{Runs: map[string][]RunSummary{"dev": test.runs}}); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestScreenRedraws(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newScreen(&out)
	if s.live {
		t.Error("a buffer is taken for a terminal")
	}
	s.draw([]string{"a", "b"})
	s.draw([]string{"c"})
	s.printf("d\n")
	s.draw([]string{"e"})
	if want := "\r\x1b[Ka\n\r\x1b[Kb\n\x1b[J" + "\x1b[2A\r\x1b[Kc\n\x1b[J" + "d\n" + "\r\x1b[Ke\n\x1b[J"; out.String() != want {
		t.Errorf("it wrote %q", out.String())
	}
}
