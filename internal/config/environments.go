package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	// The zones of windows must not depend on the machine.
	_ "time/tzdata"

	goversion "github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

// environment is an environment block with the places in the file.
type environment struct {
	Environment
	index  int
	body   body
	after  []item
	values map[string]cty.Value // of Variables
	layers map[string]string    // who says a value, where that is not the environment
	places map[string]hcl.Range // of the values in the file
	used   map[string]bool      // variables that some stack declares
	// guarded are values of the guardrails: see Config.Under.
	guarded map[string]GuardedValue
	sops    []sopsBlock
	// files are the encrypted files that secrets are in, with digests of their contents.
	files map[string]string
}

func (l *load) project(top body) {
	cfg := &l.cfg.Project
	blocks := top.blocks["project"]
	if len(blocks) == 0 {
		if !slices.ContainsFunc(l.diags, func(d *hcl.Diagnostic) bool { return strings.Contains(d.Summary, `"project"`) }) {
			l.error(startOf(l.file), "There is no project block", "Name the project: project \"shop\" { }")
		}
		*cfg = Project{Engine: "tofu", State: "terrace", Parallel: 10, Stacks: []string{"stacks/*"}}
		return
	}
	block := blocks[0]
	l.name("project", block)
	b := l.read(block.Body, projectSchema, block.DefRange())
	l.projects = []body{b}
	*cfg = Project{
		Name:          block.Labels[0],
		Engine:        l.text(b, "engine", "tofu", l.ctx),
		EngineVersion: l.text(b, "engine_version", "", l.ctx),
		State:         l.text(b, "state", "terrace", l.ctx),
		Parallel:      10,
		Stacks:        []string{"stacks/*"},
	}
	if n, ok := l.whole(b, "parallel", 1, l.ctx); ok {
		cfg.Parallel = n
	}
	cfg.Parity = l.projectParity(b)
	l.projectVariables(b)
	if v := cfg.EngineVersion; v != "" {
		if _, err := goversion.NewConstraint(v); err != nil {
			l.error(b.rangeOf("engine_version"), fmt.Sprintf("%q is not a version constraint", v), "Write for example \"~> 1.12\" (any 1.x from 1.12 on) or \"1.12.6\" (exactly this one).")
		}
	}
}

func (l *load) environments(top body) {
	blocks := top.blocks["environment"]
	if len(blocks) == 0 {
		l.error(startOf(l.file), "There are no environments", "Name at least one: environment \"dev\" { }")
	}
	seen := map[string]*hclsyntax.Block{}
	for _, block := range blocks {
		if !l.name("environment", block) {
			continue
		}
		name := block.Labels[0]
		if name == core.SandboxSecrets {
			l.error(block.LabelRanges[0], fmt.Sprintf("An environment cannot be called %q", name), "The secrets that all sandboxes may have are kept under this name. Choose another one.")
			continue
		}
		if name == core.PreviewSecrets {
			l.error(block.LabelRanges[0], fmt.Sprintf("An environment cannot be called %q", name), "The secrets that all previews may have are kept under this name. Choose another one.")
			continue
		}
		if first := seen[name]; first != nil {
			l.error(block.LabelRanges[0], fmt.Sprintf("Two environments %q", name), fmt.Sprintf("The first is at %s:%d. Rename one of them.", l.file, first.TypeRange.Start.Line))
			continue
		}
		seen[name] = block
		l.envs = append(l.envs, l.environment(name, l.read(block.Body, environmentSchema, block.DefRange())))
	}
}

func (l *load) environment(name string, b body) *environment {
	e := &environment{body: b, layers: map[string]string{}, places: map[string]hcl.Range{}, used: map[string]bool{}}
	e.Environment = Environment{
		Name:      name,
		Bake:      l.duration(b, "bake", 0, l.ctx),
		Drift:     l.duration(b, "drift", 0, l.ctx),
		Queue:     l.text(b, "queue", "newest", l.ctx),
		Rollback:  l.text(b, "rollback", "manual", l.ctx),
		Variables: cty.EmptyObjectVal,
	}
	e.after = l.list(b, "after", l.ctx)
	e.After = texts(e.after)
	kept := l.secrets(b)
	e.Secrets = texts(kept)
	l.secretsElsewhere(e, kept)
	l.environmentVariables(e)
	for _, limit := range []struct {
		name string
		to   **int
	}{{"max_destroy", &e.MaxDestroy}, {"max_replace", &e.MaxReplace}} {
		if n, ok := l.whole(b, limit.name, 0, l.ctx); ok {
			*limit.to = &n
		}
	}
	e.Parity = l.parityGate(b)
	for _, block := range b.blocks["approval"] {
		e.Approval = l.approval(l.read(block.Body, approvalSchema, block.DefRange()))
	}
	for _, block := range b.blocks["window"] {
		if w, ok := l.window(l.read(block.Body, windowSchema, block.DefRange())); ok {
			e.Windows = append(e.Windows, w)
		}
	}
	for _, block := range b.blocks["freeze"] {
		if f, ok := l.freeze(l.read(block.Body, freezeSchema, block.DefRange())); ok {
			e.Freezes = append(e.Freezes, f)
		}
	}
	return e
}

// items records where the values of an object are written and reports names that
// occur twice, of which HCL silently takes the last.
func (l *load) items(expr hclsyntax.Expression, places map[string]hcl.Range) {
	object, ok := expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return
	}
	for _, it := range object.Items {
		key, diags := evaluate(it.KeyExpr, nil)
		if diags.HasErrors() || key.IsNull() || !key.IsKnown() || key.Type() != cty.String {
			continue
		}
		name := key.AsString()
		if first, twice := places[name]; twice {
			l.error(it.KeyExpr.Range(), fmt.Sprintf("%q is set twice", name), fmt.Sprintf("The first is in line %d. Remove one of them.", first.Start.Line))
			continue
		}
		places[name] = it.ValueExpr.Range()
	}
}

