// Package modules is the module registry: it reads the tags of repositories, says which
// versions of a module there are, fixes which of them each release gets, and hands them out
// to engines. What a version is never changes once it was seen.
package modules

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
)

// Service is safe for concurrent use.
type Service struct {
	Store  core.Store
	Source *source.Source
	Wanted *wanted.Evaluator
	Seal   core.Sealer
	Log    *slog.Logger
	// Host is what people write as the host of a module's source.
	Host string
	// Every is how often the tags are read.
	Every time.Duration

	mu      sync.Mutex
	reading map[string]*sync.Mutex // one reader of a module's tags at a time
}

// folder is what may name a module's folder: what neither a URL nor an engine's source
// address reads in another way.
var folder = regexp.MustCompile(`^[0-9A-Za-z._][0-9A-Za-z._/-]*$`)

// Listed is a module with its versions, newest first.
type Listed struct {
	core.Module
	Versions []core.ModuleVersion
}

// Newest is the newest version that a new use of the module would get, "" when there is none.
func (l Listed) Newest() string {
	v, _ := newest(l.Versions, "")
	return v.Version
}

// tagOf is the tag of a version.
func (l Listed) tagOf(version string) string {
	for _, v := range l.Versions {
		if v.Version == version {
			return v.Tag
		}
	}
	return ""
}

// Add adds a module and reads its tags. Errors: Invalid (names, a repository that cannot be
// read), Conflict (the address is taken).
func (s *Service) Add(ctx context.Context, by string, m core.Module) (Listed, error) {
	if m.Tags == "" {
		m.Tags = "*"
	}
	if m.Path == "" {
		m.Path = "."
	}
	if err := core.CheckModule(m.Address, m.Tags); err != nil {
		return Listed{}, err
	}
	if strings.TrimSpace(m.Repo) == "" {
		return Listed{}, core.Errorf(core.Invalid, "a module needs a repository: terrace module add %s --repo URL", m.Address)
	}
	clean := path.Clean(m.Path)
	if !folder.MatchString(clean) || clean == ".." || strings.HasPrefix(clean, "../") || len(clean) > 500 {
		return Listed{}, core.Errorf(core.Invalid, "%.200q cannot be the folder of a module: it is inside the repository, and its name has letters, digits and ._-/ only", m.Path)
	}
	m.Path = clean
	if _, err := s.Source.Tags(ctx, m.Repo); err != nil {
		return Listed{}, err
	}
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		m.By, m.Created = by, tx.Now()
		if err := tx.AddModule(m); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "module.added", On: m.Address, Data: map[string]string{"repo": m.Repo, "path": m.Path, "tags": m.Tags}})
	}); err != nil {
		return Listed{}, err
	}
	if err := s.Refresh(ctx, m.Address); err != nil {
		return Listed{}, err
	}
	return s.Get(ctx, m.Address)
}

// Remove forgets a module. Conflict while a project uses it.
func (s *Service) Remove(ctx context.Context, by, address string) error {
	users, err := s.users(ctx, address, func(core.Project) bool { return true })
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return core.Errorf(core.Conflict, "%s is used by %s; take it out of the code first, and let that reach every environment", address, strings.Join(users, ", "))
	}
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if err := tx.RemoveModule(address); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "module.removed", On: address})
	})
}

// users are the projects that use a module: their newest release, or what is applied
// somewhere.
func (s *Service) users(ctx context.Context, address string, sees func(core.Project) bool) (users []string, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		users = nil
		if _, err := tx.Module(address); err != nil {
			return err
		}
		all, err := tx.Projects()
		if err != nil {
			return err
		}
		for _, p := range all {
			if !sees(p) {
				continue
			}
			used, err := uses(tx, p, address)
			if err != nil {
				return err
			}
			if used {
				users = append(users, p.Name)
			}
		}
		return nil
	})
	return users, err
}

func uses(tx core.Tx, p core.Project, address string) (bool, error) {
	instances, err := tx.Instances(p.Name)
	if err != nil {
		return false, err
	}
	for _, i := range instances {
		if i.Components[wanted.RegistryPart+address] != "" {
			return true, nil
		}
	}
	r, err := projects.NewestValid(tx, p.Name)
	if core.CodeOf(err) == core.Conflict {
		return false, nil // no release yet
	} else if err != nil {
		return false, err
	}
	folders, err := tx.ReleaseModules(p.Name, r.Commit)
	for _, of := range folders {
		if slices.ContainsFunc(of, func(m core.ResolvedModule) bool { return m.Module == address }) {
			return true, err
		}
	}
	return false, err
}

// List lists modules by address.
func (s *Service) List(ctx context.Context) (out []Listed, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		out = []Listed{}
		all, err := tx.Modules()
		for _, m := range all {
			versions, err := tx.ModuleVersions(m.Address)
			if err != nil {
				return err
			}
			out = append(out, Listed{m, newestFirst(versions)})
		}
		return err
	})
	return out, err
}

