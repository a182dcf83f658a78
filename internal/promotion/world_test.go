package promotion

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/core"
)

// world is a small Terrace in memory: it holds the rows, carries decisions out with
// the guards that the real one repeats in its transactions, and plays everybody else:
// developers, runners, people, crashes and clocks. It asserts, at each step, what must
// never happen. It judges by its own reading of the rules, not by the package's.
type world struct {
	t   *rapid.T
	now time.Time

	releases  []commit
	built     map[int]bool // versions of the image
	rollouts  []*Rollout   // all there ever were, in the order in which they were made
	envs      map[string]*core.EnvironmentState
	instances map[place2]*instance
	runs      []*core.Run
	stopped   string
	freezes   map[string][]Freeze
	// twoPersons: the guardrails want a second person for a skip.
	twoPersons bool
	graph      []Environment
	parallel   int
	ids        int
	moved      []core.Move
	dropped    bool // web was dropped once, and is not renamed any more

	votes      []core.Vote
	dead       map[string]bool   // votes on what was planned otherwise since
	requester  map[string]string // by rollout
	guardrails int

	history   map[string][]int64 // by environment: what was verified there, in order
	withdrawn map[string]bool    // stages: rolled back since
	mustHold  map[string]bool    // by environment: a rollback entered, and nobody lifted its hold
	automatic map[string]int     // by environment and release: how often the server rolled it back

	watches map[string]bool      // environments that are looked at now and then
	looking map[place2]bool      // what somebody looks at now
	seen    map[place2]time.Time // when what is there was last known
	repairs map[string][]string  // by rollout: the stacks that drifted
}

// commit is a release with what its configuration says.
type commit struct {
	core.Release
	stacks map[string]int // version of each stack's content
	things map[string]int // what each stack is, whatever it is called
	image  int            // version of the image that web, or site, uses; 0: none
	before string         // "web" or "site", whichever the other one is moved from
	envs   []Environment
	asks   map[string]*Requirement // by environment
	author string
}

type place2 struct{ stack, env string }

type instance struct {
	version int    // last applied and verified; 0: none
	unknown string // run
	exists  bool   // has something in its state
	serial  int64  // of its state
	drift   int    // what somebody did to it by hand
	thing   int    // which
}

// graphs are the ways in which environments follow one another.
var graphs = [][]Environment{
	{{Name: "dev"}, {Name: "staging", After: []string{"dev"}}, {Name: "production", After: []string{"staging"}}},
	{{Name: "dev"}, {Name: "staging", After: []string{"dev"}}, {Name: "load", After: []string{"dev"}}, {Name: "production", After: []string{"staging", "load"}}},
	{{Name: "eu"}, {Name: "us"}, {Name: "world", After: []string{"eu", "us"}}},
}

// upstreams of each stack, when they are there.
var upstreams = map[string][]string{"web": {"network", "db"}, "site": {"network", "db"}, "db": {"network"}}

// allStacks is every stack there may be. One is called web, or site.
var allStacks = []string{"network", "db", "web", "site"}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, now: noon, envs: map[string]*core.EnvironmentState{}, instances: map[place2]*instance{},
		history: map[string][]int64{}, withdrawn: map[string]bool{}, mustHold: map[string]bool{}, automatic: map[string]int{}, freezes: map[string][]Freeze{}, built: map[int]bool{}, dead: map[string]bool{}, requester: map[string]string{}}
	w.graph = slices.Clone(rapid.SampledFrom(graphs).Draw(t, "graph"))
	if rapid.IntRange(0, 3).Draw(t, "windows") == 3 {
		w.graph[len(w.graph)-1].Windows = []Windows{{{From: 6 * hour, To: 18 * hour, Zone: time.UTC}}}
	}
	w.parallel = rapid.IntRange(0, 2).Draw(t, "parallel")
	w.watches, w.looking, w.seen, w.repairs = map[string]bool{}, map[place2]bool{}, map[place2]time.Time{}, map[string][]string{}
	for _, e := range w.graph {
		w.watches[e.Name] = rapid.Bool().Draw(t, "looks at "+e.Name)
		w.envs[e.Name] = &core.EnvironmentState{Name: e.Name}
	}
	return w
}