// DefaultExpiry is how long an approval counts where nobody says: over a weekend.
const DefaultExpiry = 72 * time.Hour

var personRE = regexp.MustCompile(`^(user|group):[^\s:]+$`)

func (l *load) approval(b body) *Approval {
	a := &Approval{Count: 1, Others: l.boolean(b, "others", l.ctx), Expires: l.duration(b, "expires", DefaultExpiry, l.ctx)}
	if b.has("expires") && a.Expires == 0 {
		l.error(b.rangeOf("expires"), "An approval that never counts", "It would expire at once. Write for example \"24h\".")
	}
	if n, ok := l.whole(b, "count", 1, l.ctx); ok {
		a.Count = n
	}
	users := 0
	from := l.list(b, "from", l.ctx)
	for _, it := range from {
		if !personRE.MatchString(it.text) {
			l.error(it.rng, fmt.Sprintf("%q is nobody", it.text), "Write user:NAME or group:NAME, for example \"group:platform\".")
			return a
		}
		if strings.HasPrefix(it.text, "user:") {
			users++
		}
	}
	a.From = texts(from)
	if len(from) > 0 && users == len(from) && a.Count > users {
		l.error(b.rangeOf("count"), "Nobody can reach this environment", fmt.Sprintf("%d approvals are needed and only %s may give one. Lower count, or name more people or a group.", a.Count, plural(users, "user")))
	}
	return a
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (l *load) window(b body) (w Window, ok bool) {
	before := len(l.diags)
	for _, it := range l.list(b, "days", l.ctx) {
		day := slices.Index(weekdays, it.text)
		if day < 0 {
			hint := didYouMean(it.text, weekdays)
			if len(it.text) > 3 && slices.Contains(weekdays, strings.ToLower(it.text[:3])) {
				hint = fmt.Sprintf(" Did you mean %q?", strings.ToLower(it.text[:3]))
			}
			l.error(it.rng, fmt.Sprintf("Unknown day %q", it.text), "Days are mon, tue, wed, thu, fri, sat and sun."+hint)
			continue
		}
		w.Days = append(w.Days, time.Weekday(day))
	}
	w.From = l.clock(b, "from", 0)
	w.To = l.clock(b, "to", 24*time.Hour)
	w.Zone = l.zone(b)
	if b.has("days") && len(w.Days) == 0 && len(l.diags) == before {
		l.error(b.rangeOf("days"), "A window that never opens", "days is empty. Name at least one day, or remove days for every day.")
	}
	if w.From == w.To && len(l.diags) == before {
		l.error(b.rangeOf("to"), "A window that never opens", "from and to are the same time.")
	}
	return w, len(l.diags) == before
}

var clockRE = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)

// clock reads a time of day as the time since midnight.
func (l *load) clock(b body, name string, fallback time.Duration) time.Duration {
	v, ok := l.plain(b, name, cty.String, l.ctx)
	if !ok {
		return fallback
	}
	s := v.AsString()
	if s == "24:00" && name == "to" {
		return 24 * time.Hour
	}
	m := clockRE.FindStringSubmatch(s)
	if m == nil {
		l.error(b.rangeOf(name), fmt.Sprintf("%q is not a time of day", s), "Write HH:MM from 00:00 to 23:59, for example \"09:00\".")
		return fallback
	}
	hours, minutes := 10*int(m[1][0]-'0')+int(m[1][1]-'0'), 10*int(m[2][0]-'0')+int(m[2][1]-'0')
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
}

// promotionOrder checks the after graph and sorts the environments by it.
func (l *load) promotionOrder() {
	byName := map[string]*environment{}
	var names []string
	for _, e := range l.envs {
		byName[e.Name] = e
		names = append(names, e.Name)
	}
	for _, e := range l.envs {
		for _, it := range e.after {
			if byName[it.text] != nil {
				continue
			}
			detail := fmt.Sprintf("Environment %q waits for it, so nothing could ever reach it.%s", e.Name, didYouMean(it.text, names))
			if strings.HasPrefix(strings.ToLower(it.text), "sandbox") {
				detail = "Sandboxes never feed a promotion; name an environment of this file."
			}
			l.error(it.rng, fmt.Sprintf("Unknown environment %q", it.text), detail)
		}
	}
	needs := func(name string) (out []string) {
		for _, n := range byName[name].After {
			if byName[n] != nil {
				out = append(out, n)
			}
		}
		return out
	}
	for _, cycle := range cycles(names, needs) {
		from, to := byName[cycle[len(cycle)-2]], cycle[len(cycle)-1]
		rng := from.body.rangeOf("after")
		if i := slices.IndexFunc(from.after, func(it item) bool { return it.text == to }); i >= 0 {
			rng = from.after[i].rng
		}
		if len(cycle) == 2 {
			l.error(rng, "An environment waits for itself", fmt.Sprintf("Nothing could ever reach %q. Remove it from its own after.", to))
			continue
		}
		l.error(rng, "Environments wait for each other", fmt.Sprintf("%s: nothing could ever reach them. Remove one of these from after.", strings.Join(cycle, " waits for ")))
	}
	sorted := make([]*environment, 0, len(l.envs))
	for i, name := range dependencyOrder(names, needs) {
		byName[name].index = i
		sorted = append(sorted, byName[name])
	}
	l.envs = sorted
}
