package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/web"
	"github.com/terrace-cd/terrace/internal/wire"
)

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// fake is a Backend in memory. Whoever changes something in it calls tick.
type fake struct {
	mu       sync.Mutex
	projects []wire.Project
	status   map[string]wire.Status
	rollouts []wire.Rollout // newest first
	runs     map[string]wire.Run
	plans    map[string]*wire.Plan
	logs     map[string][]wire.LogChunk
	fails    error // what everything answers
	listen   map[chan struct{}]string
	cancels  []string
	asks     []wire.Approval
	votes    []string
	modules  []wire.ShownModule
}

func newFake() *fake {
	return &fake{status: map[string]wire.Status{}, runs: map[string]wire.Run{}, plans: map[string]*wire.Plan{}, logs: map[string][]wire.LogChunk{}, listen: map[chan struct{}]string{}}
}

func (f *fake) do(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	f.tick("")
}

// tick wakes everybody.
func (f *fake) tick(string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.listen {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (f *fake) listening() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.listen)
}

func (f *fake) Changed(ctx context.Context, project string) <-chan struct{} {
	ch := make(chan struct{}, 1)
	f.mu.Lock()
	f.listen[ch] = project
	f.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listen, ch)
		close(ch)
	})
	return ch
}

func (f *fake) LogChanged(ctx context.Context, run string) <-chan struct{} {
	return f.Changed(ctx, "log:"+run)
}

func (f *fake) locked() func() {
	f.mu.Lock()
	return f.mu.Unlock
}

func (f *fake) Projects(context.Context) ([]wire.Project, error) {
	defer f.locked()()
	return f.projects, f.fails
}

func (f *fake) Status(_ context.Context, project string, _ bool) (wire.Status, error) {
	defer f.locked()()
	st, ok := f.status[project]
	if !ok && f.fails == nil {
		return st, core.Errorf(core.NotFound, "there is no project %s; terrace project list shows those there are", project)
	}
	return st, f.fails
}

func (f *fake) Rollouts(_ context.Context, project string, limit int) ([]wire.Rollout, error) {
	defer f.locked()()
	var out []wire.Rollout
	for _, ro := range f.rollouts {
		if ro.Project == project && len(out) < limit {
			out = append(out, ro)
		}
	}
	return out, f.fails
}

func (f *fake) Rollout(_ context.Context, id string) (wire.Rollout, error) {
	defer f.locked()()
	for _, ro := range f.rollouts {
		if ro.ID == id {
			return ro, nil
		}
	}
	return wire.Rollout{}, core.Errorf(core.NotFound, "there is no rollout %s", id)
}

func (f *fake) Runs(context.Context, string, string, string, int) ([]wire.Run, error) {
	return nil, nil
}

func (f *fake) Run(_ context.Context, id string) (wire.Run, error) {
	defer f.locked()()
	r, ok := f.runs[id]
	if !ok {
		return r, core.Errorf(core.NotFound, "there is no run %s", id)
	}
	return r, f.fails
}

func (f *fake) Plan(_ context.Context, run string) (*wire.Plan, error) {
	defer f.locked()()
	return f.plans[run], nil
}

func (f *fake) Logs(_ context.Context, run string, after int64, limit int) ([]wire.LogChunk, error) {
	defer f.locked()()
	all := f.logs[run]
	i := slices.IndexFunc(all, func(c wire.LogChunk) bool { return c.Seq > after })
	if i < 0 {
		return nil, nil
	}
	return slices.Clone(all[i:min(len(all), i+limit)]), nil
}

func (f *fake) Modules(context.Context) ([]wire.Module, error) {
	defer f.locked()()
	var all []wire.Module
	for _, m := range f.modules {
		all = append(all, m.Module)
	}
	return all, f.fails
}

func (f *fake) Module(_ context.Context, address, version string) (wire.ShownModule, error) {
	defer f.locked()()
	for _, m := range f.modules {
		if m.Address == address && (version == "" || version == m.Version) {
			return m, f.fails
		}
	}
	return wire.ShownModule{}, core.Errorf(core.NotFound, "the registry has no module %s", address)
}

func (f *fake) Approvals(context.Context, string) ([]wire.Approval, error) {
	defer f.locked()()
	return slices.Clone(f.asks), f.fails
}

