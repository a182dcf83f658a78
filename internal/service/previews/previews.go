// Package previews plans what commits would do that are on no tracked branch yet: those of
// pull requests, and of branches that somebody names. A branch is merged into the tracked
// one, in Terrace's own mirror, and every instance is planned that the merge wants other
// inputs for. No run of a preview can write a state or apply anything, none has a secret of an
// environment, and what the branch says of approvals, policies and protection weakens
// nothing that is there (rule 28).
package previews

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/forge"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/sandboxes"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
)

// keep is how many previews of a project are kept.
const keep = 200

// Service is safe for concurrent use.
type Service struct {
	Store      core.Store
	Source     *source.Source
	Wanted     *wanted.Evaluator
	Guardrails *guardrails.Service
	Projects   *projects.Service
	Runs       *runs.Service
	Sandboxes  *sandboxes.Service
	Seal       core.Sealer
	Bus        *bus.Bus
	Log        *slog.Logger
	// URL is where people reach the server.
	URL func() string
	// Ask has a project's branch and pull requests read soon.
	Ask func(project string)

	mu      sync.Mutex
	clients map[string]client // by project
	adding  map[string]client // by repository, while its project is added
	talking map[string]bool   // somebody speaks with the forge of a project
	talks   sync.WaitGroup
}

// client is a conversation with a forge, by what it was opened with.
type client struct {
	forge core.Forge
	forge.Client
}

// Ask says what to preview: a pull request, or a branch.
type Ask struct {
	Project string
	Pull    int64
	Branch  string
}

// Start begins a preview, and ends an older one of the same. Errors: NotFound for a pull
// request or a branch that is not there; Conflict for a fork that nobody let in.
func (s *Service) Start(ctx context.Context, by string, ask Ask) (core.Preview, error) {
	p, err := s.Projects.Get(ctx, ask.Project)
	if err != nil {
		return core.Preview{}, err
	}
	switch {
	case p.Sandbox != nil:
		return core.Preview{}, core.Errorf(core.Invalid, "%s is a sandbox; a preview is of a branch of %s", p.Sandbox.Name, p.Sandbox.Of)
	case ask.Pull == 0 && strings.TrimSpace(ask.Branch) == "":
		return core.Preview{}, core.Errorf(core.Invalid, "say what to preview: terrace preview start --branch BRANCH, or --pull NUMBER")
	case ask.Pull == 0:
		head, err := s.Source.Fetch(ctx, p.Repo, ask.Branch)
		if err != nil {
			return core.Preview{}, err
		}
		return s.begin(ctx, p, core.Preview{PreviewFacts: core.PreviewFacts{Branch: ask.Branch, Commit: head, By: by}}, false)
	}
	var pull core.Pull
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		pull, err = known(tx, p.Name, ask.Pull)
		return err
	}); err != nil {
		return core.Preview{}, err
	}
	if !pull.MayRun() {
		return core.Preview{}, notLetIn(pull)
	}
	return s.ofPull(ctx, p, pull, by)
}

// known finds an open pull request.
func known(tx core.Tx, project string, number int64) (core.Pull, error) {
	pull, err := tx.Pull(project, number)
	if core.CodeOf(err) == core.NotFound || err == nil && !pull.Open {
		open, err := tx.Pulls(project, true)
		var names []string
		for _, p := range open {
			names = append(names, fmt.Sprint(p.Number))
		}
		if len(names) == 0 {
			names = []string{"none"}
		}
		if err != nil {
			return pull, err
		}
		return pull, core.Errorf(core.NotFound, "%s has no open pull request %d; open: %s", project, number, strings.Join(names, ", "))
	}
	return pull, err
}

func notLetIn(pull core.Pull) error {
	return core.Errorf(core.Conflict, "pull request %d is from a fork, whose code would run here; look at %s, and let this commit in: terrace preview allow %[1]d", pull.Number, core.ShortCommit(pull.Commit))
}

// ofPull begins the preview of a pull request, or notes that it waits for a member.
func (s *Service) ofPull(ctx context.Context, p core.Project, pull core.Pull, by string) (core.Preview, error) {
	pv := core.Preview{Pull: pull.Number, PreviewFacts: core.PreviewFacts{Branch: pull.Branch, Commit: pull.Commit, Title: pull.Title, By: by}}
	if !pull.MayRun() {
		return s.begin(ctx, p, pv, true)
	}
	head, err := s.Source.FetchRef(ctx, p.Repo, pull.Ref)
	if err != nil {
		return core.Preview{}, err
	}
	if head != pull.Commit {
		if pull.Fork { // somebody let in another commit
			return core.Preview{}, core.Errorf(core.Conflict, "pull request %d has other commits now (%s); it is read again soon", pull.Number, core.ShortCommit(head))
		}
		pv.Commit = head
	}
	return s.begin(ctx, p, pv, false)
}

