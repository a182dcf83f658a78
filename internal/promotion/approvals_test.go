package promotion

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

var update = flag.Bool("update", false, "write the golden files")

// asking is the proposal that the tests vote on: ana wrote the commit, bob asked for the
// rollout, bob and cyd are in group:platform.
func asking(requirements ...Requirement) Proposal {
	for i := range requirements {
		requirements[i].Source = fmt.Sprintf("terrace.hcl of release %d", 12-i)
		requirements[i].Count = max(1, requirements[i].Count)
	}
	return Proposal{Instance: "web@production", Kind: core.KindDeploy, Requirements: requirements, Authors: []string{"user:ana"}, Requester: "user:bob",
		Groups:  map[string][]string{"user:bob": {"group:platform"}, "user:cyd": {"group:platform"}},
		Binding: core.Binding{Release: 12, Environment: "production", Plan: "p1", State: core.StateRef{Lineage: "0a1b2c3d-4e5f", Serial: 7}, Guardrails: "g1"}}
}

// says adds an approval of this very plan, an hour ago.
func (p Proposal) says(who string, options ...func(*core.Vote)) Proposal {
	v := core.Vote{ID: fmt.Sprint("v-", len(p.Votes)+1), Run: "r-1", Binding: p.Binding, By: "user:" + who, At: noon.Add(-time.Hour), Approves: true}
	for _, o := range options {
		o(&v)
	}
	p.Votes = append(slices.Clone(p.Votes), v)
	return p
}

func no(v *core.Vote)                         { v.Approves = false; v.Reason = "not before the holidays" }
func voided(v *core.Vote)                     { v.Void = "the plan was another one for a while" }
func daysAgo(v *core.Vote)                    { v.At = noon.Add(-73 * time.Hour) }
func inFuture(v *core.Vote)                   { v.At = noon.Add(time.Hour) }
func onRelease(v *core.Vote)                  { v.Release = 11 }
func onEnvironment(v *core.Vote)              { v.Environment = "staging" }
func onPlan(v *core.Vote)                     { v.Plan = "p0" }
func onSerial(v *core.Vote)                   { v.State.Serial = 6 }
func onLineage(v *core.Vote)                  { v.State.Lineage = "99999999-1111" }
func onNoState(v *core.Vote)                  { v.State = core.StateRef{} }
func onGuardrails(v *core.Vote)               { v.Guardrails = "g0" }
func onManyChanges(v *core.Vote)              { onPlan(v); onSerial(v); onGuardrails(v) }
func anybody() Requirement                    { return Requirement{Expires: 72 * time.Hour} }
func from(who ...string) (r Requirement)      { r = anybody(); r.From = who; return r }
func (r Requirement) others() Requirement     { r.Others = true; return r }
func (r Requirement) times(n int) Requirement { r.Count = n; return r }