func (f *fake) Vote(_ context.Context, run, plan string, approves bool, reason string) error {
	defer f.locked()()
	f.votes = append(f.votes, fmt.Sprintf("%s %s %v %s", run, plan, approves, reason))
	for _, a := range f.asks {
		if a.Run == run && a.Binding.Plan != plan {
			return core.Errorf(core.Conflict, "the plan of %s is another one than you looked at", a.Instance)
		}
	}
	return nil
}

func (f *fake) CancelRollout(_ context.Context, id string) error {
	defer f.locked()()
	f.cancels = append(f.cancels, id)
	return nil
}

func (f *fake) CancelRun(_ context.Context, id string) error {
	defer f.locked()()
	f.cancels = append(f.cancels, id)
	if core.RunStatus(f.runs[id].Status).Terminal() {
		return core.Errorf(core.Conflict, "%s is over (%s); there is nothing to cancel", id, f.runs[id].Status)
	}
	return nil
}

// write appends to a run's log.
func (f *fake) write(run, phase, text string) {
	f.do(func() {
		n := int64(len(f.logs[run]) + 1)
		f.logs[run] = append(f.logs[run], wire.LogChunk{Seq: n, Phase: phase, Text: text, At: now.Add(-time.Minute + time.Duration(n)*2*time.Second)})
	})
}

// serve starts the pages on a port of their own.
func serve(t *testing.T, f *fake) string {
	t.Helper()
	srv := httptest.NewServer(web.New(f, web.Options{Version: "1.0.0", Now: func() time.Time { return now }, Gather: 10 * time.Millisecond}))
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	t.Cleanup(srv.CloseClientConnections)
	return srv.URL
}

// fetch asks for a page and returns its status and text.
func fetch(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var b strings.Builder
	buf := make([]byte, 1<<16)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	return resp, b.String()
}

func release(n int64, subject string) wire.Release {
	return wire.Release{Number: n, Commit: fmt.Sprintf("%02x9f3c21ab55d0e7c4f1b2a39d8e6f70%08x", n, n*2654435761), Subject: subject, Author: "Ana Lindqvist <ana@example.com>"}
}

// explained waits for three things, and for one more that ben let ana skip.
func explained(st wire.Stage) wire.Stage {
	st.Waits = []wire.Wait{
		{Gate: "upstream", On: "staging", What: "staging: not verified yet", Since: now.Add(-time.Hour), OpensBy: "release 42 verified in staging, its bake included"},
		{Gate: "hold", On: "production", What: "a hold on production: <b>the yearly</b> stock-taking", Since: now.Add(-5 * time.Hour), OpensBy: "terrace unhold production", ForPerson: true},
		{Gate: "freeze", On: "production", What: "a freeze of production", Since: now.Add(-time.Minute), Until: now.Add(2 * time.Hour), OpensBy: "its end", Who: []string{"group:platform"}},
	}
	st.Skips = []wire.Skip{{Gates: []string{"window"}, By: "user:ana", Reason: "the shop is down", At: now.Add(-time.Minute), Second: "user:ben", SecondAt: now}}
	return st
}

