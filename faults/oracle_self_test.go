package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/wire"
)

// began is when the story of innocent begins.
var began = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func at(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }

// innocent is the evidence of two releases that went through dev and staging without a
// fault: a record each, changed in place by the second release in dev.
func innocent() evidence {
	e := evidence{pushed: []string{"c1", "c2"}, converged: true}
	e.releases = []core.Release{{Project: project, Number: 1, Commit: "c1"}, {Project: project, Number: 2, Commit: "c2"}}
	step := 0
	event := func(kind, on string, data map[string]string) {
		seq := int64(len(e.events) + 1)
		hash := fmt.Sprint("h", seq)
		e.events = append(e.events, core.Event{Seq: seq, At: at(step), Kind: kind, On: on, Data: data, Hash: hash})
		e.seen = append(e.seen, wire.Event{Seq: seq, At: at(step), Kind: kind, On: on, Data: data, Hash: hash})
	}
	for release := 1; release <= 2; release++ {
		rollout := fmt.Sprint("ro-", release)
		for _, environment := range []string{"dev", "staging"} {
			run := fmt.Sprintf("r-%d-%s", release, environment)
			data := map[string]string{"release": fmt.Sprint(release), "rollout": rollout}
			step++
			event("stage.entered", environment, data)
			event("run.applying", run, nil)
			id, value := "rec-"+environment, fmt.Sprint("g", release)
			resource := democloud.Resource{ID: id, Type: "dns_record", Tenant: tenant("base", environment), Name: "n"}
			resource.Spec.Value = value
			operation := democloud.Create
			if release == 2 {
				operation = democloud.Update
			}
			step++
			change := democloud.Entry{Seq: int64(len(e.journal) + 1), At: at(step), Operation: operation, Resource: resource}
			change.Run, change.Fence = run, fmt.Sprint(step)
			e.journal = append(e.journal, change)
			e.live = slices.DeleteFunc(e.live, func(r democloud.Resource) bool { return r.ID == id })
			e.live = append(e.live, resource)
			content := fmt.Appendf(nil, `{"serial":%d,"lineage":%q,"resources":[{"type":"democloud_dns_record","name":"n","instances":[{"attributes":{"id":%q,"name":"n","value":%q}}]}]}`, release, environment, id, value)
			v := kept{id: int64(len(e.versions) + 1), instance: "base@" + environment, serial: int64(release), lineage: environment, md5: digest(content), run: run, fence: int64(step), content: content}
			e.versions = append(e.versions, v)
			e.acks = append(e.acks, ack{instance: v.instance, stateFile: parse(content), md5: v.md5})
			event("state.written", v.instance, map[string]string{"version": fmt.Sprint(v.id), "serial": fmt.Sprint(v.serial), "md5": v.md5})
			step++
			e.runs = append(e.runs, core.Run{ID: run, Project: project, Stack: "base", Environment: environment, Kind: core.KindDeploy, Status: core.RunSucceeded,
				Release: core.Release{Number: int64(release)}, Finished: at(step)})
			event("stage.succeeded", environment, data)
		}
	}
	return e
}

// TestTheOracleIsSilent: there is nothing to find where nothing is wrong.
func TestTheOracleIsSilent(t *testing.T) {
	if found := judge(innocent()); len(found) != 0 {
		t.Errorf("%v", found)
	}
}