func (w *world) id(prefix string) string {
	w.ids++
	return fmt.Sprintf("%s-%d", prefix, w.ids)
}

// push makes a release and its rollout.
func (w *world) push(c commit) {
	c.Number = int64(len(w.releases) + 1)
	c.Commit = fmt.Sprintf("commit%d", c.Number)
	w.releases = append(w.releases, c)
	w.addRollout(c, "push")
}

func (w *world) addRollout(c commit, by string) {
	ro := &Rollout{ID: w.id("ro"), Release: c.Release, Status: core.RolloutRunning, Manual: by != "push", Created: w.now}
	w.requester[ro.ID] = by
	if c.Invalid == "" {
		for _, e := range c.envs {
			ro.Stages = append(ro.Stages, Stage{ID: w.id("st"), Status: core.StageWaiting, Config: e, Parallel: w.parallel})
		}
	}
	w.rollouts = append(w.rollouts, ro)
}

// open lists what the snapshot may show, in its order.
func (w *world) open() []*Rollout {
	var out []*Rollout
	for _, ro := range w.rollouts {
		if !ro.Status.Terminal() {
			out = append(out, ro)
		}
	}
	slices.SortStableFunc(out, func(a, b *Rollout) int { return int(a.Release.Number - b.Release.Number) })
	return out
}

func (w *world) snapshot() Snapshot {
	s := Snapshot{Project: "shop", Stopped: w.stopped, Environments: map[string]core.EnvironmentState{}, Sights: w.sights()}
	for name, e := range w.envs {
		s.Environments[name] = *e
	}
	for _, ro := range w.open() {
		r := *ro
		r.Stages = slices.Clone(ro.Stages)
		for i := range r.Stages {
			st := &r.Stages[i]
			st.Config.Freezes, st.Config.SecondPerson = w.freezes[st.Config.Name], w.twoPersons
			if st.Status.HoldsLease() {
				st.Instances = w.view(&r, st)
				st.Before = w.before(st.Config.Name, ro.Release.Number)
				for _, x := range w.runsOf(st.ID) {
					st.Ran, st.Applied = st.Ran || x.Kind != core.KindPreview && x.Kind != core.KindImage, st.Applied || x.Applied
				}
			}
		}
		s.Rollouts = append(s.Rollouts, r)
	}
	return s
}

// view says what each instance needs in a stage.
func (w *world) view(ro *Rollout, st *Stage) []Instance {
	var out []Instance
	c := w.releases[ro.Release.Number-1]
	done := map[string]bool{}
	origins, clashes := w.names(c, st.Config.Name).Origins()
	if len(clashes) > 0 {
		w.t.Fatalf("rule 27: both are there: %v", clashes)
	}
	moving := map[string]bool{}
	if w.wantsImage(c) {
		out = append(out, w.viewImage(c, st))
	}
	for _, stack := range allStacks {
		if c.stacks[stack] == 0 {
			continue
		}
		in := Instance{Stack: stack, Need: NeedUnknown, Verify: stack == "web" || stack == "site"}
		ready := true
		for _, up := range upstreams[stack] {
			if c.stacks[up] != 0 {
				in.DependsOn = append(in.DependsOn, up)
				ready = ready && done[up]
			}
		}
		if w.wantsImage(c) && usesImage(stack) {
			in.DependsOn = append(in.DependsOn, imageStack)
			ready = ready && w.built[c.image]
		}
		state := w.instance(stack, st.Config.Name)
		in.Unknown = state.unknown != ""
		in.Run, in.Watch, in.Preview = w.newest(st.ID, stack)
		if from := origins[stack]; from != "" {
			moving[from] = true
			in.MovesFrom, in.Unknown = from, w.instance(from, st.Config.Name).unknown != ""
			if w.worksOn(from, st.Config.Name) || w.worksOn(stack, st.Config.Name) {
				in.MoveWaits = "a run"
			}
		}
		if ready {
			in.Need = NeedRun
			if state.version == c.stacks[stack] && !in.Unknown && !slices.Contains(w.repairs[ro.ID], stack) {
				in.Need = NeedNothing
			}
		}
		done[stack] = in.Need == NeedNothing || in.Run != nil && in.Run.Status == core.RunSucceeded && in.Run.Kind == core.KindDeploy
		out = append(out, in)
	}
	for _, stack := range allStacks {
		state := w.instance(stack, st.Config.Name)
		if c.stacks[stack] != 0 || !state.exists && state.unknown == "" || moving[stack] {
			continue
		}
		in := Instance{Stack: stack, Need: NeedRun, Removed: true, Unknown: state.unknown != ""}
		in.Run, _, _ = w.newest(st.ID, stack)
		out = append(out, in)
	}
	return out
}

