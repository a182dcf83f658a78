// Package wanted answers what a release wants of an instance: the variables that go
// into the engine, the input digest with its parts, and, once outputs exist, what
// Ansible and verification are to do. "Up to date" is decided here and nowhere else:
// an instance is up to date when the digest wanted equals the one last applied.
package wanted

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/source"
)

// Evaluator evaluates releases. It is safe for concurrent use.
type Evaluator struct {
	Store  core.Store
	Source *source.Source
	Blobs  core.BlobStore
	Seal   core.Sealer
	// Rails are the guardrails that give variables values.
	Rails Rails

	// Unreleased says what the module registry gives to a commit that is no release, which a
	// preview looks at; nil for nothing.
	Unreleased func(ctx context.Context, p core.Project, commit string) (map[string][]core.ResolvedModule, error)

	kept sync.Map // outputKey to cachedOutputs

	mu         sync.Mutex
	modules    map[releaseKey]map[string][]core.ResolvedModule
	unreleased map[releaseKey]map[string][]core.ResolvedModule
}

// Planned are outputs of stacks of one environment as plans tell them, by stack, in place of
// those that are there.
type Planned map[string]map[string]cty.Value

// Rails are what the server keeps beside every repository.
type Rails interface {
	Current(context.Context) (*config.Guardrails, error)
}

// Wanted is what a release wants of one instance.
type Wanted struct {
	// Ready is false while an upstream has no outputs yet, or an image is not built; WaitsFor
	// names it, and Image the image.
	Ready    bool
	WaitsFor string
	Image    string
	Digest   string
	Parts    map[string]string
	Inputs   config.Inputs
	Warnings []string
}

// Config returns the configuration of a release, with the variables that the guardrails give
// it now. An Invalid error carries the rendered diagnostics when it does not hold; whether
// the guardrails' values fit is another question: see config.GuardProblems.
func (e *Evaluator) Config(ctx context.Context, p core.Project, commit string) (*config.Config, error) {
	cfg, diags, err := e.Source.Config(ctx, p.Repo, commit, p.Path)
	if err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		tree, err := e.Source.Tree(ctx, p.Repo, commit)
		if err != nil {
			return nil, err
		}
		return nil, core.Errorf(core.Invalid, "%s", strings.TrimSpace(config.Render(diags, tree, false)))
	}
	if p.Sandbox != nil {
		if cfg, err = cfg.InSandbox(*p.Sandbox); err != nil {
			return nil, err
		}
	}
	rails, err := e.Rails.Current(ctx)
	if err != nil {
		return nil, err
	}
	return cfg.Under(rails, p.Name), nil
}