// shop is a project in the middle of its day: every state is somewhere.
func shop() *fake {
	f := newFake()
	f.projects = []wire.Project{
		{Name: "shop", Repo: "ssh://git@git.example.com/platform/shop.git", Branch: "main", Path: ".", Head: release(42, "").Commit, Checked: now.Add(-8 * time.Second), Environments: []string{"dev", "staging", "production"}},
		{Name: "payments", Repo: "https://git.example.com/payments/infrastructure.git", Branch: "main", Path: "deploy", Head: release(7, "").Commit, Checked: now.Add(-3 * time.Hour), CheckError: "git: could not read from remote repository: connection refused", Environments: []string{"test", "production"}},
	}
	older, newer, newest := release(40, "Resize the database"), release(41, "Web servers: new image with the October patches"), release(42, "Network: allow the metrics collector in from the operations network, and close what it replaces")
	cell := func(stack, env, state string, r *wire.Release, run, reason string, more ...func(*wire.InstanceStatus)) wire.InstanceStatus {
		c := wire.InstanceStatus{Instance: stack + "@" + env, Stack: stack, Environment: env, State: state, Release: r, Run: run, Reason: reason, Since: now.Add(-26 * time.Minute)}
		if r == nil {
			c.Since = time.Time{}
		} else if c.Behind = newest.Number - r.Number; c.Behind > 0 {
			c.Since = now.Add(-50 * time.Hour)
		}
		for _, m := range more {
			m(&c)
		}
		return c
	}
	phase := func(p string) func(*wire.InstanceStatus) {
		return func(c *wire.InstanceStatus) { c.Phase = p }
	}
	f.status["shop"] = wire.Status{Project: "shop", Environments: []string{"dev", "staging", "production"}, Head: &newest,
		Holds: []wire.Hold{{Environment: "production", Kind: "person", Reason: "the yearly stock-taking, until Monday", By: "user:ana", Since: now.Add(-5 * time.Hour)}},
		Instances: []wire.InstanceStatus{
			cell("network", "dev", "up_to_date", &newest, "r-net-dev", "fulfils release 42, the newest"),
			cell("network", "staging", "running", &newer, "r-net-stg", "deploy of release 42 is applying", phase("applying")),
			cell("network", "production", "held", &older, "r-net-prod", "a hold on production: the yearly stock-taking, until Monday"),
			cell("web", "dev", "up_to_date", &newest, "r-web-dev", "fulfils release 42, the newest"),
			cell("web", "staging", "waiting", &newer, "r-web-stg", "waits for network@staging"),
			cell("web", "production", "behind", &older, "r-web-prod", "fulfils release 40; the newest is 42"),
			cell("database", "dev", "failed", &newer, "r-db-dev", "Error: creating database \"orders\": quota of 3 databases is used up"),
			cell("database", "staging", "unknown", &newer, "r-db-stg", "the outcome of r-db-stg is not known: terrace run recover r-db-stg"),
			cell("database", "production", "up_to_date", &older, "r-db-prod", "fulfils release 42"),
			cell("dns", "dev", "errored", &newer, "r-dns-dev", "the disk of the runner is full"),
			cell("dns", "staging", "never", nil, "", "nothing was ever applied here"),
			cell("monitoring-and-alerting", "staging", "up_to_date", &newest, "r-mon-stg", "fulfils release 42, the newest"),
		}}
	stage := func(env, status, waits string) wire.Stage {
		st := wire.Stage{ID: "st-" + env, Environment: env, Status: status, WaitsFor: waits}
		if status != "waiting" {
			st.Started = now.Add(-9 * time.Minute)
		}
		if status == "succeeded" || status == "failed" {
			st.Finished = now.Add(-6 * time.Minute)
		}
		return st
	}
	f.rollouts = []wire.Rollout{
		{ID: "ro-42", Project: "shop", Release: newest, Status: "running", By: "push", Created: now.Add(-10 * time.Minute),
			Stages: []wire.Stage{stage("dev", "succeeded", ""), stage("staging", "running", ""), explained(stage("production", "waiting", "staging: not verified yet"))},
			Runs: []wire.Run{
				{ID: "r-net-stg", Stack: "network", Instance: "network@staging", Environment: "staging", Kind: "deploy", Status: "applying", Release: newest, Changes: wire.Changes{Create: 2, Update: 1}},
				{ID: "r-web-dev", Stack: "web", Instance: "web@dev", Environment: "dev", Kind: "deploy", Status: "succeeded", Release: newest, Changes: wire.Changes{Replace: 2}},
				{ID: "r-net-dev", Stack: "network", Instance: "network@dev", Environment: "dev", Kind: "deploy", Status: "succeeded", Release: newest, NoChanges: true},
				{ID: "r-old-dev", Stack: "legacy", Instance: "legacy@dev", Environment: "dev", Kind: "destroy", Status: "succeeded", Release: newest, Changes: wire.Changes{Delete: 3}},
			}},
		{ID: "ro-41", Project: "shop", Release: newer, Status: "running", By: "push", Created: now.Add(-47 * time.Minute),
			Stages: []wire.Stage{stage("dev", "succeeded", ""), stage("staging", "succeeded", ""), stage("production", "waiting", "a hold on production: the yearly stock-taking, until Monday")}},
		{ID: "ro-40", Project: "shop", Release: older, Status: "succeeded", By: "user:ana", Created: now.Add(-51 * time.Hour), Finished: now.Add(-50 * time.Hour),
			Stages: []wire.Stage{stage("dev", "succeeded", ""), stage("staging", "succeeded", ""), stage("production", "succeeded", "")}},
		{ID: "ro-39", Project: "shop", Release: release(39, "Databases: turn on backups"), Status: "failed", By: "push", Created: now.Add(-53 * time.Hour), Finished: now.Add(-52 * time.Hour),
			Stages: []wire.Stage{stage("dev", "failed", ""), stage("staging", "waiting", "dev, which failed"), stage("production", "waiting", "staging, which waits for dev, which failed")}},
	}
	f.addRuns(newest)
	f.addAsks(newer)
	return f
}

