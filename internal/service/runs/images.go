package runs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/wire"
)

// imageJob describes an attempt at building an image.
func (s *Service) imageJob(ctx context.Context, p core.Project, cfg *config.Config, run core.Run) (job wire.Job, err error) {
	im := cfg.Image(run.Image())
	if im == nil {
		return job, core.Errorf(core.NotFound, "release %d has no image %s", run.Release.Number, run.Image())
	}
	job = wire.Job{
		Run: run.ID, Kind: string(run.Kind), Project: run.Project, Stack: run.Stack, Environment: run.Environment,
		Release: wire.Release{Number: run.Release.Number, Commit: run.Release.Commit}, Attempt: run.Attempt, Fence: run.Fence,
		Source: wire.Source{Mirror: s.Source.Mirror(p.Repo), Commit: run.Release.Commit, Root: p.Path, Path: p.Path},
		Image:  &wire.Build{Name: im.Name, Digest: run.InputDigest, Command: im.Command, Variables: im.Variables, Within: im.Within.String()},
		Apart:  true, // it finds nothing that a build before left
		Grace:  s.Grace.String(),
	}
	if job.Spool, err = s.spoolKey(run); err != nil {
		return wire.Job{}, err
	}
	job.Secrets, err = s.imageSecrets(ctx, cfg, *im, run)
	return job, err
}

// imageSecrets are those that the command of an image is given. In a sandbox they are the
// sandbox's.
func (s *Service) imageSecrets(ctx context.Context, cfg *config.Config, im config.Image, run core.Run) (map[string]string, error) {
	if len(im.Secrets) == 0 {
		return nil, nil
	}
	in := im.Environment
	if _, _, boxed := core.SandboxOf(run.Project); boxed {
		in = run.Environment
	}
	return s.openOf(ctx, cfg, in, im.Secrets, places(run.Project, in, false))
}

// built keeps an image when its run ends well.
func (s *Service) built(tx core.Tx, run core.Run, to core.RunStatus, id string) error {
	if run.Kind != core.KindImage || to != core.RunSucceeded {
		return nil
	}
	if err := core.CheckImageID(id); err != nil {
		return err
	}
	if err := tx.AddImage(core.Image{Project: run.Project, Name: run.Image(), Digest: run.InputDigest, ID: id, Run: run.ID, Release: run.Release, Created: tx.Now()}); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: "run:" + run.ID, Kind: "image.built", Project: run.Project, On: run.Image(),
		Data: map[string]string{"id": id, "digest": run.InputDigest, "run": run.ID, "release": fmt.Sprint(run.Release.Number)}})
}

// Images lists the images of a project that were built, and where each is.
func (s *Service) Images(ctx context.Context, project string) (out []wire.Image, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		out = []wire.Image{}
		if _, err := tx.Project(project); err != nil {
			return err
		}
		all, err := tx.Images(project)
		if err != nil {
			return err
		}
		instances, err := tx.Instances(project)
		for _, im := range all {
			out = append(out, wireImage(im, instances))
		}
		return err
	})
	return out, err
}

func wireImage(im core.Image, instances []core.InstanceState) wire.Image {
	out := wire.Image{Name: im.Name, Digest: im.Digest, ID: im.ID, Release: wire.Release{Number: im.Release.Number, Commit: im.Release.Commit}, Run: im.Run, Since: im.Created, UsedIn: []string{}}
	for _, i := range instances {
		if i.Components[wanted.ImagePart(im.Name)] == im.ID {
			out.UsedIn = append(out.UsedIn, core.InstanceName(i.Stack, i.Environment))
		}
	}
	slices.Sort(out.UsedIn)
	return out
}

// shortestDigest is how much of a digest has to be given at least.
const shortestDigest = 8

// ForgetImage has an image built again when it is wanted next: that with a digest, which may
// be shortened, or those with an id. Errors: NotFound; Conflict while a run uses it.
func (s *Service) ForgetImage(ctx context.Context, by, project, name, which string) (out []wire.Image, err error) {
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		out = []wire.Image{}
		all, err := tx.Images(project)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(im core.Image) bool {
			return im.Name != name || im.ID != which && (len(which) < shortestDigest || !strings.HasPrefix(im.Digest, which))
		})
		if len(all) == 0 {
			return core.Errorf(core.NotFound, "%s has no image %s with the digest or the id %q; terrace image list has them", project, name, which)
		}
		if err := unused(tx, project, all); err != nil {
			return err
		}
		for _, im := range all {
			if err := tx.DeleteImage(project, im.Name, im.Digest); err != nil {
				return err
			}
			if err := tx.AddEvent(core.Event{By: by, Kind: "image.forgotten", Project: project, On: im.Name,
				Data: map[string]string{"id": im.ID, "digest": im.Digest, "run": im.Run}}); err != nil {
				return err
			}
			out = append(out, wireImage(im, nil))
		}
		return nil
	})
	s.Bus.Changed(project)
	return out, err
}

// unused refuses to forget images with which something is being planned or applied.
func unused(tx core.Tx, project string, images []core.Image) error {
	under, err := tx.Runs(core.RunFilter{Project: project, Statuses: core.RunsUnderWay()})
	if err != nil {
		return err
	}
	for _, run := range under {
		for _, im := range images {
			if run.Components[wanted.ImagePart(im.Name)] == im.ID {
				return core.Errorf(core.Conflict, "%s of %s is %s with the image %s (%s); wait for its end, or stop it: terrace run cancel %[1]s", run.ID, run.Instance(), run.Status, im.Name, im.ID)
			}
		}
	}
	return nil
}
