package runs

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Previews: what their runs are given, and what a release's runs say of them.

// plannedDoc is the document of a preview's run with the outputs that its plan tells.
const plannedDoc = "planned-outputs"

// ForetoldDoc is the kind of the run document that compares a plan with that of a preview.
const ForetoldDoc = "foretold"

// Foreseen are the release that a preview's branch would be, and the one of the tracked
// branch that it is compared with. Neither needs to exist.
func Foreseen(tx core.Tx, pv core.Preview) (next, there core.Release, err error) {
	there = core.Release{Project: pv.Project, Commit: pv.Target}
	if r, err := tx.Release(pv.Project, pv.Target); err == nil {
		there = r
	} else if core.CodeOf(err) != core.NotFound {
		return next, there, err
	}
	newest, err := tx.LatestRelease(pv.Project)
	if core.CodeOf(err) == core.NotFound {
		err = nil
	}
	return core.Release{Project: pv.Project, Commit: pv.Merged, Number: newest.Number + 1}, there, err
}

// PlannedOutputs are the outputs as a preview's run planned them.
func (s *Service) PlannedOutputs(ctx context.Context, run string) (map[string]cty.Value, error) {
	var text json.RawMessage
	err := s.Store.View(ctx, func(tx core.Tx) error { return s.Doc(tx, run, plannedDoc, &text) })
	if core.CodeOf(err) == core.NotFound {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return config.OutputsFromPlan(text)
}

// against are the planned outputs that a preview's run is to be planned against, and the
// release that it is about.
func (s *Service) against(ctx context.Context, run core.Run) (planned wanted.Planned, next core.Release, err error) {
	var pv core.Preview
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if pv, err = tx.Preview(run.Preview); err == nil {
			next, _, err = Foreseen(tx, pv)
		}
		return err
	}); err != nil {
		return nil, next, err
	}
	planned = wanted.Planned{}
	at := pv.Of(run.Environment, run.Stack)
	if at == nil {
		return nil, next, core.Errorf(core.Conflict, "the preview %s is not about %s any more", pv.ID, run.Instance())
	}
	for _, stack := range at.Against {
		up := pv.Of(run.Environment, stack)
		if up == nil {
			continue
		}
		if planned[stack], err = s.PlannedOutputs(ctx, up.Run); err != nil {
			return nil, next, err
		}
	}
	return planned, next, nil
}

// foretold finds what a preview said of an instance of a release: that of the same files, or
// the newest one of the pull request that its message names. ok is false when there is none.
func (s *Service) foretold(ctx context.Context, p core.Project, run core.Run) (pv core.Preview, ok bool, err error) {
	if run.Kind != core.KindDeploy || run.Rollout == "" {
		return pv, false, nil
	}
	var any []core.Preview
	var release core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if any, err = tx.Previews(core.PreviewFilter{Project: p.Name, Limit: 1}); err == nil && len(any) > 0 {
			release, err = tx.Release(p.Name, run.Release.Commit)
		}
		return err
	}); err != nil || len(any) == 0 {
		return pv, false, err
	}
	tree, err := s.Source.TreeOf(ctx, p.Repo, run.Release.Commit)
	if err != nil {
		return pv, false, err
	}
	err = s.Store.View(ctx, func(tx core.Tx) error {
		all, err := tx.Previews(core.PreviewFilter{Project: p.Name, Tree: tree})
		if number := PullOf(release.Message); err == nil && len(all) == 0 && number != 0 {
			all, err = tx.Previews(core.PreviewFilter{Project: p.Name, Pull: number})
		}
		for _, one := range all {
			if !ok && (one.Status == core.PreviewSucceeded || one.Status == core.PreviewFailed) && len(one.Environments) > 0 {
				pv, ok = one, true
			}
		}
		return err
	})
	return pv, ok, err
}

// compare says how a plan differs from what a preview said.
func (s *Service) compare(tx core.Tx, run core.Run, pv core.Preview, planned wire.Planned) error {
	out := wire.Foretold{Preview: pv.ID, Pull: pv.Pull}
	at := pv.Of(run.Environment, run.Stack)
	switch {
	case at == nil && planned.NoChanges:
		out.Same = true
	case at == nil:
		out.Difference = "the preview did not expect it to change"
	case at.State == core.PreviewsWait && at.On != "":
		out.Difference = "it could not be previewed, since it waited for " + at.On
	case at.Run == "" || at.State == core.PreviewsFailed || at.State == core.PreviewsErrored:
		out.Difference = "the preview has no plan of it"
	default:
		was, err := tx.Run(at.Run)
		if err != nil {
			return err
		}
		var said wire.Plan
		if err := s.Doc(tx, was.ID, "plan", &said); err != nil {
			return err
		}
		if out.Same = was.PlanDigest == planned.Digest || was.NoChanges && planned.NoChanges; !out.Same {
			out.Difference = plan.Difference(said, planned.Plan)
		}
	}
	return s.putDoc(tx, run.ID, ForetoldDoc, out)
}

// pullRE finds what forges write into the message of a merge: "Merge pull request #7 from …" and
// "Title (#7)" (GitHub, Gitea), "See merge request team/shop!7" (GitLab).
var pullRE = regexp.MustCompile(`(?m)^Merge pull request #(\d+) |\(#(\d+)\)[^\n(]*$|^See merge request \S*!(\d+)$`)

// PullOf is the number of the pull request that a commit's message says it merges, 0 for none.
func PullOf(message string) int64 {
	for _, m := range pullRE.FindAllStringSubmatch(message, 1) {
		for _, text := range m[1:] {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return n
			}
		}
	}
	return 0
}