// names is what is known of names when a release is in an environment.
func (w *world) names(c commit, env string) Names {
	n := Names{Here: map[string]string{}, Has: map[string]bool{}}
	for _, stack := range allStacks {
		if c.stacks[stack] != 0 {
			n.Here[stack] = c.movedFrom(stack)
		}
		n.Has[stack] = w.instance(stack, env).exists
	}
	for i := c.Number - 2; i >= 0; i-- { // as if nothing of it had ever come by
		older := map[string]string{}
		for _, stack := range allStacks {
			if from := w.releases[i].movedFrom(stack); from != "" {
				older[stack] = from
			}
		}
		n.Skipped = append(n.Skipped, older)
	}
	for _, m := range w.moved {
		if m.Environment == env {
			n.Moved = append(n.Moved, m)
		}
	}
	return n
}

func (c commit) movedFrom(stack string) string {
	if c.stacks[stack] != 0 && (stack == "web" && c.before == "site" || stack == "site" && c.before == "web") {
		return c.before
	}
	return ""
}

func (w *world) worksOn(stack, env string) bool {
	return slices.ContainsFunc(w.unfinished(), func(r *core.Run) bool { return r.Stack == stack && r.Environment == env })
}

func (w *world) newest(stage, stack string) (run, watch, preview *Run) {
	for _, x := range w.runs {
		if x.Stage != stage || x.Stack != stack {
			continue
		}
		p := &Run{ID: x.ID, Kind: x.Kind, Status: x.Status, Applied: x.Applied, Refuted: x.Refuted, Cancel: x.Cancel, Finished: x.Finished, Approval: w.approval(x)}
		if x.Error != nil {
			p.Code = x.Error.Code
		}
		switch x.Kind {
		case core.KindVerify:
			watch = p
		case core.KindPreview:
			preview = p
		default:
			run = p
		}
	}
	return run, watch, preview
}

func (w *world) instance(stack, env string) *instance {
	key := place2{stack, env}
	if w.instances[key] == nil {
		w.instances[key] = &instance{}
	}
	return w.instances[key]
}

func (w *world) runsOf(stage string) []*core.Run {
	var out []*core.Run
	for _, r := range w.runs {
		if r.Stage == stage {
			out = append(out, r)
		}
	}
	return out
}

func (w *world) unfinished() []*core.Run {
	var out []*core.Run
	for _, r := range w.runs {
		if !r.Status.Terminal() {
			out = append(out, r)
		}
	}
	return out
}

func (w *world) run(id string) *core.Run {
	for _, r := range w.runs {
		if r.ID == id {
			return r
		}
	}
	w.t.Fatalf("no run %s", id)
	return nil
}

func (w *world) stage(id string) (*Rollout, *Stage) {
	for _, ro := range w.rollouts {
		for i := range ro.Stages {
			if ro.Stages[i].ID == id {
				return ro, &ro.Stages[i]
			}
		}
	}
	w.t.Fatalf("no stage %s", id)
	return nil, nil
}