func TestRule11_Approvals(t *testing.T) {
	t.Parallel()
	platform := from("group:platform")
	for _, c := range []struct {
		name    string
		given   Proposal
		missing []int // of each requirement that is not met
		void    int
	}{
		{"nothing is asked for", asking(), nil, 0},
		{"nobody said anything", asking(anybody()), []int{1}, 0},
		{"anybody said yes", asking(anybody()).says("dan"), nil, 0},
		{"one of a group", asking(platform).says("cyd"), nil, 0},
		{"somebody else", asking(platform).says("dan"), []int{1}, 1},
		{"one by name", asking(from("group:platform", "user:dan")).says("dan"), nil, 0},
		{"the same person twice counts once", asking(anybody().times(2)).says("dan").says("dan"), []int{1}, 0},
		{"two people", asking(anybody().times(2)).says("dan").says("cyd"), nil, 0},
		{"two of three", asking(anybody().times(3)).says("dan").says("cyd"), []int{1}, 0},
		{"the author, where that is no matter", asking(anybody()).says("ana"), nil, 0},
		{"the author", asking(anybody().others()).says("ana"), []int{1}, 1},
		{"who asked", asking(anybody().others()).says("bob"), []int{1}, 1},
		{"who asked, though in the group", asking(platform.others()).says("bob"), []int{1}, 1},
		{"another one", asking(platform.others()).says("bob").says("cyd"), nil, 1},
		{"each source is met on its own", asking(platform, from("user:dan")).says("cyd"), []int{1}, 0},
		{"by two people", asking(platform, from("user:dan")).says("cyd").says("dan"), nil, 0},
		{"or by one who is in both", asking(platform, anybody()).says("cyd"), nil, 0},
		{"the strictest wins (rule 28)", asking(anybody(), anybody().times(2)).says("cyd"), []int{1}, 0},
		{"another release", asking(anybody()).says("cyd", onRelease), []int{1}, 1},
		{"another environment", asking(anybody()).says("cyd", onEnvironment), []int{1}, 1},
		{"another plan", asking(anybody()).says("cyd", onPlan), []int{1}, 1},
		{"another serial", asking(anybody()).says("cyd", onSerial), []int{1}, 1},
		{"another lineage", asking(anybody()).says("cyd", onLineage), []int{1}, 1},
		{"other guardrails", asking(anybody()).says("cyd", onGuardrails), []int{1}, 1},
		{"what was void stays void", asking(anybody()).says("cyd", voided), []int{1}, 1},
		{"and can be said again", asking(anybody()).says("cyd", voided).says("cyd"), nil, 1},
		{"too long ago", asking(anybody()).says("cyd", daysAgo), []int{1}, 1},
		{"too long ago for one of two", asking(anybody(), Requirement{Expires: 100 * time.Hour}).says("cyd", daysAgo), []int{1}, 0},
		{"for ever", asking(Requirement{}).says("cyd", daysAgo), nil, 0},
		{"a clock that was set back", asking(anybody()).says("cyd", inFuture), nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := Count(c.given, noon)
			var missing []int
			for _, m := range got.Missing {
				missing = append(missing, m.Need)
			}
			if diff := cmp.Diff(c.missing, missing); diff != "" || got.Satisfied() != (c.missing == nil) {
				t.Errorf("satisfied: %v, missing (-want +got):\n%s", got.Satisfied(), diff)
			}
			if len(got.Void) != c.void || len(got.Void)+len(got.Given) != len(c.given.Votes) {
				t.Errorf("%d are void, %d count", len(got.Void), len(got.Given))
			}
		})
	}
}

func TestRule11_OneRejectionStops(t *testing.T) {
	t.Parallel()
	got := Count(asking(anybody()).says("cyd").says("dan", no).says("bob"), noon)
	if got.Satisfied() || got.Rejected == nil || got.Rejected.By != "user:dan" {
		t.Errorf("%+v", got)
	}
}

func TestRule11_WhoMayVote(t *testing.T) {
	t.Parallel()
	platform := from("group:platform").others()
	for _, c := range []struct {
		who             string
		approve, reject bool
		given           Proposal
	}{
		{"dan", true, true, asking(anybody())},
		{"cyd", true, true, asking(platform)},
		{"dan", false, false, asking(platform)},
		{"bob", false, true, asking(platform)}, // who asked may take it back
		{"ana", false, false, asking(platform)},
		{"ana", true, true, asking(platform, anybody())}, // counts for one of two
		{"ana", false, true, asking(anybody().others())},
		{"dan", true, true, asking(platform, from("user:dan"))},
	} {
		approve, reject := MayVote(c.given, "user:"+c.who, true), MayVote(c.given, "user:"+c.who, false)
		if (approve == "") != c.approve || (reject == "") != c.reject {
			t.Errorf("%s of %v: %q, %q", c.who, c.given.Requirements, approve, reject)
		}
	}
}