// begin stores a preview. What cannot be previewed at all is one that failed.
func (s *Service) begin(ctx context.Context, p core.Project, pv core.Preview, waits bool) (core.Preview, error) {
	pv.Project, pv.Status = p.Name, core.PreviewRunning
	if waits {
		pv.Status, pv.Why = core.PreviewWaiting, "it is from a fork; a member lets this commit in: terrace preview allow "+fmt.Sprint(pv.Pull)
	} else {
		target, err := s.Source.Fetch(ctx, p.Repo, p.Branch)
		if err != nil {
			return pv, err
		}
		pv.Target = target
		switch err := s.scope(ctx, p, &pv); core.CodeOf(err) {
		case "":
		case core.Conflict, core.Invalid, core.NotFound:
			pv.Status, pv.Why = core.PreviewFailed, core.MessageOf(err)
		default:
			return pv, err
		}
	}
	var stopped []core.Run
	var others []core.Preview
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		var err error
		if others, stopped, err = s.stopOthers(tx, pv); err != nil {
			return err
		}
		pv.Created = tx.Now()
		pv.ID = core.NewID(core.PrefixPreview, pv.Created)
		if pv.Status.Terminal() {
			pv.Finished = pv.Created
		}
		if err := tx.AddPreview(pv); err != nil {
			return err
		}
		if pull, err := tx.Pull(p.Name, pv.Pull); err == nil {
			pull.Previewed = pv.Commit
			if err := tx.PutPull(pull); err != nil {
				return err
			}
		} else if core.CodeOf(err) != core.NotFound {
			return err
		}
		if err := tx.PrunePreviews(p.Name, keep); err != nil {
			return err
		}
		return event(tx, pv.By, "preview."+string(pv.Status), pv)
	})
	s.interrupt(stopped)
	for _, old := range others {
		if old.Merged != pv.Merged {
			s.Source.Forget(ctx, p.Repo, old.Merged)
		}
	}
	s.Bus.Changed(p.Name)
	return pv, err
}

// stopOthers ends what is under way for the same pull request, or the same branch.
func (s *Service) stopOthers(tx core.Tx, pv core.Preview) (others []core.Preview, stopped []core.Run, err error) {
	all, err := tx.Previews(core.PreviewFilter{Project: pv.Project, Pull: pv.Pull, Under: true})
	for _, old := range all {
		if err != nil || old.Pull != pv.Pull || old.Pull == 0 && old.Branch != pv.Branch {
			continue
		}
		var some []core.Run
		some, err = s.end(tx, old, core.PreviewSuperseded, "server", fmt.Sprintf("%s is at %s now", old.Branch, core.ShortCommit(pv.Commit)))
		others, stopped = append(others, old), append(stopped, some...)
	}
	return others, stopped, err
}

// end ends a preview and its runs. The caller interrupts the runners of those it returns.
func (s *Service) end(tx core.Tx, pv core.Preview, to core.PreviewStatus, by, why string) (active []core.Run, err error) {
	from := pv.Status
	pv.Status, pv.Why, pv.Finished = to, why, tx.Now()
	all, err := tx.Runs(core.RunFilter{Project: pv.Project, Preview: pv.ID, Statuses: core.RunsUnderWay()})
	if err != nil {
		return nil, err
	}
	for _, run := range all {
		if run.Status.Active() {
			active = append(active, run)
		}
		run.Error = &core.RunError{Code: "superseded", Message: why}
		if err := s.Runs.Move(tx, &run, core.RunSuperseded); err != nil {
			return nil, err
		}
	}
	if err := tx.UpdatePreview(pv, from); err != nil {
		return nil, err
	}
	return active, event(tx, by, "preview."+string(to), pv)
}

func (s *Service) interrupt(active []core.Run) {
	for _, run := range active {
		s.Runs.Interrupt(run)
	}
}

