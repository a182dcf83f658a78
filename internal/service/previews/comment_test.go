package previews

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/forge"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

var _ = flag.Bool("update", false, "write the golden files")

const link = "https://terrace.example.com/p/shop/previews/pv-1"

func sample() (core.Preview, map[string]said) {
	pv := core.Preview{ID: "pv-1", Project: "shop", Pull: 7, Status: core.PreviewFailed, Created: time.Unix(0, 0), PreviewFacts: core.PreviewFacts{
		Branch: "try", Commit: strings.Repeat("a", 40), Target: strings.Repeat("b", 40), Title: "Bigger", Environments: []string{"dev", "staging", "production"},
		Gates:   map[string][]string{"production": {"approval: 1 of group:platform (the guardrails)", "its window to be open"}},
		Refused: []core.Refusal{{Environment: "production", What: "the approval is gone"}},
		Instances: []core.PreviewInstance{
			{Environment: "dev", Stack: "network", State: core.PreviewsPlan, Run: "r-1"},
			{Environment: "dev", Stack: "dns", State: core.PreviewsPlan, Run: "r-2", Against: []string{"network"}},
			{Environment: "dev", Stack: "web", State: core.PreviewsWait, On: "network@dev"},
			{Environment: "staging", Stack: "ansible", State: core.PreviewsNothing, Run: "r-3"},
			{Environment: "staging", Stack: "old", State: core.PreviewsRemoval, Resources: 3},
			{Environment: "production", Stack: "db", State: core.PreviewsDenied, Run: "r-4", Why: "stateful"},
			{Environment: "production", Stack: "app", State: core.PreviewsFailed, Run: "r-5", Why: "Error: Unsupported argument\n  on main.tf line 3:\n```\n@everyone <b>\n"},
		}}}
	return pv, map[string]said{
		"r-1": {changes: wire.Changes{Create: 1, Update: 1}, plan: wire.Plan{Resources: []wire.ResourceChange{
			{Address: "x_net.n", Action: "create"},
			{Address: "x_net.m", Action: "update", Attrs: []wire.AttrChange{{Path: "size", Before: `"s"`, After: `"l"`}, {Path: "id", Before: `"1"`, Unknown: true}}},
		}}},
		"r-2": {changes: wire.Changes{Replace: 1}, plan: wire.Plan{Resources: []wire.ResourceChange{{Address: "x_dns.`a` |b|", Action: "replace"}}, Outputs: []wire.AttrChange{{Path: "name", Before: `"a"`, After: `"b"`}}},
			checks: []wire.Check{{Name: "gap", Verdict: "warn", Message: "it destroys before it creates"}}},
		"r-4": {changes: wire.Changes{Delete: 1}, plan: wire.Plan{Resources: []wire.ResourceChange{{Address: "x_db.d", Action: "delete"}}},
			checks: []wire.Check{{Name: "stateful", Verdict: "deny", Message: "x_db.d is protected"}, {Name: "policy ours", Verdict: "pass", Message: "fine"}}},
	}
}

func TestComment(t *testing.T) {
	t.Parallel()
	pv, runs := sample()
	testkit.Golden(t, "testdata/comment.md", comment(pv, runs, link, 60000))
	for status, change := range map[core.PreviewStatus]func(*core.Preview){
		core.PreviewWaiting: func(pv *core.Preview) { pv.Environments, pv.Instances, pv.Target = nil, nil, "" },
		core.PreviewRunning: func(*core.Preview) {},
		core.PreviewFailed: func(pv *core.Preview) {
			pv.Environments, pv.Instances, pv.Why = nil, nil, "it cannot be merged: both sides changed main.tf"
		},
		core.PreviewSuperseded: func(pv *core.Preview) { pv.Why = "pull request 7 was closed" },
		core.PreviewSucceeded:  func(pv *core.Preview) { pv.Instances, pv.Refused = nil, nil },
	} {
		pv, runs := sample()
		pv.Status = status
		change(&pv)
		testkit.Golden(t, "testdata/comment-"+string(status)+".md", comment(pv, runs, link, 60000))
	}
}

