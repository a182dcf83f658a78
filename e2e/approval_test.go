package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// as returns the world as somebody else sees it, who has a token of that name.
func (w *world) as(name string) *world {
	w.Helper()
	other := *w
	other.token = ask[struct{ Secret string }](w, "token", "create", name).Secret
	return &other
}

// approval is the part of the machine output about what waits.
type approval struct {
	Run, Instance string
	AskedBy       string `json:"asked_by"`
	WaitsFor      string `json:"waits_for"`
	Again         string
	May           bool `json:"may_approve"`
	Binding       struct {
		Plan   string
		Serial int64 `json:"state_serial"`
	}
	Requirements []struct {
		Source         string
		Count, Missing int
	}
	Votes []struct{ By, Verdict, Void string }
}

// waiting waits for a run at an instance that awaits approvals, and shows it.
func (w *world) waiting(instance string) approval {
	w.Helper()
	var found approval
	testkit.Eventually(w, patience, instance+" to wait for an approval", func() bool {
		for _, a := range ask[[]approval](w, "approve", "--all") {
			if a.Instance == instance {
				found = a
				return true
			}
		}
		return false
	})
	return found
}

// refused runs a command that has to fail, and returns what it says.
func (w *world) refused(args ...string) string {
	w.Helper()
	stdout, stderr, code := w.try(args...)
	if code != 1 {
		w.Errorf("terrace %s: exit %d, want 1\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout + stderr
}

// runners counts the processes that work below the server's folder for runs.
func (w *world) runners() (n int) {
	w.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil || len(all) == 0 {
		w.Fatalf("there are no processes: %v", err)
	}
	for _, link := range all {
		if dir, err := os.Readlink(link); err == nil && strings.HasPrefix(dir, filepath.Join(w.data, "runner")) {
			n++
		}
	}
	return n
}

// rewrite stores the state of an instance once more, under the next serial.
func (w *world) rewrite(instance string) {
	w.Helper()
	var state map[string]any
	if err := json.Unmarshal([]byte(w.run("state", "pull", instance)), &state); err != nil {
		w.Fatal(err)
	}
	state["serial"] = state["serial"].(float64) + 1
	content, err := json.Marshal(state)
	if err != nil {
		w.Fatal(err)
	}
	file := w.file("rewritten.tfstate")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		w.Fatal(err)
	}
	w.run("state", "push", instance, file)
}

// Rule 11: production waits for somebody who neither wrote the commit nor asked for the
// rollout, without a process; their approval lets exactly that plan through.
func TestProductionWaitsForApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "approval {\n    others = true\n  }", "")
	w.stack("web", "one", "")
	w.stack("db", "one", "")
	first := w.repo.Commit("Two stacks")
	w.repo.Push()
	ana, bob, cyd := w.as("ana"), w.as("bob"), w.as("cyd") // ana is who commits
	w.add("park")
	web, db := w.waiting("web@production"), w.waiting("db@production")
	w.eventually("the runners to end while everything waits", func() bool { return w.runners() == 0 })
	stdout, stderr, code := bob.try("rollout", "start", "--wait", "--timeout", "60s")
	if code != 3 {
		t.Errorf("rollout start --wait: exit %d, want 3\n%s%s", code, stdout, stderr)
	}
	says(t, "rollout start --wait", stdout+stderr, "approval to apply web@production (1 to create) by any operator, neither the commit's author nor who asked for the rollout (terrace.hcl of release 1)",
		"terrace approve "+web.Run)

	says(t, "the author", ana.refused("approve", web.Run), "ana may not approve this plan of web@production", "ana wrote the commit")
	says(t, "the list of the author", ana.run("approve"), "Nothing else waits for you; 2 for others")
	says(t, "the list", bob.run("approve"), "deploy web@production, release 1", "1 to create", "1 of any operator", "1 missing", "terrace approve "+web.Run)
	says(t, "what does not wait", bob.refused("approve", "r-nothing"), "there is no run r-nothing")
	says(t, "an environment where nothing waits", bob.refused("approve", "dev"), "nothing waits for an approval")

	says(t, "approving one", bob.run("approve", web.Run, "--reason", "looked at \"it\" \x1b[31m\u2713"), "Approved "+web.Run)
	r := w.runAt("web@production", "succeeded")
	says(t, "run show", w.run("run", "show", r.ID), "user:bob approved it", "looked at")
	says(t, "approving the rest", cyd.run("approve", "production", "--yes"), "Approved "+db.Run)
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	says(t, "too late", bob.refused("approve", db.Run), "it does not wait for an approval")
	says(t, "the audit log", w.run("events"), "run.approved", "run.resumed")

	// Rule 9: a plan without changes is nobody's to approve.
	w.repo.Write("stacks/web/notes.txt", "nothing that the engine reads")
	second := w.repo.Commit("A file beside it")
	w.push()
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
}