// Get returns a module. NotFound when the registry has none.
func (s *Service) Get(ctx context.Context, address string) (l Listed, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) (err error) {
		if l.Module, err = tx.Module(address); core.CodeOf(err) == core.NotFound {
			return core.Errorf(core.NotFound, "the registry has no module %.200q; terrace module list has them, terrace module add adds one", address)
		} else if err != nil {
			return err
		}
		l.Versions, err = tx.ModuleVersions(address)
		l.Versions = newestFirst(l.Versions)
		return err
	})
	return l, err
}

func (s *Service) reader(address string) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading == nil {
		s.reading = map[string]*sync.Mutex{}
	}
	if s.reading[address] == nil {
		s.reading[address] = new(sync.Mutex)
	}
	return s.reading[address]
}

// Refresh reads the tags of a module's repository. Which commit a version is was decided
// when it was first seen: a tag that moved, or is gone, is noted and changes nothing else. A
// failure to read is kept with the module and returned.
func (s *Service) Refresh(ctx context.Context, address string) error {
	lock := s.reader(address)
	lock.Lock()
	defer lock.Unlock()
	l, err := s.Get(ctx, address)
	if err != nil {
		return err
	}
	seen, err := s.read(ctx, l)
	if err != nil {
		if ctx.Err() == nil && l.CheckError != core.MessageOf(err) {
			if storeErr := s.Store.Update(ctx, func(tx core.Tx) error { return tx.CheckedModule(address, core.MessageOf(err), tx.Now()) }); storeErr != nil {
				s.Log.Error("storing a failed reading", "module", address, "error", storeErr)
			}
		}
		return err
	}
	if len(seen.fresh)+len(seen.changed) == 0 && l.CheckError == "" && !l.Checked.IsZero() {
		return nil // so that an idle server writes nothing
	}
	return s.Store.Update(ctx, func(tx core.Tx) error { return seen.store(tx, address) })
}

// seen is what is new among the tags of a module.
type seen struct {
	fresh   []core.ModuleVersion
	changed []core.ModuleVersion // with another Moved or Gone
}

func (s *Service) read(ctx context.Context, l Listed) (out seen, err error) {
	tags, err := s.Source.Tags(ctx, l.Repo)
	if err != nil {
		return out, err
	}
	known := map[string]bool{}
	for _, v := range l.Versions {
		known[v.Version] = true
		was := v
		at, there := tags[v.Tag]
		if v.Gone = !there; there {
			v.Moved = ""
			if at != v.Commit {
				v.Moved = at
			}
		}
		if v != was {
			out.changed = append(out.changed, v)
		}
	}
	fresh := freshTags(l.Tags, tags, known)
	if len(fresh) == 0 {
		return out, nil
	}
	commits, err := s.Source.BringTags(ctx, l.Repo, fresh)
	if err != nil {
		return out, err
	}
	for _, tag := range fresh {
		version, _ := versionOf(l.Tags, tag)
		if commit := commits[tag]; commit != "" {
			out.fresh = append(out.fresh, core.ModuleVersion{Module: l.Address, Version: version, Tag: tag, Commit: commit})
		}
	}
	return out, nil
}

func (n seen) store(tx core.Tx, address string) error {
	for _, v := range n.changed {
		if err := tx.NoteModuleTag(v); err != nil {
			return err
		}
		kind, data := "module.back", map[string]string{"version": v.Version, "tag": v.Tag, "commit": v.Commit}
		if v.Moved != "" {
			kind, data["to"] = "module.moved", v.Moved
		} else if v.Gone {
			kind = "module.gone"
		}
		if err := tx.AddEvent(core.Event{By: "server", Kind: kind, On: address, Data: data}); err != nil {
			return err
		}
	}
	var said []string
	for _, v := range n.fresh {
		v.Seen = tx.Now()
		if err := tx.AddModuleVersion(v); core.CodeOf(err) == core.Conflict {
			continue // another server saw it first
		} else if err != nil {
			return err
		}
		said = append(said, v.Version+" "+core.ShortCommit(v.Commit))
	}
	if len(said) > 0 {
		const most = 50
		data := map[string]string{"count": fmt.Sprint(len(said)), "versions": strings.Join(said[:min(len(said), most)], ", ")}
		if err := tx.AddEvent(core.Event{By: "server", Kind: "module.versions", On: address, Data: data}); err != nil {
			return err
		}
	}
	return tx.CheckedModule(address, "", tx.Now())
}

// Tend reads the tags of all modules now and then, until ctx ends.
func (s *Service) Tend(ctx context.Context) {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all, err := s.List(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("listing modules to read", "error", err)
		}
		for _, m := range all {
			if err := s.Refresh(ctx, m.Address); err != nil && ctx.Err() == nil && core.CodeOf(err) != core.NotFound {
				s.Log.Warn("reading the tags of a module failed", "module", m.Address, "error", err)
			}
		}
	}
}