// A comment fits, whatever there is to say, and says what is left out; what comes first stays.
func TestCommentFits(t *testing.T) {
	t.Parallel()
	pv, runs := sample()
	for i := range 500 {
		id := fmt.Sprintf("r-many-%d", i)
		pv.Instances = append(pv.Instances, core.PreviewInstance{Environment: "dev", Stack: fmt.Sprintf("s%d", i), State: core.PreviewsPlan, Run: id})
		runs[id] = said{changes: wire.Changes{Create: 1}, plan: wire.Plan{Resources: []wire.ResourceChange{{Address: strings.Repeat("ü", 300), Action: "create"}}}}
	}
	for _, limit := range []int{3000, 65535} {
		text := comment(pv, runs, link, limit)
		if n := len([]rune(text)); n > limit {
			t.Errorf("%d characters, %d fit", n, limit)
		}
		for _, want := range []string{"Look at this first", "do not fit here", link, "Refused"} {
			if !strings.Contains(text, want) {
				t.Errorf("of %d characters, it lacks %q", limit, want)
			}
		}
		if strings.Count(text, "<details>") != strings.Count(text, "</details>") {
			t.Error("something is cut in the middle")
		}
	}
}

// What a branch wrote is shown as code, however hard it tries.
func TestCommentShowsAsCode(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{"``` \n</details>\n@team <script>", "`@team`", "~~~\n# Title", "a\u202eb\x1b[31m", "````"} {
		inside := block("", evil)
		fence := inside[:strings.IndexByte(inside, '\n')]
		if body := strings.TrimSuffix(strings.TrimPrefix(inside, fence+"\n"), fence+"\n"); strings.Contains(body, fence) {
			t.Errorf("%q ends its block: %q", evil, inside)
		}
		line := code(evil)
		if strings.Count(line, "`") != 2 || strings.ContainsAny(line, "\n\x1b\u202e") {
			t.Errorf("%q ends its code: %q", evil, line)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	pv, runs := sample()
	want := map[string]string{
		"terrace/shop":            "failure: 1 to create, 1 to update, 1 to replace, 1 to destroy, 1 removed, 1 denied, 1 failed, 1 waiting for an apply",
		"terrace/shop/dev":        "success: 1 to create, 1 to update, 1 to replace, 1 waiting for an apply",
		"terrace/shop/staging":    "success: 1 removed",
		"terrace/shop/production": "failure: 1 to destroy, 1 denied, 1 failed",
	}
	for _, st := range previewStatuses(pv, runs, link) {
		if got := st.State + ": " + st.Text; got != want[st.Context] || st.URL != link {
			t.Errorf("%s: %q, want %q", st.Context, got, want[st.Context])
		}
		delete(want, st.Context)
	}
	if len(want) > 0 {
		t.Errorf("nothing of %v", want)
	}
	pv.Environments, pv.Why = nil, "terrace.hcl:3: no such attribute\n  more"
	if all := previewStatuses(pv, runs, link); len(all) != 1 || all[0].Context != "terrace/shop" || all[0].State != forge.Failure || all[0].Text != "terrace.hcl:3: no such attribute" {
		t.Errorf("a branch that cannot be previewed: %+v", all)
	}
	ro := core.Rollout{Project: "shop", Status: core.RolloutRunning, Stages: []core.Stage{{Environment: "a", Status: core.StageSucceeded}, {Environment: "b", Status: core.StageWaiting, WaitsFor: "approval"},
		{Environment: "c", Status: core.StageFailed}, {Environment: "d", Status: core.StageUnknown}, {Environment: "e", Status: core.StageSuperseded}, {Environment: "f", Status: core.StageBaking}}}
	var got []string
	for _, st := range rolloutStatuses(ro, link) {
		got = append(got, strings.TrimPrefix(st.Context, "terrace/shop")+" "+st.State)
	}
	if text := strings.Join(got, ", "); text != " pending, /a success, /b pending, /c failure, /d error, /e success, /f pending" {
		t.Error(text)
	}
}