// Who started the rollout may not approve it either, and one rejection stops.
func TestRejectionStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "approval {\n    count  = 2\n    from   = [\"user:bob\", \"user:cyd\", \"user:dan\"]\n    others = true\n  }", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	bob, cyd, dan, eve := w.as("bob"), w.as("cyd"), w.as("dan"), w.as("eve")
	w.add("park")
	web := w.waiting("web@production")
	says(t, "somebody else", eve.refused("approve", web.Run), "eve may not approve this plan of web@production: eve is not user:bob, user:cyd or user:dan")
	says(t, "somebody else rejects", eve.refused("reject", web.Run), "eve may not reject")
	bob.run("approve", web.Run)
	says(t, "twice", bob.refused("approve", web.Run), "you approved this plan of web@production already", "1 more of user:bob, user:cyd or user:dan")
	testkit.Eventually(t, patience, "the stage to say that one more is missing", func() bool {
		return strings.Contains(w.of(first).Stages[1].WaitsFor, "by 1 more of user:bob, user:cyd or user:dan")
	})
	cyd.run("reject", "production", "--reason", "not before the holidays")
	r := w.ends(first)
	w.wants(r, "cancelled", "dev succeeded", "production cancelled")
	says(t, "run show", w.run("run", "show", web.Run), "rejected by user:cyd: not before the holidays")

	// Tried again, it is asked for again, and not from who asked.
	bob.run("rollout", "start")
	web = w.waiting("web@production")
	if len(web.Votes) != 0 || web.AskedBy != "user:bob" {
		t.Errorf("asked by %s, votes %+v", web.AskedBy, web.Votes)
	}
	says(t, "who asked", bob.refused("approve", web.Run), "bob asked for the rollout")
	cyd.run("approve", web.Run)
	dan.run("approve", web.Run)
	r = w.ends(first)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
}

// Somebody in a browser is who asked for the link: the author stays the author there, and
// nobody votes twice. A form from another site is refused.
func TestApprovingInABrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "approval {\n    count  = 2\n    others = true\n  }", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	ana, bob, cyd := w.as("ana"), w.as("bob"), w.as("cyd")
	w.add("park")
	web := w.waiting("web@production")
	vote := func(who *world, origin string) (int, string) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := &http.Client{Jar: jar}
		do := func(method, url string, form url.Values) (int, string) {
			req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", origin)
			resp, err := browser.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(text)
		}
		do(http.MethodGet, strings.TrimSpace(who.run("browse")), nil)
		return do(http.MethodPost, w.url+"/runs/"+web.Run+"/vote", url.Values{"run": {web.Run}, "plan": {web.Binding.Plan}, "verdict": {"approve"}, "reason": {"in a browser"}})
	}
	status, text := vote(ana, w.url)
	if status != http.StatusForbidden {
		t.Errorf("the author: %d", status)
	}
	says(t, "the author", text, "ana wrote the commit")
	if status, _ := vote(bob, "https://elsewhere.example"); status != http.StatusForbidden {
		t.Errorf("from another site: %d", status)
	}
	bob.run("approve", web.Run)
	if status, text := vote(bob, w.url); status != http.StatusConflict {
		t.Errorf("twice: %d\n%s", status, text)
	}
	if status, text := vote(cyd, w.url); status != http.StatusOK {
		t.Errorf("another one: %d\n%s", status, text)
	}
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
}

// A push beside an approval: what is applied is what was approved, of the release that it
// was approved for, or nothing; the newer release asks for itself.
func TestAPushBesideAnApproval(t *testing.T) {
	t.Parallel()
	for _, pushFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("push first: ", pushFirst), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.park("", "approval {\n  }", "")
			w.stack("web", "one", "")
			first := w.repo.Commit("One")
			w.repo.Push()
			w.add("park")
			web := w.waiting("web@production")
			w.stack("web", "two", "")
			second := w.repo.Commit("Two")
			if pushFirst {
				w.push()
				_, _, _ = w.try("approve", web.Run) // it may come too late
			} else {
				w.run("approve", web.Run)
				w.push()
			}
			w.eventually("the second release to ask for itself", func() bool {
				for _, a := range ask[[]approval](w, "approve", "--all") {
					if a.Instance == "web@production" && a.Run != web.Run {
						return len(a.Votes) == 0
					}
				}
				return false
			})
			shown := ask[run](w, "run", "show", web.Run)
			switch shown.Status {
			case "succeeded":
				if said := w.output("web@production", "said"); said != "one in production" {
					t.Errorf("production says %v", said)
				}
			case "superseded":
				if out, _, code := w.try("state", "pull", "web@production"); code == 0 {
					t.Errorf("nothing was approved, and production has %s", out)
				}
			default:
				t.Errorf("the first run is %s", shown.Status)
			}
			if shown.Release.Commit != first {
				t.Errorf("it is of %s", shown.Release.Commit)
			}
			w.run("approve", "production")
			w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
			if said := w.output("web@production", "said"); said != "two in production" {
				t.Errorf("production says %v", said)
			}
		})
	}
}

