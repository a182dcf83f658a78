package board

import (
	"context"
	"fmt"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// image has an instance that is not up to date say that an image is what it lacks: one that
// is being built for it, or that was not built.
func (s *Service) image(ctx context.Context, r rows, in config.Instance, environment string, cell *wire.InstanceStatus) error {
	if len(in.Images) == 0 || cell.State != "behind" && cell.State != "never" && cell.State != "waiting" {
		return nil
	}
	return s.Store.View(ctx, func(tx core.Tx) error {
		for _, name := range in.Images {
			all, err := tx.Runs(core.RunFilter{Project: r.project.Name, Environment: environment, Stack: core.ImageStack(name), Limit: 1})
			if err != nil {
				return err
			}
			if len(all) == 0 || all[0].Release.Number < r.valid.Number {
				continue
			}
			switch run := all[0]; {
			case !run.Status.Terminal():
				cell.State, cell.Run, cell.Phase = "running", run.ID, string(run.Status)
				cell.Reason = fmt.Sprintf("its image %s is %s for release %d", name, run.Status, run.Release.Number)
			case run.Status == core.RunFailed || run.Status == core.RunErrored:
				cell.State, cell.Run, cell.Reason = string(run.Status), run.ID, firstLine(run)
				return nil
			}
		}
		return nil
	})
}