// Outdated names the variables of an instance to which the guardrails give another value now
// than the one that parts have, sorted.
func (e *Evaluator) Outdated(cfg *config.Config, environment, stack string, parts map[string]string) []string {
	var out []string
	for name, value := range cfg.GuardedVariables(stack, environment) {
		if parts["variable "+name] != e.Seal.Digest(value) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Contents returns the digested content of every stack of an environment.
func (e *Evaluator) Contents(ctx context.Context, p core.Project, commit, environment string) (map[string]source.Content, error) {
	if p.Sandbox != nil {
		environment = p.Sandbox.Base // its folders and files
	}
	all, err := e.Source.AllContents(ctx, p.Repo, commit, p.Path, environment)
	if err != nil {
		return nil, err
	}
	return e.withModules(ctx, p, commit, all)
}

// Instance evaluates one instance. content is what Contents returned for its stack.
// An Invalid error means that the release cannot be evaluated there (for example an
// upstream lacks an output that is used).
func (e *Evaluator) Instance(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string, content source.Content) (Wanted, error) {
	return e.Against(ctx, p, r, cfg, environment, stack, content, nil)
}

// Against is Instance with the outputs that upstreams will have, for those that planned has.
// It is not Ready while one that is used is not known.
func (e *Evaluator) Against(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string, content source.Content, planned Planned) (Wanted, error) {
	return e.instance(ctx, p, r, cfg, environment, stack, content, planned, nil)
}

// There is Instance for whoever looks at what is there: images that were forgotten are those
// that it has.
func (e *Evaluator) There(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string, content source.Content) (Wanted, error) {
	had, err := e.had(ctx, p, environment, stack)
	if err != nil {
		return Wanted{}, err
	}
	return e.instance(ctx, p, r, cfg, environment, stack, content, nil, had)
}

func (e *Evaluator) instance(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string, content source.Content, planned Planned, had map[string]string) (Wanted, error) {
	missing := missing{had: had}
	scope := e.scope(ctx, p, r, cfg, environment, &missing)
	there := scope.Outputs
	scope.Outputs = func(stack string) (map[string]cty.Value, bool) {
		if values, ok := planned[stack]; ok {
			return values, true
		}
		return there(stack)
	}
	in, err := cfg.Inputs(stack, environment, scope)
	if err == nil && in.Waits != "" {
		missing.stack = in.Waits
	}
	switch {
	case missing.err != nil:
		return Wanted{}, missing.err
	case missing.image != "":
		return Wanted{WaitsFor: "the image " + missing.image, Image: missing.image}, nil
	case missing.stack != "":
		return Wanted{WaitsFor: core.InstanceName(missing.stack, environment)}, nil
	}
	if err != nil {
		return Wanted{}, err
	}
	w := Wanted{Ready: true, Inputs: in, Parts: maps.Clone(content.Parts)}
	if w.Parts == nil {
		w.Parts = map[string]string{}
	}
	for name, hash := range content.Provision {
		w.Parts["ansible "+name] = hash
	}
	for name, value := range in.Variables {
		w.Parts["variable "+name] = e.Seal.Digest(value)
	}
	for name, hash := range cfg.SecretFiles(environment) {
		w.Parts["secrets "+name] = hash
	}
	for name, id := range missing.images {
		w.Parts[ImagePart(name)] = id
	}
	w.Parts["engine"] = strings.TrimSpace(cfg.Project.Engine + " " + cfg.Project.EngineVersion)
	w.Parts["settings"] = cfg.InstanceDigest(stack, environment)
	w.Digest = digest(w.Parts)
	for _, warning := range content.Warnings {
		w.Warnings = append(w.Warnings, fmt.Sprintf("%s:%d: %s", warning.Path, warning.Line, warning.Message))
	}
	return w, nil
}

// BeforeChange evaluates what runs before a change of an instance, with the outputs that
// it has; nil when its configuration, which is that of commit, has nothing.
func (e *Evaluator) BeforeChange(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, commit, environment, stack string, own map[string]cty.Value) (hook *config.Hook, err error) {
	var missing missing
	if missing.had, err = e.had(ctx, p, environment, stack); err != nil {
		return nil, err
	}
	scope := e.scope(ctx, p, r, cfg, environment, &missing)
	scope.Image = e.imageOf(ctx, p, commit, cfg, &missing)
	return cfg.BeforeChange(stack, environment, scope, own)
}

// missing is what an evaluation met that is not there yet, and the images that it did meet.
type missing struct {
	stack  string // that has no outputs
	image  string // that is not built
	err    error
	images map[string]string // name → id
	had    map[string]string // components of what is there, nil where that does not matter
}

// scope gives expressions access to the release, to upstream outputs and to images. missing
// says what of them does not exist yet.
func (e *Evaluator) scope(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment string, missing *missing) config.Scope {
	project, box := p.Name, (*config.Sandbox)(nil)
	if p.Sandbox != nil {
		box = &config.Sandbox{Name: p.Sandbox.Name, Owner: strings.TrimPrefix(p.Sandbox.Owner, "user:")}
	}
	return config.Scope{
		Commit:  r.Commit,
		Number:  r.Number,
		Sandbox: box,
		Image:   e.imageOf(ctx, p, r.Commit, cfg, missing),
		Outputs: func(stack string) (map[string]cty.Value, bool) {
			project, environment := project, environment
			if p.Sandbox != nil && !p.Sandbox.Has(stack) {
				project, environment = p.Sandbox.Of, p.Sandbox.Base
			}
			values, err := e.Outputs(ctx, project, stack, environment)
			if err != nil || values == nil {
				missing.stack = stack
				return nil, false
			}
			return values, true
		},
	}
}

// Difference says, part by part, how what is wanted differs from what was applied.
func Difference(applied, wanted map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		was, ok := applied[name]
		switch {
		case !ok:
			out = append(out, name+" is new")
		case was != wanted[name] && strings.HasPrefix(name, imagePart):
			out = append(out, fmt.Sprintf("%s changed (%s → %s)", name, was, wanted[name]))
		case was != wanted[name]:
			out = append(out, fmt.Sprintf("%s changed (%s → %s)", name, short(was), short(wanted[name])))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(applied)) {
		if _, ok := wanted[name]; !ok {
			out = append(out, name+" is gone")
		}
	}
	return out
}

func digest(parts map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		// Lengths keep ("ab", "c") apart from ("a", "bc").
		_, _ = fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(parts[name]), parts[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func short(hash string) string {
	const shown = 8
	if len(hash) > shown && !strings.Contains(hash, " ") {
		return hash[:shown]
	}
	return hash
}

// Resolved tells the variables of an instance of a release, with the outputs that its
// upstreams have now, and where each is written. Conflict while an upstream has none.
func (e *Evaluator) Resolved(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string) (map[string]config.Resolved, error) {
	var missing missing
	return cfg.Resolved(stack, environment, e.scope(ctx, p, r, cfg, environment, &missing))
}

// Variables lists those of an instance of a release, with the outputs that its upstreams have
// now. Conflict while an upstream has none.
func (e *Evaluator) Variables(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string) ([]config.Variable, error) {
	var missing missing
	return cfg.VariablesOf(stack, environment, e.scope(ctx, p, r, cfg, environment, &missing))
}
