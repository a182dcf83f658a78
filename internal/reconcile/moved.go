package reconcile

import (
	"context"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	states "github.com/terrace-cd/terrace/internal/service/state"
)

// renamed is what a stage's release means by names that are not those of what is there.
type renamed struct {
	origins map[string]string    // stack → the one whose state becomes its
	clashes map[string]string    // stack with a state → the one it is moved from, which has one too
	waits   map[string][2]string // stack → why that cannot be yet, and what lets it
}

// names finds out what got another name (rule 27). Hardly ever anything did, so it looks
// closer only when something in the environment has a state and no stack.
func (w *worker) names(ctx context.Context, s *snapshot, cfg *config.Config, ro core.Rollout, st core.Stage) (out renamed, err error) {
	names := promotion.Names{Here: map[string]string{}, Has: map[string]bool{}}
	for _, in := range cfg.Instances(st.Environment) {
		names.Here[in.Stack] = ""
	}
	for _, stack := range cfg.Stacks {
		if _, here := names.Here[stack.Name]; here {
			names.Here[stack.Name] = stack.MovedFrom
		}
	}
	if !w.somethingLeft(s, names.Here, st.Environment) {
		return out, nil
	}
	if err := w.Store.View(ctx, func(tx core.Tx) (err error) {
		names.Moved, err = movedIn(tx, w.project, st.Environment)
		if err != nil {
			return err
		}
		return has(tx, w.project, st.Environment, names.Has)
	}); err != nil {
		return out, err
	}
	if names.Skipped, err = w.skipped(ctx, s, names, ro, st); err != nil {
		return out, err
	}
	out.origins, out.clashes = names.Origins()
	if len(out.origins) == 0 {
		return out, nil
	}
	out.waits = map[string][2]string{}
	return out, w.Store.View(ctx, func(tx core.Tx) error {
		for to, from := range out.origins {
			why, opensBy, err := states.MayMove(tx, core.Move{Project: w.project, Environment: st.Environment, From: from, To: to})
			if err != nil {
				return err
			}
			out.waits[to] = [2]string{why, opensBy}
		}
		return nil
	})
}

// somethingLeft reports whether an environment has an instance that the release has no
// stack for, or whether the release says that a stack had another name.
func (w *worker) somethingLeft(s *snapshot, here map[string]string, environment string) bool {
	for key := range s.instances {
		if _, present := here[key[0]]; key[1] == environment && !present {
			return true
		}
	}
	for _, from := range here {
		if from != "" {
			return true
		}
	}
	return false
}

// has notes which stacks have something in their state, wherever it is.
func has(tx core.Tx, project, environment string, into map[string]bool) error {
	current, err := tx.CurrentStates(project)
	if err != nil {
		return err
	}
	for _, v := range current {
		if v.Environment == environment {
			into[v.Stack] = v.Resources > 0
		}
	}
	own, err := tx.OwnStates(project)
	for _, o := range own { // stands for the built-in one
		if o.Environment == environment {
			into[o.Stack] = o.Resources > 0
		}
	}
	return err
}

func movedIn(tx core.Tx, project, environment string) (out []core.Move, err error) {
	all, err := tx.Moves(project)
	for _, m := range all {
		if m.Environment == environment {
			out = append(out, m)
		}
	}
	return out, err
}

// skipped reads the renames of the releases between what is there and a stage's release.
// They do not change while the stage is at work.
func (w *worker) skipped(ctx context.Context, s *snapshot, names promotion.Names, ro core.Rollout, st core.Stage) ([]map[string]string, error) {
	if list, ok := w.renames[st.ID]; ok {
		return list, nil
	}
	oldest := ro.Release.Number
	for stack, there := range names.Has {
		if _, here := names.Here[stack]; there && !here {
			oldest = min(oldest, s.instances[[2]string{stack, st.Environment}].Applied)
		}
	}
	list := []map[string]string{}
	if oldest+1 < ro.Release.Number {
		var releases []core.Release
		if err := w.Store.View(ctx, func(tx core.Tx) (err error) {
			releases, err = tx.Releases(w.project, 0)
			return err
		}); err != nil {
			return nil, err
		}
		for _, r := range releases { // newest first
			if r.Number <= oldest || r.Number >= ro.Release.Number || r.Invalid != "" {
				continue
			}
			cfg, err := w.past(ctx, s, r.Commit, "what it renamed")
			if err != nil {
				return nil, err
			}
			if cfg == nil {
				continue // it was not what is there, and is gone
			}
			renames := map[string]string{}
			for _, stack := range cfg.Stacks {
				if stack.MovedFrom != "" {
					renames[stack.Name] = stack.MovedFrom
				}
			}
			list = append(list, renames)
		}
	}
	w.renames[st.ID] = list
	return list, nil
}

// move carries a move out.
func (w *worker) move(tx core.Tx, s *snapshot, d promotion.Move) error {
	stage := s.stages[d.Stage]
	environment, err := tx.Environment(w.project, stage.Environment)
	if err != nil {
		return err
	}
	if environment.Stage != d.Stage {
		return core.Errorf(core.Conflict, "the stage does not hold the lease of %s", stage.Environment)
	}
	from, err := tx.Instance(w.project, d.From, stage.Environment)
	if err != nil {
		return err
	}
	if from.Unknown != "" {
		return core.Errorf(core.Conflict, "the outcome of %s is unknown", from.Unknown)
	}
	return states.Move(tx, core.Move{Project: w.project, Environment: stage.Environment, From: d.From, To: d.To,
		Release: s.rollouts[d.Rollout].Release.Number, At: tx.Now()})
}
