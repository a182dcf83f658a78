package promotion

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/core"
)

// TestModel drives the rules with random histories and asserts the invariants of
// docs/promotion.md. Each shard is 100 histories; more of them:
//
//	go test ./internal/promotion -run TestModel -rapid.checks=20000
func TestModel(t *testing.T) {
	t.Parallel()
	for shard := range 5 {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(t)
				w.commit(t)
				t.Repeat(map[string]func(*rapid.T){
					"":                        func(*rapid.T) { w.invariants() },
					"commit":                  w.commit,
					"a release comes through": func(t *rapid.T) { w.commit(t); w.comesThrough() },
					"a verification says no":  w.sayNo,
					"reconcile":               func(*rapid.T) { w.reconcile() },
					"reconcile and go on":     func(*rapid.T) { w.reconcile(); w.everybodyGoesOn(); w.reconcile() },
					"crash while acting":      w.crash,
					"act on old news":         w.actLate,
					"act twice":               w.actTwice,
					"runners work":            w.work,
					"runners work more":       func(t *rapid.T) { w.work(t); w.reconcile(); w.work(t) },
					"time passes":             w.timePasses,
					"the clock is set":        w.clockIsSet,
					"try again":               w.tryAgain,
					"cancel a rollout":        w.cancelRollout,
					"cancel a run":            w.cancelRun,
					"recover":                 func(*rapid.T) { w.recoverUnknown() },
					"hold":                    w.hold,
					"lift a hold":             w.liftHold,
					"roll back":               w.rollBack,
					"roll back, and go on":    func(t *rapid.T) { w.rollBack(t); w.reconcile(); w.work(t); w.reconcile() },
					"vote":                    w.vote,
					"meddle":                  w.meddle,
					"repair":                  w.repair,
					"repair, and go on":       func(t *rapid.T) { w.repair(t); w.reconcile(); w.work(t); w.reconcile() },
					"looks end":               w.looksEnd,
					"forget images":           func(*rapid.T) { w.forgetImages() },
					"vote, and meddle":        w.meddleAround,
					"force-push":              func(*rapid.T) { w.stopped = "commit1 was removed" },
					"acknowledge the force":   func(*rapid.T) { w.stopped = "" },
					"freeze":                  w.freeze,
					"unfreeze":                w.unfreeze,
					"skip gates":              w.skip,
					"agree to skips":          w.agree,
					"want a second person":    func(*rapid.T) { w.twoPersons = !w.twoPersons },
				})
				w.settle()
			})
		})
	}
}

func (w *world) commit(t *rapid.T) {
	c := commit{stacks: map[string]int{"network": 1, "db": 1, "web": 1}, things: map[string]int{"network": 1, "db": 2, "web": 3}, asks: map[string]*Requirement{}}
	c.author = rapid.SampledFrom(people).Draw(t, "author")
	if n := len(w.releases); n > 0 {
		last := w.releases[n-1]
		c.stacks, c.things, c.before, c.image = maps.Clone(last.stacks), maps.Clone(last.things), last.before, last.image
	}
	number := len(w.releases) + 2 // a version that no other release has
	w.rename(t, &c, number)
	for _, stack := range allStacks {
		if stack == "site" && c.things[stack] == 0 {
			continue // there is none but by renaming
		}
		choices := []string{"same", "same", "change", "change", "drop"}
		if c.before != "" && (stack == "web" || stack == "site") {
			choices = choices[:3] // who drops and renames at once gets what they see
			if c.stacks[stack] == 0 {
				continue
			}
		}
		switch rapid.SampledFrom(choices).Draw(t, stack) {
		case "change":
			if c.stacks[stack] == 0 {
				c.things[stack] = 10*number + slices.Index(allStacks, stack) // it is another one that comes
			}
			c.stacks[stack] = number
		case "drop":
			c.stacks[stack] = 0
			w.dropped = w.dropped || stack == "web"
		}
	}
	w.drawImage(t, &c, number)
	c.Barrier = rapid.IntRange(0, 7).Draw(t, "barrier") == 7
	if rapid.IntRange(0, 11).Draw(t, "invalid") == 11 {
		c.Invalid = "terrace.hcl:1: what is this?"
	}
	for _, e := range w.graph {
		if rapid.IntRange(0, 2).Draw(t, "bake") == 2 {
			e.Bake = 10 * time.Minute
		}
		e.Every = rapid.IntRange(0, 5).Draw(t, "every") == 5
		if len(e.After) == 1 && rapid.IntRange(0, 5).Draw(t, "shortcut") == 5 {
			e.After = w.graph[slices.IndexFunc(w.graph, func(up Environment) bool { return up.Name == e.After[0] })].After
		}
		e.AutoRollback = rapid.Bool().Draw(t, "auto")
		c.envs = append(c.envs, e)
		c.asks[e.Name] = drawRequirement(t)
	}
	w.push(c)
}

