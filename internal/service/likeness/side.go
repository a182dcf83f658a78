package likeness

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/code"
	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/parity"
	"github.com/terrace-cd/terrace/internal/statefile"
)

// side loads an environment: states, code, and the variables that go into it.
func (s *Service) side(ctx context.Context, p core.Project, at place, readers map[string]*code.Reader) (parity.Side, error) {
	out := parity.Side{Environment: at.Name}
	wanted := map[string]bool{}
	var there *config.Config
	if at.There.Commit != "" {
		var err error
		if there, err = s.Wanted.Config(ctx, p, at.There.Commit); err != nil && core.CodeOf(err) != core.Invalid {
			return out, err
		}
		if there != nil {
			for _, in := range there.Instances(at.Name) {
				wanted[in.Stack] = true
			}
		}
	}
	known := map[string]bool{}
	for _, h := range at.Instances {
		known[h.Stack] = true
		in, err := s.instance(ctx, p, at.Name, h, readers)
		if err != nil {
			return out, err
		}
		in.Wanted, in.Unwanted = wanted[h.Stack], unwanted(there, at, h.Stack)
		out.Instances = append(out.Instances, in)
	}
	var stacks []string
	if there != nil {
		for _, st := range there.Stacks {
			stacks = append(stacks, st.Name)
		}
	}
	for _, stack := range stacks {
		if !known[stack] {
			out.Instances = append(out.Instances, parity.Instance{Stack: stack, Wanted: wanted[stack], Unwanted: unwanted(there, at, stack)})
		}
	}
	return out, nil
}

// unwanted says why a stack does not belong to an environment.
func unwanted(cfg *config.Config, at place, stack string) string {
	if cfg == nil {
		return "nothing was ever verified in " + at.Name
	}
	for _, st := range cfg.Stacks {
		if st.Name == stack {
			return fmt.Sprintf("stack %s is not deployed to %s", stack, at.Name)
		}
	}
	return fmt.Sprintf("release %d of %s has no stack %s", at.There.Number, at.Name, stack)
}

// instance loads one instance.
func (s *Service) instance(ctx context.Context, p core.Project, environment string, h held, readers map[string]*code.Reader) (parity.Instance, error) {
	in := parity.Instance{Stack: h.Stack, Release: parity.Release{Number: h.Release.Number, Commit: h.Release.Commit}, NotCompared: h.notCompared(), Applied: h.State.Blob != "" || h.notCompared() != ""}
	if !in.Applied || in.NotCompared != "" {
		return in, nil
	}
	content, err := s.State.Content(ctx, h.State)
	if err != nil {
		return in, err
	}
	if in.State, err = statefile.Read(content); err != nil {
		return in, core.Errorf(core.Internal, "the state of %s cannot be read: %w", core.InstanceName(h.Stack, environment), err)
	}
	if in.State.Encrypted {
		in.NotCompared = "has a state that OpenTofu encrypted itself"
		return in, nil
	}
	in.Engine.Number = in.State.Engine
	in.Engine.Name = h.Versions.Engine.Name
	if err := s.understand(ctx, p, environment, h, &in, readers); core.CodeOf(err) == core.Invalid || core.CodeOf(err) == core.Conflict || core.CodeOf(err) == core.NotFound {
		in.Code, in.NoCode = nil, core.MessageOf(err) // the release cannot be evaluated here any more
		return in, nil
	} else if err != nil {
		return in, err
	}
	return in, nil
}

// understand reads the code of an instance with its variables.
func (s *Service) understand(ctx context.Context, p core.Project, environment string, h held, in *parity.Instance, readers map[string]*code.Reader) error {
	if h.Release.Commit == "" {
		return core.Errorf(core.NotFound, "no release is known to have made it")
	}
	cfg, err := s.Wanted.Config(ctx, p, h.Release.Commit)
	if err != nil {
		return err
	}
	in.Engine.Name, in.Engine.Pinned = cfg.Project.Engine, cfg.Project.EngineVersion
	reader := readers[h.Release.Commit]
	if reader == nil {
		tree, err := s.Source.Tree(ctx, p.Repo, h.Release.Commit)
		if err != nil {
			return err
		}
		if reader, err = code.NewReader(tree, cfg.Project.Engine); err != nil {
			return err
		}
		readers[h.Release.Commit] = reader
	}
	dir := ""
	for _, i := range cfg.Instances(environment) {
		if i.Stack == h.Stack {
			dir = i.Path
		}
	}
	if dir == "" {
		return core.Errorf(core.NotFound, "release %d does not deploy %s to %s", h.Release.Number, h.Stack, environment)
	}
	in.Providers = providers(h, reader.Locked(dir))
	resolved, err := s.Wanted.Resolved(ctx, p, h.Release, cfg, environment, h.Stack)
	if err != nil {
		return err
	}
	values := map[string]cty.Value{}
	for name, r := range resolved {
		values[name] = r.Value
	}
	opened, err := reader.Open(dir, values, in.State)
	if err != nil {
		return err
	}
	in.Code, in.Variables = opened, opened.Variables()
	for name, v := range in.Variables {
		r := resolved[name]
		v.Where, v.Secret = r.Where, r.Secret
		for _, o := range r.From {
			v.From = append(v.From, parity.Output{Stack: o.Stack, Name: o.Output})
		}
		in.Variables[name] = v
	}
	return nil
}

// providers are those that the last run installed, with what the repository's lock file
// pins.
func providers(h held, locked map[string]string) map[string]parity.Version {
	out := map[string]parity.Version{}
	installed := h.Versions.Providers
	if installed == nil {
		installed = locked
	}
	for _, address := range slices.Sorted(maps.Keys(installed)) {
		out[parity.ProviderOf(address)] = parity.Version{Number: installed[address]}
	}
	for address, version := range locked {
		name := parity.ProviderOf(address)
		v := out[name]
		v.Pinned = version
		if v.Number != "" {
			out[name] = v
		}
	}
	return out
}