func TestRule11_WhoWroteACommit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		user, signature string
		want            bool
	}{
		{"ana", "Ana Lindqvist <ana@example.com>", true},
		{"ana@example.com", "Ana Lindqvist <ANA@example.com>", true},
		{"Ana Lindqvist", "Ana Lindqvist <a.l@example.com>", true},
		{"ana", "Ana <someone@example.com>", true},
		{"ana", "Bob <bob@example.com>", false},
		{"ana", "<ana> Bob <bob@example.com>", false},
		{"ana", "Bob <bob@ana>", false},
		{"", " <>", false},
		{"ana", "ana", true},
		{"x", "", false},
	} {
		if got := Wrote(c.user, c.signature); got != c.want {
			t.Errorf("%q wrote as %q: %v", c.user, c.signature, got)
		}
	}
}

// TestRule11_Words keeps what people read as golden files.
func TestRule11_Words(t *testing.T) {
	t.Parallel()
	platform := from("group:platform", "user:dan").others()
	blast := anybody()
	blast.Why = "it would destroy 8 resources, more than max_destroy = 5"
	waits := func(p Proposal) string {
		return Text([]core.Wait{ApprovalWait(p.Kind, p.Instance, "r-1", &Approval{Tally: Count(p, noon), Changes: core.Changes{Create: 1, Delete: 8}})})
	}
	changed := asking(platform).says("cyd", onPlan)
	unknown := asking(from("group:night"))
	unknown.Empty = []string{"group:night"}
	changed.Changed = map[string]string{"v-1": "it would also destroy democloud_server.web[2]"}
	destruction := asking(anybody())
	destruction.Kind = core.KindDestroy
	for name, text := range map[string]string{
		"11-waits":               waits(asking(platform.times(2))),
		"11-waits-for-more":      waits(asking(platform.times(2)).says("cyd")),
		"11-waits-on-two":        waits(asking(platform, from("group:security"))),
		"11-waits-for-operators": waits(asking(anybody().times(3))),
		"11-waits-for-another":   waits(asking(anybody().times(2)).says("cyd")),
		"11-destruction":         waits(destruction),
		"15-blast-radius":        waits(asking(blast)),
		"11-another-plan":        waits(changed),
		"11-another-state":       waits(asking(platform).says("cyd", onSerial)),
		"11-another-lineage":     waits(asking(platform).says("cyd", onLineage)),
		"11-first-state":         waits(asking(platform).says("cyd", onNoState)),
		"11-other-guardrails":    waits(asking(platform).says("cyd", onGuardrails)),
		"11-another-release":     waits(asking(platform).says("cyd", onRelease)),
		"11-another-environment": waits(asking(platform).says("cyd", onEnvironment)),
		"11-everything-changed":  waits(asking(platform).says("cyd", onManyChanges)),
		"11-expired":             waits(asking(platform).says("cyd", daysAgo)),
		"11-author":              MayVote(asking(anybody().others()), "user:ana", true),
		"11-requester":           MayVote(asking(platform), "user:bob", true),
		"11-nobody":              MayVote(asking(platform, from("group:security")), "user:eve", true),
		"11-empty-group":         MayVote(unknown, "user:eve", true),
		"11-nobody-rejects":      MayVote(asking(platform, from("group:security")), "user:eve", false),
		"11-stale-state":         Stale("web@production", asking().Binding, asking().says("x", onSerial).Votes[0].Binding),
		"11-stale-guardrails":    Stale("web@production", asking().Binding, asking().says("x", onGuardrails).Votes[0].Binding),
	} {
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text+"\n"); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// awaits is a run that awaits approvals.
func awaits(p Proposal, options ...func(*Approval)) func(*Instance) {
	return func(i *Instance) {
		run(core.RunAwaitingApproval)(i)
		i.Run.Approval = &Approval{Tally: Count(p, noon), Changes: core.Changes{Update: 1}}
		for _, o := range options {
			o(i.Run.Approval)
		}
	}
}

func stale(a *Approval) { a.Stale = "the guardrails changed since the plan was made" }

func TestRule11_ApprovedPlansAreMadeAgain(t *testing.T) {
	t.Parallel()
	needed := asking(anybody())
	approved, soon := needed.says("cyd"), needed.says("cyd", inFuture)
	text := func(stack string) string {
		return "approval to apply " + stack + "@dev (1 to update) by any operator (terrace.hcl of release 12): terrace approve r-" + stack
	}
	const tonight = "the window of dev, which opens at 18:00 on Sunday, 1 March (UTC)"
	check(t, []rule{
		{"it waits", snap(ro(1, in("dev", running, stack("web", awaits(needed))))), nil, map[string]string{"1.dev": text("web")}},
		{"others go on meanwhile", snap(ro(1, in("dev", running, stack("db"), stack("web", awaits(needed))))), []string{"start deploy db in 1.dev"}, nil},
		{"its dependants wait", snap(ro(1, in("dev", running, stack("db", awaits(needed)), stack("web", needs("db"), undecided)))), nil, nil},
		{"approved, it goes on", snap(ro(1, in("dev", running, stack("web", awaits(approved))))), []string{"resume r-web, since approved"}, map[string]string{}},
		{"not beyond the limit", snap(ro(1, in("dev", running, parallel(1), stack("db", run(core.RunApplying)), stack("web", awaits(approved))))), nil, nil},
		{"before what has not begun", snap(ro(1, in("dev", running, parallel(1), stack("db"), stack("web", awaits(approved))))), []string{"resume r-web, since approved"}, nil},
		{"out of date, it goes on too", snap(ro(1, in("dev", running, stack("web", awaits(needed, stale))))), []string{"resume r-web, since the guardrails changed since the plan was made"}, nil},
		{"each for itself", snap(ro(1, in("dev", running, stack("db", awaits(needed)), stack("web", awaits(approved))))), []string{"resume r-web, since approved"}, map[string]string{"1.dev": text("db")}},
		{"not before the window opens", snap(ro(1, in("dev", running, opens(evening), stack("web", awaits(approved))))), nil, map[string]string{"1.dev": tonight}},
		{"which is no reason not to ask", snap(ro(1, in("dev", running, opens(evening), stack("web", awaits(needed))))), nil, map[string]string{"1.dev": text("web")}},
		{"a newer release takes its place", snap(ro(1, in("dev", running, stack("web", awaits(needed)))), ro(2, in("dev", waiting))), []string{"supersede run r-web by 2"}, nil},
		{"not once something was applied", snap(ro(1, in("dev", running, stack("db", run(core.RunSucceeded), hasApplied), stack("web", awaits(needed)))), ro(2, in("dev", waiting))), nil, nil},
		{"cancelled with its rollout", snap(ro(1, cancelAsked, in("dev", running, stack("web", awaits(approved))))), []string{"cancel r-web"}, nil},
	})
	s := snap(ro(1, in("dev", running, stack("web", awaits(soon)))))
	if due := NextDue(s, noon); !due.Equal(noon.Add(73 * time.Hour)) {
		t.Errorf("the next thing is due at %s", due)
	}
}

// An approval that has expired for one of several requirements is given again.
func TestAFadedApprovalIsGivenAgain(t *testing.T) {
	t.Parallel()
	p := asking(anybody(), Requirement{}).says("dan", daysAgo)
	before := Count(p, noon)
	if before.Satisfied() || before.By("user:dan") != nil {
		t.Errorf("satisfied %v, and dan's approval counts for all: %v", before.Satisfied(), before.By("user:dan"))
	}
	again := Count(p.says("dan"), noon)
	if given := again.By("user:dan"); !again.Satisfied() || given == nil || given.ID != "v-2" {
		t.Errorf("satisfied %v by %v", again.Satisfied(), given)
	}
}
