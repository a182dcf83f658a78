package rollouts

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
)

// maxReason bounds what people say about a skip, in bytes.
const maxReason = 1000

// Promote lets a release enter an environment on purpose: it lifts a hold that is in the way
// (rule 22), or skips the gates that are named (rule 23), and makes a rollout when none is
// under way. The reconciler does the rest, by every other rule. Errors: as Candidate, and
// Conflict when a hold is in the way and Lift is not set, or when something newer would
// enter instead.
func (s *Service) Promote(ctx context.Context, by string, ask Ask) (c Candidate, rollout core.Rollout, err error) {
	if ask.Reason = strings.TrimSpace(ask.Reason); len(ask.Reason) > maxReason {
		return c, rollout, core.Errorf(core.Invalid, "a reason has at most %d bytes, and this one has %d", maxReason, len(ask.Reason))
	}
	if len(ask.Skip) > 0 && ask.Reason == "" {
		return c, rollout, core.Errorf(core.Invalid, "skipping a gate needs a reason, which stays with the rollout: --reason")
	}
	release, cfg, err := s.release(ctx, ask)
	if err != nil {
		return c, rollout, err
	}
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if c, err = s.candidate(tx, ask, release, cfg); err != nil {
			return err
		}
		if c.Hold != nil && !ask.Lift {
			return core.Errorf(core.Conflict, "%s is held by %s since %s: %s. Promoting release %d lifts the hold; say so with --yes, or skip it for this release alone with --skip-gate hold",
				ask.Environment, c.Hold.By, c.Hold.Since.Format(time.RFC3339), c.Hold.Reason, c.Release.Number)
		}
		if err := nothingNewer(tx, ask, c); err != nil {
			return err
		}
		if c.Rollout == "" {
			if rollout, err = projects.AddRollout(tx, release, cfg, core.Rollout{By: by, Manual: true}); err != nil {
				return err
			}
			i := slices.IndexFunc(rollout.Stages, func(st core.Stage) bool { return st.Environment == ask.Environment })
			c.Rollout, c.Stage = rollout.ID, rollout.Stages[i]
		}
		if err := s.open(tx, by, ask, &c); err != nil {
			return err
		}
		rollout, err = tx.Rollout(c.Rollout)
		return err
	})
	s.Bus.Changed(ask.Project)
	return c, rollout, err
}

// open lifts and skips what is in the way of a candidate.
func (s *Service) open(tx core.Tx, by string, ask Ask, c *Candidate) error {
	data := map[string]string{"release": fmt.Sprint(c.Release.Number), "rollout": c.Rollout}
	if c.Hold != nil {
		e, err := tx.Environment(ask.Project, ask.Environment)
		if err != nil {
			return err
		}
		e.Hold = nil
		if err := tx.PutEnvironment(e); err != nil {
			return err
		}
		if err := tx.AddEvent(core.Event{By: by, Kind: "environment.unheld", Project: ask.Project, On: ask.Environment, Data: data}); err != nil {
			return err
		}
	}
	kind := "environment.promoted"
	if ask.Reason != "" {
		data["reason"] = ask.Reason
	}
	if len(ask.Skip) > 0 {
		if err := noneFell(tx, ask, c.Stage); err != nil {
			return err
		}
		kind, data["gates"], data["stage"] = "gates.skipped", words(ask.Skip), c.Stage.ID
		if c.SecondPerson {
			kind = "gates.skip_asked"
		}
		c.Stage.Skips = append(slices.Clone(c.Stage.Skips), core.Skip{Gates: ask.Skip, By: by, Reason: ask.Reason, At: tx.Now()})
		if err := tx.UpdateStage(c.Stage, c.Stage.Status); err != nil {
			return err
		}
	}
	return tx.AddEvent(core.Event{By: by, Kind: kind, Project: ask.Project, On: ask.Environment, Data: data})
}

// noneFell refuses to skip a bake in which a verification has said no.
func noneFell(tx core.Tx, ask Ask, stage core.Stage) error {
	if stage.Status != core.StageBaking || !slices.Contains(ask.Skip, core.GateBake) {
		return nil
	}
	runs, err := tx.Runs(core.RunFilter{Project: ask.Project, Stage: stage.ID})
	for _, r := range runs {
		if r.Kind == core.KindVerify && r.Status == core.RunFailed && (r.Error == nil || r.Error.Code != core.CodeInconclusive) {
			return core.Errorf(core.Conflict, "the verification of %s has failed in this bake, which ends as failed; skipping it would not make it pass: terrace run show %s", r.Instance(), r.ID)
		}
	}
	return err
}

// nothingNewer refuses to promote what a newer release would overtake in the same moment
// (rule 6).
func nothingNewer(tx core.Tx, ask Ask, c Candidate) error {
	if ask.Release == 0 || c.Stage.Status.HoldsLease() {
		return nil
	}
	open, err := tx.Rollouts(ask.Project, true, 0)
	if err != nil {
		return err
	}
	for _, ro := range open {
		if ro.Cancel || ro.Kind == core.RolloutRollback || ro.Release.Number <= c.Release.Number {
			continue
		}
		for _, st := range ro.Stages {
			inTheWay := func(w core.Wait) bool {
				return w.Gate != core.GateLease && !(w.Gate == core.GateHold && c.Hold != nil)
			}
			if st.Environment == ask.Environment && st.Status == core.StageWaiting && !slices.ContainsFunc(st.Waits, inTheWay) {
				return core.Errorf(core.Conflict, "release %d, which is newer than %d, may enter %s as well, and the newest does (rule 6): terrace promote %[3]s, or first: terrace rollout cancel %[4]s",
					ro.Release.Number, c.Release.Number, ask.Environment, ro.ID)
			}
		}
	}
	return nil
}

// checkSkip refuses names that are no gates which people may skip.
func checkSkip(ask Ask, c Candidate) error {
	for i, g := range ask.Skip {
		switch {
		case slices.Contains(ask.Skip[:i], g):
			return core.Errorf(core.Invalid, "the gate %s is named twice", g)
		case !slices.Contains(core.Skippable, g):
			return core.Errorf(core.Invalid, "%q is no gate that can be skipped; those are %s. Checks, approvals and protection never are. In the way of release %d in %s now: %s",
				g, words(core.Skippable), c.Release.Number, ask.Environment, inTheWay(c.Stage.Waits))
		}
	}
	return nil
}

// inTheWay names the gates that a stage waits for.
func inTheWay(waits []core.Wait) string {
	var texts []string
	for _, w := range waits {
		texts = append(texts, fmt.Sprintf("%s (%s)", w.Gate, w.What))
	}
	if texts == nil {
		return "nothing"
	}
	return strings.Join(texts, "; ")
}

func words(gates []core.Gate) string {
	var names []string
	for _, g := range gates {
		names = append(names, string(g))
	}
	return strings.Join(names, ", ")
}