// TestTheOracleCanFail: each invariant, violated in each way that it is looked for, is
// found, and by its name.
func TestTheOracleCanFail(t *testing.T) {
	one := func(e *evidence) *kept { return &e.versions[0] }
	last := func(e *evidence) *democloud.Entry { return &e.journal[len(e.journal)-1] }
	for name, c := range map[string]struct {
		invariant, says string
		doctor          func(e *evidence)
	}{
		"an acknowledged version is gone":        {"I1", "no such version", func(e *evidence) { e.versions = e.versions[:3] }},
		"a version was changed":                  {"I1", "its content", func(e *evidence) { one(e).content = []byte(`{}`) }},
		"a version is older than the one before": {"I1", "after 1", func(e *evidence) { e.versions[2].serial = 1 }},
		"a version has another lineage":          {"I1", "lineage", func(e *evidence) { e.versions[2].lineage = "x" }},
		"a version is not what was told":         {"I1", "was written with", func(e *evidence) { one(e).instance = "base@production" }},
		"an entry of the slot was changed":       {"I1", "recovery slot", func(e *evidence) { e.slot = []kept{{id: 1, instance: "base@dev", md5: "x", content: []byte("y")}} }},
		"a version under an older fence":         {"I2", "has fence", func(e *evidence) { e.versions[2].fence = 1 }},
		"a run goes on after another one":        {"I2", "after r-2-dev did", func(e *evidence) { again := e.journal[0]; e.journal = append(e.journal, again) }},
		"a change by no run":                     {"I2", "which is no run", func(e *evidence) { last(e).Run = "r-x" }},
		"a change of another instance":           {"I2", "changes base@dev", func(e *evidence) { last(e).Resource.Tenant = tenant("base", "dev") }},
		"a change after the end of the run":      {"I2", "was over", func(e *evidence) { last(e).At = at(99) }},
		"a change by a run that changes nothing": {"I2", "a recover run", func(e *evidence) { e.runs[3].Kind = core.KindRecover }},
		"two stages in one environment": {"I2", "was there", func(e *evidence) {
			e.events = slices.DeleteFunc(e.events, func(v core.Event) bool { return v.Kind == "stage.succeeded" && v.On == "dev" })
		}},
		"a change that no state has":             {"I3", "in no state version", func(e *evidence) { last(e).Resource.ID = "rec-x" }},
		"an update that no state has":            {"I3", "in no state version", func(e *evidence) { last(e).Resource.Spec.Value = "g3" }},
		"in the cloud and in no state":           {"I3", "not in the state of", func(e *evidence) { e.live = append(e.live, democloud.Resource{ID: "x", Tenant: tenant("base", "dev")}) }},
		"in a state and not in the cloud":        {"I3", "not in the cloud", func(e *evidence) { e.live = e.live[:1] }},
		"otherwise in the cloud than in a state": {"I3", "in the cloud and", func(e *evidence) { e.live[0].Spec.Value = "by hand" }},
		"an instance without a state":            {"I3", "has no state", func(e *evidence) { last(e).Resource.Tenant = tenant("web", "staging") }},
		"entered before it was verified":         {"I4", "before it was verified", func(e *evidence) { e.events = e.events[:0:0]; e.events = append(e.events, innocent().events[4:]...) }},
		"an older release after a newer one": {"I4", "after release 2", func(e *evidence) {
			e.events = append(e.events, core.Event{Seq: 99, Kind: "stage.entered", On: "dev", Data: map[string]string{"release": "1", "rollout": "x"}})
		}},
		"changed before it was verified upstream": {"I4", "is not verified in dev", func(e *evidence) { e.journal[1].At = at(0) }},
		"two releases of one commit":              {"I5", "has 2 releases", func(e *evidence) { e.releases[1].Commit = "c1" }},
		"a commit without a release":              {"I5", "has no release", func(e *evidence) { e.pushed = append(e.pushed, "c3") }},
		"applied twice, by the log": {"I5", "began to apply 2 times", func(e *evidence) {
			e.events = append(e.events, core.Event{Seq: 99, Kind: "run.applying", On: "r-1-dev"})
		}},
		"applied twice, by the fences": {"I5", "under the fences", func(e *evidence) { again := *last(e); again.Fence = "77"; e.journal = append(e.journal, again) }},
		"changed and never applying": {"I5", "never applying", func(e *evidence) {
			e.events = slices.DeleteFunc(e.events, func(v core.Event) bool { return v.On == "r-2-staging" })
		}},
		"created twice": {"I5", "had created before", func(e *evidence) {
			e.journal[2].Operation, e.journal[2].Resource.Spec, e.journal[2].Resource.ID = democloud.Create, e.journal[0].Resource.Spec, "twin"
		}},
		"a secret in clear":      {"I6", "in clear in a log", func(e *evidence) { e.clear = []string{"a log"} }},
		"the chain is broken":    {"I7", "edited", func(e *evidence) { e.auditLog = errors.New("event 3 was edited") }},
		"an event was rewritten": {"I7", "was seen as", func(e *evidence) { e.events[2].Hash = "other" }},
		"an event is gone":       {"I7", "was seen as", func(e *evidence) { e.events = e.events[:len(e.events)-1] }},
	} {
		t.Run(name, func(t *testing.T) {
			e := innocent()
			c.doctor(&e)
			found := judge(e)
			if !slices.ContainsFunc(found, func(v violation) bool { return v.invariant == c.invariant && strings.Contains(v.what, c.says) }) {
				t.Errorf("not found (%s: … %s …); what was found: %v", c.invariant, c.says, found)
			}
		})
	}
}

// TestTheTableCounts: a violation makes the table say so, and its sum is what the program
// ends with.
func TestTheTableCounts(t *testing.T) {
	var out strings.Builder
	table := &table{lines: map[line]*count{}}
	if n := table.print(&out, 0); n != 0 || out.Len() != 0 {
		t.Errorf("an empty table: %d, %q", n, out.String())
	}
	table.add(1, "sqlite", 3, 0)
	table.add(1, "sqlite", 1, 2)
	table.add(randomKills, "postgres", 200, 0)
	if n := table.print(&out, time.Second); n != 2 {
		t.Errorf("%d violations, want 2", n)
	}
	for _, words := range []string{"kill -9 the server at every transition  SQLite      4     2", "kill -9 at random moments               PostgreSQL  200   0", "2 violations"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("the table does not say %q:\n%s", words, out.String())
		}
	}
}
