package sandboxes

import (
	"context"
	"strconv"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
)

// tendEvery is how often sandboxes are looked after when nothing says that one changed.
const tendEvery = 5 * time.Second

// A destruction that failed is tried again, after longer and longer, for ever.
const (
	firstRetry = 30 * time.Second
	mostRetry  = time.Hour
)

// Tend ends sandboxes whose time is over or whose branch is gone, and brings each end to its
// end. It works until ctx ends.
func (s *Service) Tend(ctx context.Context) {
	changed := s.Bus.Listen(ctx, "")
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		if err := s.tend(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("looking after sandboxes", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			// Many things change at once; all of them are looked at together.
			select {
			case <-ctx.Done():
				return
			case <-time.After(200 * time.Millisecond):
			}
		case <-tick.C:
		}
	}
}

func (s *Service) tend(ctx context.Context) error {
	var due []string
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		due = nil
		all, err := tx.Projects()
		for _, p := range all {
			if p.Sandbox != nil && isDue(p, tx.Now()) {
				due = append(due, p.Name)
			}
		}
		return err
	}); err != nil {
		return err
	}
	for _, name := range due {
		if err := s.one(ctx, name); err != nil && core.CodeOf(err) != core.NotFound {
			s.Log.Error("looking after a sandbox", "project", name, "error", err)
		}
	}
	return nil
}

// isDue reports whether there may be something to do for a sandbox.
func isDue(p core.Project, now time.Time) bool {
	b := p.Sandbox
	return !b.Ending.IsZero() || !now.Before(b.Expires) || !now.Before(warnAt(p)) && !b.Warned
}

// one does for a sandbox what is due.
func (s *Service) one(ctx context.Context, name string) error {
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		p, err := tx.Project(name)
		if err != nil {
			return err
		}
		now := tx.Now()
		switch {
		case !isDue(p, now):
			return nil // somebody was quicker
		case !p.Sandbox.Ending.IsZero():
			return s.finish(tx, p)
		case !now.Before(p.Sandbox.Expires):
			if err := end(tx, &p, "server", "its time was over"); err != nil {
				return err
			}
			if err := event(tx, "server", "sandbox.ending", p, map[string]string{"why": p.Sandbox.Why}); err != nil {
				return err
			}
		default:
			p.Sandbox.Warned = true
			if err := event(tx, "server", "sandbox.expires_soon", p, map[string]string{"expires": p.Sandbox.Expires.Format(time.RFC3339), "owner": p.Sandbox.Owner}); err != nil {
				return err
			}
		}
		return tx.UpdateProject(p)
	})
	s.Bus.Changed(name)
	return err
}

// warnAt is when it is said that a sandbox expires soon: an hour before, of a short one a
// tenth of its life.
func warnAt(p core.Project) time.Time {
	return p.Sandbox.Expires.Add(-min(time.Hour, p.Sandbox.Expires.Sub(p.Created)/10))
}

// finish destroys what is left of a sandbox that ends, or forgets it when nothing is.
func (s *Service) finish(tx core.Tx, p core.Project) error {
	open, err := tx.Rollouts(p.Name, true, 0)
	if err != nil || len(open) > 0 {
		return err // it goes on when that is over
	}
	what, err := left(tx, p)
	if err != nil {
		return err
	}
	under, err := tx.Runs(core.RunFilter{Project: p.Name, Statuses: core.RunsUnderWay()})
	if err != nil || len(under) > 0 {
		return err
	}
	if what == "" {
		if err := tx.RemoveProject(p.Name); err != nil {
			return err
		}
		return event(tx, p.Sandbox.EndedBy, "sandbox.ended", p, map[string]string{"why": p.Sandbox.Why})
	}
	if tx.Now().Before(p.Sandbox.Retry) {
		return nil
	}
	release, err := there(tx, p)
	if err != nil {
		return err
	}
	why := core.Rollout{Kind: core.RolloutPromotion, By: p.Sandbox.EndedBy, Manual: true, Reason: "the sandbox ends"}
	if _, err := projects.AddOne(tx, release, why, p.Sandbox.Name); err != nil {
		return err
	}
	p.Sandbox.Retry = tx.Now().Add(min(firstRetry<<min(p.Sandbox.Tries, 10), mostRetry))
	p.Sandbox.Tries++
	return tx.UpdateProject(p)
}

// there is the release that entered a sandbox last. Its commit has another number by now when
// it became the newest of the branch again, and that did not enter.
func there(tx core.Tx, p core.Project) (core.Release, error) {
	e, err := tx.Environment(p.Name, p.Sandbox.Name)
	if err != nil {
		return core.Release{}, err
	}
	release, err := tx.FindRelease(p.Name, strconv.FormatInt(e.Entered, 10))
	if core.CodeOf(err) != core.NotFound {
		return release, err
	}
	instances, err := tx.Instances(p.Name)
	for _, i := range instances {
		if r, err := tx.Release(p.Name, i.Commit); err == nil && r.Number > e.Entered {
			return r, nil
		}
	}
	if err != nil {
		return core.Release{}, err
	}
	return tx.LatestRelease(p.Name)
}
