package board

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Previews converts previews, without what their runs found, and pull requests.
func (s *Service) Previews(ctx context.Context, all []core.Preview, pulls []core.Pull) (wire.Previews, error) {
	out := wire.Previews{Previews: []wire.Preview{}, Pulls: []wire.Pull{}}
	for _, pv := range all {
		one, err := s.Preview(ctx, pv)
		if err != nil {
			return out, err
		}
		out.Previews = append(out.Previews, one)
	}
	for _, p := range pulls {
		out.Pulls = append(out.Pulls, wire.Pull{Number: p.Number, Title: p.Title, Author: p.Author, URL: p.URL, Branch: p.Branch, Commit: p.Commit,
			Fork: p.Fork, Draft: p.Draft, Allowed: p.MayRun()})
	}
	return out, nil
}

// Preview tells how it stands with one.
func (s *Service) Preview(ctx context.Context, pv core.Preview) (wire.Preview, error) {
	runs := map[string]core.Run{}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		all, err := tx.Runs(core.RunFilter{Project: pv.Project, Preview: pv.ID})
		for _, r := range all {
			runs[r.ID] = r
		}
		return err
	})
	out := previewHead(pv)
	for _, name := range pv.Environments {
		e := wire.PreviewEnvironment{Environment: name, Gates: pv.Gates[name], Instances: []wire.PreviewInstance{}}
		for _, r := range pv.Refused {
			if r.Environment == name {
				e.Refused = append(e.Refused, r.What)
			}
		}
		for _, in := range pv.Instances {
			if in.Environment != name || in.State == core.PreviewsUpstream && pv.Status.Terminal() {
				continue
			}
			c := wire.Changes(runs[in.Run].Changes)
			e.Changes.Create, e.Changes.Update, e.Changes.Replace, e.Changes.Delete = e.Changes.Create+c.Create, e.Changes.Update+c.Update, e.Changes.Replace+c.Replace, e.Changes.Delete+c.Delete
			e.Instances = append(e.Instances, wire.PreviewInstance{Instance: core.InstanceName(in.Stack, name), State: string(in.State), Run: in.Run, Changes: c,
				WaitsFor: in.On, Against: slices.Clone(in.Against), Why: in.Why, Resources: in.Resources})
		}
		out.Environments = append(out.Environments, e)
	}
	return out, err
}

// previewsShown bounds the previews of a board, and previewsFor says how long one of a branch
// that somebody named stays there.
const (
	previewsShown = 10
	previewsFor   = 24 * time.Hour
)

// current are the previews that people look at: the newest of every open pull request, and of
// every branch that somebody asked about lately.
func (s *Service) current(ctx context.Context, project string) (out []wire.Preview, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		out = nil
		all, err := tx.Previews(core.PreviewFilter{Project: project, Limit: 50})
		if err != nil || len(all) == 0 {
			return err
		}
		pulls, err := tx.Pulls(project, true)
		open := map[int64]bool{}
		for _, p := range pulls {
			open[p.Number] = true
		}
		seen := map[string]bool{}
		for _, pv := range all {
			of := pv.Branch
			if pv.Pull != 0 {
				of = fmt.Sprint("#", pv.Pull)
			}
			stays := open[pv.Pull] || pv.Pull == 0 && tx.Now().Sub(pv.Created) < previewsFor
			if stays && !seen[of] && len(out) < previewsShown {
				out = append(out, previewHead(pv))
			}
			seen[of] = true
		}
		return err
	})
	return out, err
}

// previewHead converts a preview without its environments.
func previewHead(pv core.Preview) wire.Preview {
	out := wire.Preview{ID: pv.ID, Project: pv.Project, Pull: pv.Pull, Branch: pv.Branch, Title: pv.Title, Commit: pv.Commit, Target: pv.Target, Status: string(pv.Status),
		Why: pv.Why, By: pv.By, Created: pv.Created, Environments: []wire.PreviewEnvironment{}}
	if !pv.Finished.IsZero() {
		out.Finished = &pv.Finished
	}
	return out
}
