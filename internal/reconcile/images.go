package reconcile

import (
	"context"
	"maps"
	"slices"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/wanted"
)

// images says what a stage's images need, and which are built: name to id. In a stage an
// image is like an instance on which all depend that use it. It works on nothing of the
// environment; it is built there because the first release that needs it comes there first.
func (w *worker) images(ctx context.Context, s *snapshot, cfg *config.Config, ro core.Rollout, st core.Stage, wants []config.Instance) (out []promotion.Instance, built map[string]string, err error) {
	built = map[string]string{}
	for _, in := range wants {
		for _, name := range in.Images {
			built[name] = ""
		}
	}
	for _, name := range slices.Sorted(maps.Keys(built)) {
		var build asked
		if build.Digest, build.Parts, err = w.Wanted.ImageDigest(ctx, s.project, ro.Release.Commit, *cfg.Image(name)); err != nil {
			return nil, nil, err
		}
		p := promotion.Instance{Stack: core.ImageStack(name), Image: build.Digest, Need: promotion.NeedRun}
		p.Run, _, _ = w.newest(ctx, s.runs[st.ID], p.Stack)
		if err := w.Store.View(ctx, func(tx core.Tx) error {
			there, err := wanted.Built(tx, s.project, name, build.Digest)
			if core.CodeOf(err) != core.NotFound {
				built[name] = there.ID
				return err
			}
			builder, err := builderOf(tx, s.project.Name, name, build.Digest)
			if builder.Stage != st.ID {
				p.BuiltBy = builder.ID
			}
			return err
		}); err != nil {
			return nil, nil, err
		}
		if built[name] != "" {
			p.Need = promotion.NeedNothing
		}
		w.remember(st, p.Stack, build)
		out = append(out, p)
	}
	return out, built, nil
}

// builderOf is the run that builds an image now, in whichever environment; the zero run for
// none.
func builderOf(tx core.Tx, project, name, digest string) (core.Run, error) {
	all, err := tx.Runs(core.RunFilter{Project: project, Stack: core.ImageStack(name), Statuses: core.RunsUnderWay()})
	if i := slices.IndexFunc(all, func(r core.Run) bool { return r.InputDigest == digest }); i >= 0 {
		return all[i], err
	}
	return core.Run{}, err
}

// notBuilt refuses to build an image twice.
func (w *worker) notBuilt(tx core.Tx, s *snapshot, stack, digest string) error {
	there, err := wanted.Built(tx, s.project, core.ImageOf(stack), digest)
	if core.CodeOf(err) == core.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	return core.Errorf(core.Conflict, "%s has just built the image %s", there.Run, there.Name)
}