func (f *fake) addRuns(newest wire.Release) {
	f.runs["r-net-stg"] = wire.Run{ID: "r-net-stg", Instance: "network@staging", Stack: "network", Environment: "staging", Project: "shop", Rollout: "ro-42", Kind: "deploy", Status: "applying",
		Release: newest, Changes: wire.Changes{Create: 2, Update: 1, Replace: 1, Delete: 1}, Attempt: 1, Created: now.Add(-70 * time.Second), Started: now.Add(-65 * time.Second),
		Checks: []wire.Check{
			{Name: "zero-downtime", Verdict: "warn", Message: "democloud_server.web[0] is destroyed before its replacement exists: there will be a gap"},
			{Name: "protected", Verdict: "pass", Message: "no protected address is touched"}}}
	f.plans["r-net-stg"] = &wire.Plan{Changes: f.runs["r-net-stg"].Changes, Resources: []wire.ResourceChange{
		{Address: "democloud_network.shop", Type: "democloud_network", Action: "update", Attrs: []wire.AttrChange{
			{Path: "allow[2]", After: `"10.20.0.0/16"`}, {Path: "description", Before: `"Shop"`, After: `"Shop, with metrics"`}, {Path: "generation", Before: "4", Unknown: true}}},
		{Address: "democloud_server.web[0]", Type: "democloud_server", Action: "replace", Order: "destroy_first", Reason: "image cannot be changed in place", Attrs: []wire.AttrChange{
			{Path: "image", Before: `"debian-12.7"`, After: `"debian-12.8"`, Forces: true}, {Path: "id", Before: `"srv-0a81"`, Unknown: true}}},
		{Address: "democloud_rule.metrics", Type: "democloud_rule", Action: "create", Attrs: []wire.AttrChange{
			{Path: "id", Unknown: true}, {Path: "from", After: `"10.20.0.0/16"`}, {Path: "ports", After: "[\n  9100,\n  9187\n]"}}},
		{Address: `democloud_secret.collector["eu"]`, Type: "democloud_secret", Action: "create", Attrs: []wire.AttrChange{{Path: "value", Sensitive: true}}},
		{Address: "democloud_rule.legacy", Type: "democloud_rule", Action: "delete", Attrs: []wire.AttrChange{{Path: "from", Before: `"0.0.0.0/0"`}}},
	}, Outputs: []wire.AttrChange{{Path: "network_id", Before: `"net-11"`, After: `"net-11"`}, {Path: "collector_url", After: `"http://10.20.0.4:9100"`}}}
	for _, l := range []struct{ phase, text string }{
		{"prepare", "checkout 2a9f3c21 in 0.04s\nengine tofu 1.12.6, found\ninit skipped: nothing it depends on has changed\n"},
		{"plan", "\x1b[1mdemocloud_network.shop:\x1b[0m Refreshing state... [id=net-11]\n\x1b[1mdemocloud_server.web[0]:\x1b[0m Refreshing state... [id=srv-0a81]\n"},
		{"plan", "\n\x1b[1mPlan:\x1b[0m \x1b[32m2 to add\x1b[0m, \x1b[33m1 to change\x1b[0m, \x1b[35m1 to replace\x1b[0m, \x1b[31m1 to destroy\x1b[0m.\n"},
		{"check", "zero-downtime: \x1b[33mwarn\x1b[0m\nprotected: \x1b[32mpass\x1b[0m\n"},
		{"apply", "democloud_rule.legacy: Destroying... [id=rule-2]\ndemocloud_rule.legacy: Destruction complete after 1s\ndemocloud_network.shop: Modif"},
	} {
		f.write("r-net-stg", l.phase, l.text)
	}
	f.runs["r-db-dev"] = wire.Run{ID: "r-db-dev", Instance: "database@dev", Stack: "database", Environment: "dev", Project: "shop", Rollout: "ro-42", Kind: "deploy", Status: "failed",
		Release: newest, Attempt: 2, Created: now.Add(-12 * time.Minute), Started: now.Add(-12 * time.Minute), Finished: now.Add(-11 * time.Minute), Changes: wire.Changes{Create: 1},
		Error:    &wire.Problem{Code: "failed", Message: "tofu apply: Error: creating database \"orders\": quota of 3 databases is used up\n\n  on stacks/database/main.tf line 14, in resource \"democloud_database\" \"orders\":\n  14: resource \"democloud_database\" \"orders\" {\n\nCreated: nothing. Left as it was: 3 resources."},
		Recap:    []wire.Recap{{Host: "10.20.0.11", OK: 12, Changed: 3, Skipped: 2}, {Host: "10.20.0.12", OK: 4, Failed: 1}, {Host: "10.20.0.13", Unreachable: 1}},
		Verified: []wire.Probe{{Name: "http://127.0.0.1:9000/healthz", Verdict: "fail", Message: "status 502, want 200", Tries: 14}, {Name: "scripts/smoke.sh", Verdict: "pass", Message: "exit status 0", Tries: 1}}}
	f.write("r-db-dev", "plan", "Plan: 1 to add\n")
	f.write("r-db-dev", "apply", "\x1b[31m╷\n│ Error: \x1b[0mcreating database \"orders\": quota of 3 databases is used up\n╵\n")
}

