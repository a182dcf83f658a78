package modules

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/source"
)

// maxCalls bounds the calls that a folder makes, those of modules among them.
const maxCalls = 2000

// Resolve says which versions of the registry's modules a commit gets, for each folder of
// its stacks that calls any; nil for none. before is what the release before it got: what a
// folder calls as it did stays what it was, however many versions came after, so that an
// instance is behind only when a commit says so. What is called anew, or with another
// constraint, gets the newest version that fits, for which the tags are read.
//
// Errors: Unavailable when nothing fits and the tags cannot be read now.
func (s *Service) Resolve(ctx context.Context, p core.Project, cfg *config.Config, commit string, before map[string][]core.ResolvedModule) (map[string][]core.ResolvedModule, error) {
	var dirs []string
	for _, env := range cfg.Environments {
		for _, in := range cfg.Instances(env.Name) {
			dirs = append(dirs, path.Clean(in.Path))
		}
	}
	slices.Sort(dirs)
	calls, err := s.Source.RegistryCalls(ctx, p.Repo, commit, cfg.Project.Engine, slices.Compact(dirs))
	if err != nil {
		return nil, err
	}
	r := &resolver{service: s, engine: cfg.Project.Engine, modules: map[string]*Listed{}, asked: map[string]bool{}, nested: map[nestedKey][]source.RegistryCall{}}
	var out map[string][]core.ResolvedModule
	for dir, of := range calls {
		direct := s.ours(of)
		if len(direct) == 0 {
			continue
		}
		resolved, err := r.folder(ctx, direct, before[dir])
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = map[string][]core.ResolvedModule{}
		}
		out[dir] = resolved
	}
	return out, nil
}

// Unreleased is Resolve for a commit that is no release: it gets what a release of it would get
// now.
func (s *Service) Unreleased(ctx context.Context, p core.Project, commit string) (map[string][]core.ResolvedModule, error) {
	cfg, err := s.Wanted.Config(ctx, p, commit)
	if err != nil {
		return nil, err
	}
	var before map[string][]core.ResolvedModule
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		r, err := projects.NewestValid(tx, p.Name)
		if core.CodeOf(err) == core.Conflict {
			return nil // no release yet
		} else if err != nil {
			return err
		}
		before, err = tx.ReleaseModules(p.Name, r.Commit)
		return err
	}); err != nil {
		return nil, err
	}
	return s.Resolve(ctx, p, cfg, commit, before)
}

// ours are the calls of this registry's modules whose constraint is known.
func (s *Service) ours(calls []source.RegistryCall) []source.RegistryCall {
	var out []source.RegistryCall
	for _, c := range calls {
		if c.Known && strings.EqualFold(c.Host, s.Host) {
			out = append(out, c)
		}
	}
	return out
}

// resolver resolves the folders of one commit.
type resolver struct {
	service *Service
	engine  string
	modules map[string]*Listed // by address; nil for one that the registry does not have
	asked   map[string]bool    // whose tags were read
	nested  map[nestedKey][]source.RegistryCall
}

type nestedKey struct{ module, version, folder string }

// called is a call, and the module that it is in.
type called struct {
	source.RegistryCall
	in string
}

// chooser picks the version that a call gets.
type chooser func(ctx context.Context, c called) (core.ModuleVersion, bool, error)

