package modules

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Wire is a module as the API shows it.
func (s *Service) Wire(l Listed) wire.Module {
	out := wire.Module{Address: l.Address, Source: s.Host + "/" + l.Address, Repo: l.Repo, Path: l.Path, Tags: l.Tags, By: l.By,
		Created: l.Created, Checked: l.Checked, CheckError: l.CheckError, Newest: l.Newest(), Versions: []wire.ModuleVersion{}}
	for _, v := range l.Versions {
		out.Versions = append(out.Versions, wire.ModuleVersion{Version: v.Version, Tag: v.Tag, Commit: v.Commit, Seen: v.Seen, Moved: v.Moved, Gone: v.Gone})
	}
	return out
}

// Show describes a version of a module, the newest for "", and tells who uses the module in
// the projects that sees lets through.
func (s *Service) Show(ctx context.Context, address, version string, sees func(project string) bool) (wire.ShownModule, error) {
	l, err := s.Get(ctx, address)
	if err != nil {
		return wire.ShownModule{}, err
	}
	out := wire.ShownModule{Module: s.Wire(l), Version: version, Users: []wire.ModuleUse{}, Docs: wireDocs(source.Description{})}
	if version == "" {
		out.Version = out.Newest
	}
	if out.Version != "" {
		m, v, err := s.Version(ctx, address, out.Version)
		if err != nil {
			return wire.ShownModule{}, err
		}
		if err := s.Source.BringVersion(ctx, m.Repo, v.Commit, v.Tag); err != nil {
			return wire.ShownModule{}, err
		}
		d, err := s.Source.Describe(ctx, m.Repo, v.Commit, m.Path)
		if err != nil {
			return wire.ShownModule{}, err
		}
		out.Docs = wireDocs(d)
	}
	users, err := s.users(ctx, address, func(p core.Project) bool { return sees(p.Name) })
	if err != nil {
		return wire.ShownModule{}, err
	}
	for _, project := range users {
		uses, err := s.Uses(ctx, project)
		if err != nil {
			return wire.ShownModule{}, err
		}
		for _, u := range uses {
			if u.Module == address {
				out.Users = append(out.Users, u)
			}
		}
	}
	return out, nil
}

func wireDocs(d source.Description) wire.ModuleDocs {
	out := wire.ModuleDocs{Readme: d.Readme, Inputs: []wire.ModuleInput{}, Outputs: []wire.ModuleOutput{}, Providers: []wire.ModuleRequirement{},
		Modules: []wire.ModuleRequirement{}, Resources: []string{}, Examples: []wire.ModuleExample{}, Trouble: d.Trouble}
	for _, in := range d.Inputs {
		out.Inputs = append(out.Inputs, wire.ModuleInput{Name: in.Name, Type: in.Type, Default: in.Default, Description: in.About, Required: in.Required, Sensitive: in.Sensitive})
	}
	for _, o := range d.Outputs {
		out.Outputs = append(out.Outputs, wire.ModuleOutput{Name: o.Name, Description: o.About, Sensitive: o.Sensitive})
	}
	for _, r := range d.Providers {
		out.Providers = append(out.Providers, wire.ModuleRequirement(r))
	}
	for _, r := range d.Calls {
		out.Modules = append(out.Modules, wire.ModuleRequirement(r))
	}
	for _, e := range d.Examples {
		out.Examples = append(out.Examples, wire.ModuleExample(e))
	}
	out.Resources = append(out.Resources, d.Resources...)
	return out
}

// Uses tells which version of the registry's modules each instance of a project gets from the
// newest release, and has, and which of them an upgrade would touch.
func (s *Service) Uses(ctx context.Context, project string) ([]wire.ModuleUse, error) {
	var p core.Project
	var release core.Release
	var instances []core.InstanceState
	newestOf := map[string]string{}
	err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if p, err = tx.Project(project); err != nil {
			return err
		}
		if release, err = projects.NewestValid(tx, project); err != nil {
			return err
		}
		if instances, err = tx.Instances(project); err != nil {
			return err
		}
		modules, err := tx.Modules()
		for _, m := range modules {
			versions, err := tx.ModuleVersions(m.Address)
			if err != nil {
				return err
			}
			newestOf[m.Address] = Listed{m, versions}.Newest()
		}
		return err
	})
	if core.CodeOf(err) == core.Conflict {
		return []wire.ModuleUse{}, nil // no release yet
	} else if err != nil {
		return nil, err
	}
	cfg, err := s.Wanted.Config(ctx, p, release.Commit)
	if err != nil {
		return nil, err
	}
	folders, err := s.Wanted.Modules(ctx, p, release.Commit)
	if err != nil {
		return nil, err
	}
	applied := map[[2]string]map[string]string{}
	for _, i := range instances {
		applied[[2]string{i.Stack, i.Environment}] = i.Components
	}
	out := []wire.ModuleUse{}
	for _, env := range cfg.Environments {
		for _, in := range cfg.Instances(env.Name) {
			has := applied[[2]string{in.Stack, env.Name}]
			for _, u := range usesOf(folders[path.Clean(in.Path)], has) {
				u.Project, u.Instance, u.Newest = project, core.InstanceName(in.Stack, env.Name), newestOf[u.Module]
				u.Upgrade = u.Upgrade && u.Newest != "" && u.older(u.Newest)
				out = append(out, u.ModuleUse)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b wire.ModuleUse) int { return strings.Compare(a.Module, b.Module) })
	return out, nil
}

// use is a use with the versions it stands for.
type use struct {
	wire.ModuleUse
	versions []string
}

// older reports whether something of it is older than the newest version.
func (u use) older(newest string) bool {
	return slices.ContainsFunc(u.versions, func(v string) bool { return v == "" || older(v, newest) })
}

// usesOf says, for each module, what a folder of a release gets, beside what its instance has.
func usesOf(folder []core.ResolvedModule, has map[string]string) []use {
	by := map[string]*use{}
	var order []string
	get := func(module string) *use {
		if by[module] == nil {
			by[module] = &use{ModuleUse: wire.ModuleUse{Module: module}}
			order = append(order, module)
		}
		return by[module]
	}
	for _, m := range folder {
		u := get(m.Module)
		u.Upgrade = true
		u.Constraint = joined(u.Constraint, "; ", m.Constraint)
		u.Version = joined(u.Version, ", ", m.Version)
		u.In = joined(u.In, ", ", m.In)
		u.versions = append(u.versions, m.Version)
	}
	for part, value := range has {
		if module, ok := strings.CutPrefix(part, wanted.RegistryPart); ok {
			u := get(module)
			for _, version := range strings.Split(value, ", ") {
				version, _, _ = strings.Cut(version, " (")
				u.Applied = joined(u.Applied, ", ", version)
			}
		}
	}
	slices.Sort(order)
	out := make([]use, 0, len(order))
	for _, module := range order {
		out = append(out, *by[module])
	}
	return out
}

// joined appends what a list does not have yet.
func joined(list, separator, more string) string {
	switch {
	case more == "" || slices.Contains(strings.Split(list, separator), more):
		return list
	case list == "":
		return more
	}
	return list + separator + more
}