// Cancel stops a preview. Conflict when it is over.
func (s *Service) Cancel(ctx context.Context, by, project, id string) (pv core.Preview, err error) {
	var stopped []core.Run
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if pv, err = one(tx, project, id); err != nil {
			return err
		}
		if pv.Status.Terminal() {
			return core.Errorf(core.Conflict, "%s is over: %s", id, pv.Status)
		}
		if stopped, err = s.end(tx, pv, core.PreviewCancelled, by, "cancelled by "+by); err != nil {
			return err
		}
		pv, err = tx.Preview(id)
		return err
	})
	s.interrupt(stopped)
	if p, err := s.Projects.Get(ctx, project); err == nil {
		s.Source.Forget(ctx, p.Repo, pv.Merged)
	}
	s.Bus.Changed(project)
	return pv, err
}

// Allow lets the newest commit of a fork's pull request be previewed: that one, and none
// that comes after it. commit, unless it is "", has to be it.
func (s *Service) Allow(ctx context.Context, by, project string, number int64, commit string) (core.Preview, error) {
	p, err := s.Projects.Get(ctx, project)
	if err != nil {
		return core.Preview{}, err
	}
	var pull core.Pull
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		if pull, err = known(tx, project, number); err != nil {
			return err
		}
		switch {
		case !pull.Fork:
			return core.Errorf(core.Conflict, "pull request %d is from a branch of the repository, and is previewed by itself", number)
		case commit != "" && !strings.HasPrefix(pull.Commit, commit):
			return core.Errorf(core.Conflict, "pull request %d is at %s now, not at %s; look at that, and let it in", number, core.ShortCommit(pull.Commit), core.ShortCommit(commit))
		}
		pull.Allowed, pull.AllowedBy = pull.Commit, by
		if err := tx.PutPull(pull); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "pull.allowed", Project: project, On: fmt.Sprint(number), Data: map[string]string{"commit": pull.Commit, "author": pull.Author}})
	}); err != nil {
		return core.Preview{}, err
	}
	return s.ofPull(ctx, p, pull, by)
}

func one(tx core.Tx, project, id string) (core.Preview, error) {
	pv, err := tx.Preview(id)
	if err == nil && pv.Project != project {
		err = core.Errorf(core.NotFound, "%s has no preview %s; terrace preview list shows those that it has", project, id)
	}
	return pv, err
}

// Get returns one preview.
func (s *Service) Get(ctx context.Context, project, id string) (pv core.Preview, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		pv, err = one(tx, project, id)
		return err
	})
	return pv, err
}

// List returns a project's previews, newest first, and its open pull requests.
func (s *Service) List(ctx context.Context, project string, pull int64, limit int) (all []core.Preview, open []core.Pull, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		if all, err = tx.Previews(core.PreviewFilter{Project: project, Pull: pull, Limit: limit}); err != nil {
			return err
		}
		open, err = tx.Pulls(project, true)
		return err
	})
	return all, open, err
}

func event(tx core.Tx, by, kind string, pv core.Preview) error {
	data := map[string]string{"branch": pv.Branch, "commit": pv.Commit}
	if pv.Pull != 0 {
		data["pull"] = fmt.Sprint(pv.Pull)
	}
	if pv.Why != "" && pv.Status != core.PreviewFailed {
		data["why"] = pv.Why
	}
	return tx.AddEvent(core.Event{By: by, Kind: kind, Project: pv.Project, On: pv.ID, Data: data})
}

// tendEvery is how often previews are looked after when nothing says that something changed.
const tendEvery = 5 * time.Second

// Tend brings previews to their end. It works until ctx ends.
func (s *Service) Tend(ctx context.Context) {
	changed := s.Bus.Listen(ctx, "")
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		if err := s.tend(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("looking after previews", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			select { // many things change at once
			case <-ctx.Done():
				return
			case <-time.After(200 * time.Millisecond):
			}
		case <-tick.C:
		}
	}
}

func (s *Service) tend(ctx context.Context) error {
	var due []core.Preview
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		due, err = tx.Previews(core.PreviewFilter{Under: true})
		return err
	}); err != nil {
		return err
	}
	due = slices.DeleteFunc(due, func(pv core.Preview) bool { return pv.Status != core.PreviewRunning })
	for _, pv := range due {
		if err := s.step(ctx, pv); err != nil && core.CodeOf(err) != core.NotFound && core.CodeOf(err) != core.Conflict && ctx.Err() == nil {
			s.Log.Error("looking after a preview", "preview", pv.ID, "error", err)
		}
	}
	return nil
}