// rename has web and site change names, once in a while; some forget to say so later, and
// some take it back without saying so.
func (w *world) rename(t *rapid.T, c *commit, number int) {
	if w.dropped || len(w.releases) == 0 {
		return
	}
	from, to := "web", "site"
	if c.stacks[from] == 0 {
		from, to = to, from
	}
	switch rapid.SampledFrom([]string{"", "", "", "", "rename", "forget"}).Draw(t, "names") {
	case "rename":
		c.stacks[to], c.things[to] = number, c.things[from] // its digest is another one
		c.stacks[from], c.things[from] = 0, 0
		c.before = from
	case "forget":
		if c.before != "" {
			c.before = "nothing"
		}
	}
}

// reconcile acts until there is nothing left to do, as the reconciler does when
// nothing disturbs it.
func (w *world) reconcile() {
	for round := 0; ; round++ {
		s := w.snapshot()
		decisions := Decide(s, w.now)
		if diff := cmp.Diff(decisions, Decide(w.snapshot(), w.now)); diff != "" {
			w.t.Fatalf("the same snapshot was decided on differently:\n%s", diff)
		}
		if len(decisions) == 0 {
			break
		}
		if round == 50 {
			w.t.Fatalf("no rest after %d rounds; next would be %v", round, decisions)
		}
		for _, d := range decisions {
			if !w.act(d, true) {
				w.t.Fatalf("the guard of %s refused, though nothing had changed", words(d))
			}
		}
	}
	w.noneIdle()
	w.nothingOverdue()
	w.explained()
}

// noneIdle is I8: no environment is free while somebody may enter it.
func (w *world) noneIdle() {
	for _, ro := range w.open() {
		for i := range ro.Stages {
			st := &ro.Stages[i]
			if st.Status != core.StageWaiting || w.envs[st.Config.Name].Stage != "" {
				continue
			}
			if w.closed(ro, st) == "" && !w.hopeless(ro, st) && w.goesFirst(ro, st) == nil {
				w.t.Fatalf("I8: %s is idle, and release %d, which may enter, waits for %q", st.Config.Name, ro.Release.Number, st.WaitsFor)
			}
		}
	}
}

// comesThrough lets everything go well for as long as a release may take.
func (w *world) comesThrough() {
	for range 4 * len(w.graph) {
		w.reconcile()
		w.everybodyGoesOn()
		w.pass(10 * time.Minute)
	}
	w.reconcile()
}

// sayNo brings runs to their verification, and some of them no further.
func (w *world) sayNo(t *rapid.T) {
	w.reconcile()
	for _, r := range w.unfinished() {
		for r.Status != core.RunVerifying && !r.Status.Terminal() && r.Status != core.RunAwaitingApproval {
			w.step(r, goesOn)
		}
		if r.Status == core.RunVerifying && rapid.IntRange(0, 3).Draw(t, r.ID) > 0 {
			w.step(r, fails)
		}
	}
	w.reconcile()
}

// crash loses the rest of a list of decisions.
func (w *world) crash(t *rapid.T) {
	decisions := Decide(w.snapshot(), w.now)
	if len(decisions) == 0 {
		return
	}
	for _, d := range decisions[:rapid.IntRange(0, len(decisions)-1).Draw(t, "carried out")] {
		w.act(d, true)
	}
}

// actLate carries decisions out after the world has moved on.
func (w *world) actLate(t *rapid.T) {
	decisions := Decide(w.snapshot(), w.now)
	switch rapid.IntRange(0, 3).Draw(t, "meanwhile") {
	case 0:
		w.hold(t)
	case 1:
		w.cancelRollout(t)
	default:
		w.work(t)
	}
	for _, d := range decisions {
		if !w.act(d, false) {
			return
		}
	}
}

// actTwice repeats each decision at once, as after a reply that was lost.
func (w *world) actTwice(*rapid.T) {
	for _, d := range Decide(w.snapshot(), w.now) {
		w.act(d, true)
		w.act(d, false)
	}
}