// Any change voids: of the state while it waits, and of the plan between the approval and
// the apply.
func TestChangesVoidApprovals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "approval {\n    count = 2\n  }", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	bob, cyd := w.as("bob"), w.as("cyd")
	w.add("park")
	w.waiting("web@production")
	bob.run("approve", "production")
	cyd.run("approve", "production")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	w.stack("web", "two", "")
	second := w.repo.Commit("Two")
	w.push()
	web := w.waiting("web@production")
	bob.run("approve", "production")
	w.rewrite("web@production") // the same resources, another serial
	testkit.Eventually(t, patience, "the plan to be made again", func() bool { return w.waiting("web@production").Binding.Serial > web.Binding.Serial })
	again := w.waiting("web@production")
	if again.Run != web.Run || again.Binding.Plan != web.Binding.Plan || len(again.Votes) != 1 || again.Votes[0].Void == "" || !again.May {
		t.Errorf("%+v", again)
	}
	says(t, "what it waits for", again.WaitsFor, "by 2 operators", fmt.Sprintf("again, because the state of web@production is another one than when bob approved it (serial %d, now serial %d)", web.Binding.Serial, again.Binding.Serial))
	bob.run("approve", "production")
	cyd.run("approve", "production")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	says(t, "the audit log", w.run("events"), "approval.void")
}

// Rule 28: a commit that removes its approval still meets it, once, also in a stack that
// was not there before.
func TestAnApprovalIsRemovedBehindIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "approval {\n    from = [\"user:bob\"]\n  }", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("Behind an approval")
	w.repo.Push()
	bob := w.as("bob")
	w.add("park")
	w.waiting("web@production")
	bob.run("approve", "production")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	w.park("", "", "")
	w.stack("new", "new", "")
	second := w.repo.Commit("Without an approval, and with something new")
	w.push()
	says(t, "what it waits for", w.waiting("new@production").WaitsFor, "by 1 of user:bob (terrace.hcl of release 1, which is there now)")
	bob.run("approve", "production")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")

	w.stack("web", "three", "")
	third := w.repo.Commit("Nobody is asked any more")
	w.push()
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
}

// Rule 15: more than the stage may destroy needs an approval, counted over its runs.
func TestBlastRadius(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	many := func(stack string, n int) {
		w.repo.Write("stacks/"+stack+"/main.tf", fmt.Sprintf("resource \"terraform_data\" \"it\" {\n  count = %d\n}\n", n))
	}
	w.park("", "max_destroy = 2", "stack \"b\" {\n  inputs = { after = stack.a.n }\n}\n")
	w.repo.Write("stacks/a/outputs.tf", "output \"n\" {\n  value = length(terraform_data.it)\n}\n")
	w.repo.Write("stacks/b/variables.tf", "variable \"after\" {\n  type = number\n}\n")
	many("a", 4)
	many("b", 4)
	first := w.repo.Commit("Four and four")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	many("a", 2)
	many("b", 3)
	second := w.repo.Commit("Two and three")
	w.push()
	b := w.waiting("b@production") // a destroyed as many as allowed
	says(t, "what it waits for", b.WaitsFor, "(1 to delete) by any operator, since it would destroy 1 resource, 3 with those of its stage before it, more than max_destroy = 2 (terrace.hcl of release 2)")
	says(t, "run show", w.run("run", "show", b.Run), "Check blast_radius: warn", "max_destroy = 2 in terrace.hcl of release 2", "terraform_data.it[3]")
	w.run("approve", "production")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
}

// An approval counts for a while. A plan that is not applied within it waits again.
func TestApprovalsExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "approval {\n    count   = 2\n    expires = \"3s\"\n  }", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("Soon forgotten")
	w.repo.Push()
	bob, cyd := w.as("bob"), w.as("cyd")
	w.add("park")
	w.waiting("web@production")
	bob.run("approve", "production")
	testkit.Eventually(t, patience, "the approval to expire", func() bool {
		return strings.Contains(w.of(first).Stages[1].WaitsFor, "by 2 operators (terrace.hcl of release 1), again, because the approval of bob has expired, after 3s")
	})
	if web := cyd.waiting("web@production"); !web.May { // time alone ends nothing
		t.Errorf("%+v", web)
	}

	w.park("", "approval {\n    count = 2\n  }", "")
	second := w.repo.Commit("With more patience")
	w.push()
	w.eventually("the newer release to take its place", func() bool { return w.of(first).Stages[1].Status == "superseded" })
	w.waiting("web@production")
	bob.run("approve", "production")
	cyd.run("approve", "production")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
}
