package wanted

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/source"
)

// RegistryPart begins the name of the part of an input digest that says which version of a
// registry's module an instance gets; the module's address follows.
const RegistryPart = "registry module "

// releaseKey is a release. A project that was removed and added again is another one.
type releaseKey struct {
	project string
	created int64
	commit  string
}

// maxReleases bounds the releases whose modules are remembered.
const maxReleases = 500

// Modules returns what the module registry gives to a release, by folder. It was fixed when
// the release was made; for a commit that is none, it is what a release of it would get, from
// when this server was first asked.
func (e *Evaluator) Modules(ctx context.Context, p core.Project, commit string) (map[string][]core.ResolvedModule, error) {
	key := releaseKey{p.Name, p.Created.UnixNano(), commit}
	e.mu.Lock()
	folders, ok := e.modules[key]
	e.mu.Unlock()
	if ok {
		return folders, nil
	}
	made := false
	if err := e.Store.Peek(ctx, func(tx core.Tx) (err error) {
		made = true
		if folders, err = tx.ReleaseModules(p.Name, commit); err != nil || folders != nil {
			return err
		}
		_, err = tx.Release(p.Name, commit)
		if made = err == nil; core.CodeOf(err) == core.NotFound {
			return nil
		}
		return err
	}); err != nil {
		return nil, err
	}
	if !made {
		return e.ofNoRelease(ctx, p, commit, key)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	remember(&e.modules, key, folders)
	return folders, nil
}

func (e *Evaluator) ofNoRelease(ctx context.Context, p core.Project, commit string, key releaseKey) (map[string][]core.ResolvedModule, error) {
	e.mu.Lock()
	folders, ok := e.unreleased[key]
	e.mu.Unlock()
	if ok || e.Unreleased == nil {
		return folders, nil
	}
	folders, err := e.Unreleased(ctx, p, commit)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	remember(&e.unreleased, key, folders)
	return folders, nil
}

func remember(all *map[releaseKey]map[string][]core.ResolvedModule, key releaseKey, folders map[string][]core.ResolvedModule) {
	if *all == nil || len(*all) >= maxReleases {
		*all = map[releaseKey]map[string][]core.ResolvedModule{}
	}
	(*all)[key] = folders
}

// withModules adds to what is in the repository what the release gets of the module
// registry.
func (e *Evaluator) withModules(ctx context.Context, p core.Project, commit string, all map[string]source.Content) (map[string]source.Content, error) {
	folders, err := e.Modules(ctx, p, commit)
	if err != nil || len(folders) == 0 {
		return all, err
	}
	all = maps.Clone(all) // both are shared
	for stack, content := range all {
		for part := range content.Parts {
			dir, ok := strings.CutPrefix(part, "stack ")
			if !ok || len(folders[dir]) == 0 {
				continue
			}
			parts := maps.Clone(content.Parts)
			for module, versions := range versionsOf(folders[dir]) {
				parts[RegistryPart+module] = strings.Join(versions, ", ")
			}
			content.Parts = parts
			all[stack] = content
			break
		}
	}
	return all, nil
}

// versionsOf lists, for each module, the versions that are used, with the beginning of their
// commits: "1.2.0 (0123456789ab)". A version that there was not is "none".
func versionsOf(all []core.ResolvedModule) map[string][]string {
	out := map[string][]string{}
	for _, m := range all {
		text := "none for " + m.Constraint
		if m.Version != "" {
			text = m.Version + " (" + m.Commit[:min(len(m.Commit), 12)] + ")"
		}
		if !slices.Contains(out[m.Module], text) {
			out[m.Module] = append(out[m.Module], text)
		}
	}
	for _, versions := range out {
		slices.Sort(versions)
	}
	return out
}
