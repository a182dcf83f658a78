package board

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Variables lists the variables of an instance of a release, "" for the newest that holds,
// with their values and where each is written. What is sensitive is not shown. Conflict while
// an upstream has no outputs.
func (s *Service) Variables(ctx context.Context, project, environment, stack, ref string) (wire.Variables, error) {
	p, err := s.Projects.Get(ctx, project)
	if err != nil {
		return wire.Variables{}, err
	}
	var release core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		if ref != "" {
			release, err = tx.FindRelease(project, ref)
			return err
		}
		release, err = projects.NewestValid(tx, project)
		return err
	}); err != nil {
		return wire.Variables{}, err
	}
	cfg, err := s.Wanted.Config(ctx, p, release.Commit)
	if err != nil {
		return wire.Variables{}, err
	}
	all, err := s.Wanted.Variables(ctx, p, release, cfg, environment, stack)
	if err != nil {
		return wire.Variables{}, err
	}
	out := wire.Variables{Instance: core.InstanceName(stack, environment), Release: Release(release), Variables: []wire.Variable{}}
	for _, v := range all {
		w := wire.Variable{Name: v.Name, Type: v.Type, Value: v.Value, Sensitive: v.Sensitive, Source: v.Where, At: v.At, Default: v.Default}
		for _, o := range v.From {
			from := environment
			if p.Sandbox != nil && !p.Sandbox.Has(o.Stack) {
				from = p.Sandbox.Base
			}
			w.From = append(w.From, core.InstanceName(o.Stack, from)+"."+o.Output)
		}
		out.Variables = append(out.Variables, w)
	}
	return out, nil
}