// folder resolves what a folder calls, and what those modules call. First each call for
// itself; then again as the engine will, which looks for the newest among the versions that
// were chosen, whichever call chose them.
func (r *resolver) folder(ctx context.Context, direct []source.RegistryCall, before []core.ResolvedModule) ([]core.ResolvedModule, error) {
	kept := map[[2]string]string{}
	for _, m := range before {
		if m.Version != "" {
			kept[[2]string{m.Module, m.Constraint}] = m.Version
		}
	}
	first, err := r.walk(ctx, direct, func(ctx context.Context, c called) (core.ModuleVersion, bool, error) {
		if was := kept[[2]string{c.Module, c.Constraint}]; was != "" {
			if l, err := r.module(ctx, c.Module); err != nil {
				return core.ModuleVersion{}, false, err
			} else if l != nil {
				if i := slices.IndexFunc(l.Versions, func(v core.ModuleVersion) bool { return v.Version == was }); i >= 0 {
					return l.Versions[i], true, nil
				}
			}
		}
		return r.newest(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	pool := map[string][]core.ModuleVersion{}
	for _, m := range first {
		if m.Version != "" {
			pool[m.Module] = append(pool[m.Module], core.ModuleVersion{Module: m.Module, Version: m.Version, Commit: m.Commit})
		}
	}
	return r.walk(ctx, direct, func(_ context.Context, c called) (core.ModuleVersion, bool, error) {
		v, ok := newest(pool[c.Module], c.Constraint)
		return v, ok, nil
	})
}

// walk follows calls into the modules that are chosen for them.
func (r *resolver) walk(ctx context.Context, direct []source.RegistryCall, choose chooser) ([]core.ResolvedModule, error) {
	var queue []called
	for _, c := range direct {
		queue = append(queue, called{c, ""})
	}
	seen, entered := map[core.ResolvedModule]bool{}, map[nestedKey]bool{}
	var out []core.ResolvedModule
	for i := 0; i < len(queue); i++ {
		if i == maxCalls {
			return nil, core.Errorf(core.Invalid, "more than %d calls of the registry's modules follow from one stack", maxCalls)
		}
		c := queue[i]
		v, ok, err := choose(ctx, c)
		if err != nil {
			return nil, err
		}
		m := core.ResolvedModule{Module: c.Module, Constraint: c.Constraint, In: c.in}
		if ok {
			m.Version, m.Commit = v.Version, v.Commit
		}
		if !seen[m] {
			seen[m] = true
			out = append(out, m)
		}
		key := nestedKey{c.Module, m.Version, c.Folder}
		if !ok || entered[key] {
			continue
		}
		entered[key] = true
		inner, err := r.inside(ctx, key, m.Commit)
		if err != nil {
			return nil, err
		}
		for _, n := range inner {
			queue = append(queue, called{n, c.Module + " " + m.Version})
		}
	}
	slices.SortFunc(out, func(a, b core.ResolvedModule) int {
		return strings.Compare(strings.Join([]string{a.Module, a.Constraint, a.In}, "\x00"), strings.Join([]string{b.Module, b.Constraint, b.In}, "\x00"))
	})
	return out, nil
}

// inside are the calls of this registry's modules in a version of one of them.
func (r *resolver) inside(ctx context.Context, key nestedKey, commit string) ([]source.RegistryCall, error) {
	if calls, ok := r.nested[key]; ok {
		return calls, nil
	}
	l, err := r.module(ctx, key.module)
	if err != nil || l == nil {
		return nil, err
	}
	if err := r.service.Source.BringVersion(ctx, l.Repo, commit, l.tagOf(key.version)); err != nil {
		return nil, core.Errorf(core.CodeOf(err), "version %s of the module %s cannot be read: %w", key.version, key.module, err)
	}
	dir := path.Join(l.Path, path.Clean("/" + key.folder)[1:])
	calls, err := r.service.Source.RegistryCalls(ctx, l.Repo, commit, r.engine, []string{dir})
	if err != nil {
		return nil, core.Errorf(core.CodeOf(err), "version %s of the module %s cannot be read: %w", key.version, key.module, err)
	}
	r.nested[key] = r.service.ours(calls[dir])
	return r.nested[key], nil
}

// module reads a module of the registry, nil when it has none of that address.
func (r *resolver) module(ctx context.Context, address string) (*Listed, error) {
	if l, ok := r.modules[address]; ok {
		return l, nil
	}
	l, err := r.service.Get(ctx, address)
	switch {
	case core.CodeOf(err) == core.NotFound:
		r.modules[address] = nil
	case err != nil:
		return nil, err
	default:
		r.modules[address] = &l
	}
	return r.modules[address], nil
}

// newest is the newest version that a call may get, of the tags as they are now.
func (r *resolver) newest(ctx context.Context, c called) (core.ModuleVersion, bool, error) {
	var unread error
	if !r.asked[c.Module] {
		r.asked[c.Module] = true
		switch err := r.service.Refresh(ctx, c.Module); core.CodeOf(err) {
		case "":
			delete(r.modules, c.Module)
		case core.NotFound:
		default:
			unread = err
		}
	}
	l, err := r.module(ctx, c.Module)
	if err != nil || l == nil {
		return core.ModuleVersion{}, false, err
	}
	v, ok := newest(l.Versions, c.Constraint)
	if !ok && core.CodeOf(unread) == core.Unavailable {
		return v, false, core.Errorf(core.Unavailable, "%s line %d wants the module %s %s, of which no version is known, and its tags cannot be read now: %w", c.Path, c.Line, c.Module, c.Constraint, unread)
	}
	return v, ok, nil
}
