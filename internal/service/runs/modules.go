package runs

import (
	"context"
	"path"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// modulesOf is what a run's folder gets of the module registry, nil for nothing. Invalid when
// no version fitted one of its calls when the release was made: the engine would say less.
func (s *Service) modulesOf(ctx context.Context, p core.Project, commit, dir string) (*wire.Registry, error) {
	folders, err := s.Wanted.Modules(ctx, p, commit)
	if err != nil {
		return nil, err
	}
	all := folders[path.Clean(dir)]
	if len(all) == 0 {
		return nil, nil
	}
	out := &wire.Registry{Host: s.RegistryHost}
	for _, m := range all {
		if m.Version == "" {
			return nil, s.nothingFits(ctx, m, dir)
		}
		if of := (wire.RegistryModule{Module: m.Module, Version: m.Version}); !slices.Contains(out.Modules, of) {
			out.Modules = append(out.Modules, of)
		}
	}
	return out, nil
}

func (s *Service) nothingFits(ctx context.Context, m core.ResolvedModule, dir string) error {
	caller := dir
	if m.In != "" {
		caller = "the module " + m.In + ", which " + dir + " uses,"
	}
	wants := "any version"
	if m.Constraint != "" {
		wants = "the version " + m.Constraint
	}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		_, err := tx.Module(m.Module)
		return err
	})
	if core.CodeOf(err) == core.NotFound {
		return core.Errorf(core.Invalid, "%s wants the module %s, which the registry does not have. Add it (terrace module add %[2]s --repo URL), and push a commit", caller, m.Module)
	}
	return core.Errorf(core.Invalid, "%s wants %s of the module %s, and there was none when the release was made. See which there are (terrace module show %[3]s), and push a commit", caller, wants, m.Module)
}

// commitOf is the commit of a version of a module that some folder gets, "" when none does.
func commitOf(folders map[string][]core.ResolvedModule, address, version string) string {
	for _, of := range folders {
		for _, got := range of {
			if got.Module == address && got.Version == version {
				return got.Commit
			}
		}
	}
	return ""
}

// Module packs a version of a module for a run whose release got it.
func (s *Service) Module(ctx context.Context, c Caller, id, address, version string) (wire.ModuleArchive, error) {
	var run core.Run
	var project core.Project
	var instance core.InstanceState
	var m core.Module
	var tag string
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		if project, err = tx.Project(run.Project); err != nil {
			return err
		}
		if instance, err = tx.Instance(run.Project, run.Stack, run.Environment); err != nil {
			return err
		}
		if m, err = tx.Module(address); core.CodeOf(err) == core.NotFound {
			return nil // whoever may not have it does not learn that either
		} else if err != nil {
			return err
		}
		versions, err := tx.ModuleVersions(address)
		for _, v := range versions {
			if v.Version == version {
				tag = v.Tag
			}
		}
		return err
	}); err != nil {
		return wire.ModuleArchive{}, err
	}
	commit := ""
	for _, of := range []string{run.Release.Commit, instance.Commit} { // the second is what a destruction is planned from
		if of == "" || commit != "" {
			continue
		}
		folders, err := s.Wanted.Modules(ctx, project, of)
		if err != nil {
			return wire.ModuleArchive{}, err
		}
		commit = commitOf(folders, address, version)
	}
	if commit == "" {
		return wire.ModuleArchive{}, core.Errorf(core.Denied, "commit %s of %s did not get version %.100q of the module %.200q, so its run does not either", core.ShortCommit(run.Release.Commit), run.Project, version, address)
	}
	if m.Address == "" {
		return wire.ModuleArchive{}, core.Errorf(core.NotFound, "the module %s was taken out of the registry, and commit %s of %s needs it; add it again: terrace module add %[1]s --repo URL", address, core.ShortCommit(run.Release.Commit), run.Project)
	}
	if err := s.Source.BringVersion(ctx, m.Repo, commit, tag); err != nil {
		return wire.ModuleArchive{}, err
	}
	p, err := s.Source.Package(ctx, m.Repo, commit, m.Path)
	return wire.ModuleArchive{Folder: p.Folder, Archive: p.Archive}, err
}