// invariants are those that hold at every moment.
func (w *world) invariants() {
	holders := map[string]string{}
	for _, ro := range w.rollouts {
		for _, st := range ro.Stages {
			if !st.Status.HoldsLease() {
				continue
			}
			if holders[st.Config.Name] != "" {
				w.t.Fatalf("I2: %s and %s both hold %s", holders[st.Config.Name], st.ID, st.Config.Name)
			}
			if ro.Status.Terminal() {
				w.t.Fatalf("%s is %s and its stage %s is %s", ro.ID, ro.Status, st.ID, st.Status)
			}
			holders[st.Config.Name] = st.ID
		}
	}
	w.onlyIdleIsLookedAt()
	for name, e := range w.envs {
		if e.Stage != holders[name] {
			w.t.Fatalf("the lease of %s is %q's, but %q acts as if", name, e.Stage, holders[name])
		}
		if w.mustHold[name] && e.Hold == nil {
			w.t.Fatalf("rule 21: %s was rolled back and is not held", name)
		}
		if e.Verified > e.Entered {
			w.t.Fatalf("%s: release %d is verified and never entered", name, e.Verified)
		}
	}
	w.imagesOnce()
	busy := map[place2]string{}
	for _, r := range w.unfinished() {
		if r.Kind.OnlyLooks() {
			continue
		}
		key := place2{r.Stack, r.Environment}
		if busy[key] != "" {
			w.t.Fatalf("I2: %s and %s both work on %v", busy[key], r.ID, key)
		}
		busy[key] = r.ID
	}
}

func (w *world) timePasses(t *rapid.T) {
	w.pass(time.Duration(rapid.IntRange(1, 12).Draw(t, "minutes")) * time.Minute)
	w.reconcile()
}

// pass is time in which the server runs: bakes accrue.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	for _, ro := range w.rollouts {
		for i := range ro.Stages {
			if ro.Stages[i].Status == core.StageBaking {
				ro.Stages[i].Baked += d
			}
		}
	}
}

// clockIsSet moves the wall clock without time having passed; or time passes without
// a server. No bake may end by that.
func (w *world) clockIsSet(t *rapid.T) {
	w.reconcile()
	w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{-24, -1, 1, 24}).Draw(t, "hours")) * time.Hour)
	for _, d := range Decide(w.snapshot(), w.now) {
		if set, ok := d.(SetStage); ok && set.From == core.StageBaking && set.Status.Terminal() {
			w.t.Fatalf("rule 17: the clock ended the bake of %s", set.Stage)
		}
	}
	w.reconcile()
}

// tryAgain is "terrace rollout start --commit N", with what the server refuses.
func (w *world) tryAgain(t *rapid.T) {
	w.retry(w.releases[rapid.IntRange(0, len(w.releases)-1).Draw(t, "release")], rapid.SampledFrom(people).Draw(t, "who asks"))
}

func (w *world) retry(c commit, by string) bool {
	if c.Invalid != "" || w.stopped != "" {
		return false
	}
	for _, e := range c.envs {
		if len(e.After) == 0 && w.envs[e.Name].Entered > c.Number {
			return false
		}
	}
	w.addRollout(c, by)
	return true
}

func (w *world) cancelRollout(t *rapid.T) {
	if open := w.open(); len(open) > 0 {
		rapid.SampledFrom(open).Draw(t, "rollout").Cancel = true
	}
}

func (w *world) cancelRun(t *rapid.T) {
	if runs := w.unfinished(); len(runs) > 0 {
		w.stop(rapid.SampledFrom(runs).Draw(t, "run"))
	}
}

func (w *world) hold(t *rapid.T) {
	e := w.envs[rapid.SampledFrom(w.graph).Draw(t, "environment").Name]
	e.Hold = &core.Hold{Kind: rapid.SampledFrom([]core.HoldKind{core.HoldPerson, core.HoldRollback}).Draw(t, "kind"), Reason: "wait"}
}

func (w *world) liftHold(t *rapid.T) {
	name := rapid.SampledFrom(w.graph).Draw(t, "environment").Name
	w.envs[name].Hold, w.mustHold[name] = nil, false
}

// recoverUnknown starts a recover run wherever an outcome is unknown.
func (w *world) recoverUnknown() {
	for key, in := range w.instances {
		if in.unknown == "" || slices.ContainsFunc(w.unfinished(), func(r *core.Run) bool {
			return r.Stack == key.stack && r.Environment == key.env && r.Kind != core.KindVerify
		}) {
			continue
		}
		lost := w.run(in.unknown)
		w.runs = append(w.runs, &core.Run{ID: w.id("r"), Stage: lost.Stage, Rollout: lost.Rollout, Stack: key.stack, Environment: key.env,
			Kind: core.KindRecover, Status: core.RunQueued, Release: lost.Release})
	}
}