// addAsks adds a rollout that waits for approvals.
func (f *fake) addAsks(r wire.Release) {
	ro := wire.Rollout{ID: "ro-asks", Project: "shop", Release: r, Status: "running", By: "user:ana", Created: now.Add(-time.Hour),
		Stages: []wire.Stage{{ID: "st-asks", Environment: "production", Status: "running", WaitsFor: "approval to apply web@production (2 to replace) by 1 more of group:platform (terrace.hcl of release 41): terrace approve r-asks-web", ForPerson: true, Started: now.Add(-30 * time.Minute)}}}
	for _, stack := range []string{"web", "database"} {
		run := wire.Run{ID: "r-asks-" + stack, Instance: stack + "@production", Stack: stack, Environment: "production", Project: "shop", Rollout: ro.ID, Kind: "deploy", Status: "awaiting_approval",
			Release: r, Changes: wire.Changes{Replace: 2}, Created: now.Add(-31 * time.Minute), Started: now.Add(-31 * time.Minute)}
		bound := wire.Binding{Release: r.Number, Environment: "production", Plan: "digest-of-" + stack, Lineage: "0a1b2c3d", Serial: 17, Guardrails: "g"}
		a := wire.Approval{Run: run.ID, Project: "shop", Instance: run.Instance, Kind: "deploy", Rollout: ro.ID, Stage: "st-asks", Release: r, AskedBy: ro.By, Since: now.Add(-30 * time.Minute),
			Changes: run.Changes, Binding: bound, May: true, Again: "the state of " + run.Instance + " is another one than when dan approved it (serial 16, now serial 17)",
			Requirements: []wire.Requirement{{Source: "terrace.hcl of release 41", Count: 2, From: []string{"group:platform", "user:ana"}, Others: true, Missing: 1},
				{Source: "the guardrails (environment \"prod*\")", Why: "it would replace 2 resources, more than max_replace = 1", Count: 1, From: []string{}}},
			Votes: []wire.Vote{{ID: "v-1", Run: run.ID, By: "user:dan", At: now.Add(-25 * time.Minute), Verdict: "approve", Binding: bound, Void: "the state is another one"},
				{ID: "v-2", Run: run.ID, By: "user:bob", At: now.Add(-5 * time.Minute), Verdict: "approve", Reason: "looked at it with <b>Ana</b>", Binding: bound}}}
		run.Approval, run.Votes = &a, a.Votes
		f.runs[run.ID], ro.Runs, f.asks = run, append(ro.Runs, run), append(f.asks, a)
		f.plans[run.ID] = &wire.Plan{Changes: run.Changes, Resources: []wire.ResourceChange{{Address: "democloud_server." + stack + "[0]", Action: "replace"}, {Address: "democloud_server." + stack + "[1]", Action: "replace"}}}
	}
	f.rollouts = append(f.rollouts, ro)
}

func (f *fake) Preview(_ context.Context, project, id string) (wire.Preview, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pv := range f.status[project].Previews {
		if pv.ID == id {
			return pv, f.fails
		}
	}
	return wire.Preview{}, core.Errorf(core.NotFound, "there is no preview %s", id)
}
