// Package projects adds, lists and removes projects, and records what their branches
// hold: each commit becomes one release (rule 3), each push one rollout.
package projects

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
)

// recordLimit bounds how many commits of one push become releases of their own.
const recordLimit = 1000

// Service is safe for concurrent use.
type Service struct {
	Store  core.Store
	Source *source.Source
	Wanted *wanted.Evaluator
	Seal   core.Sealer
	Bus    *bus.Bus
	Log    *slog.Logger
	// Modules says what the module registry gives to a commit, after what the release before
	// it got; nil for nothing.
	Modules func(ctx context.Context, p core.Project, cfg *config.Config, commit string, before map[string][]core.ResolvedModule) (map[string][]core.ResolvedModule, error)
	// BranchGone is told of a sandbox whose branch is not there any more.
	BranchGone func(ctx context.Context, p core.Project) error

	mu      sync.Mutex
	reading map[string]*sync.Mutex // one reader of a branch at a time
}

// Add checks that the repository can be read, stores the project and records its
// newest commit. Errors: Invalid (names, a repository or branch that cannot be read),
// Conflict (the name is taken).
func (s *Service) Add(ctx context.Context, by, name, repo, branch, dir string) (core.Project, error) {
	if err := core.CheckName("project", name); err != nil {
		return core.Project{}, err
	}
	if strings.TrimSpace(repo) == "" {
		return core.Project{}, core.Errorf(core.Invalid, "a project needs a repository: terrace project add %s --repo URL", name)
	}
	if dir == "" {
		dir = "."
	}
	if clean := path.Clean(dir); path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(clean, "\x00\n\\") {
		return core.Project{}, core.Errorf(core.Invalid, "%q is not a directory inside the repository", dir)
	}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		_, err := tx.Project(name)
		return err
	})
	if err == nil {
		return core.Project{}, core.Errorf(core.Conflict, "a project named %s exists; choose another name, or remove it first: terrace project remove %s", name, name)
	} else if core.CodeOf(err) != core.NotFound {
		return core.Project{}, err
	}
	branch, err = s.Source.Check(ctx, repo, branch)
	if err != nil {
		return core.Project{}, err
	}
	var secret [20]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return core.Project{}, err
	}
	sealed, err := s.Seal.Seal(WebhookPurpose(name), []byte(hex.EncodeToString(secret[:])))
	if err != nil {
		return core.Project{}, err
	}
	p := core.Project{Name: name, Repo: repo, Branch: branch, Path: path.Clean(dir), WebhookToken: hex.EncodeToString(sealed)}
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		p.Created = tx.Now()
		if err := tx.AddProject(p); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "project.added", Project: name, On: name,
			Data: map[string]string{"branch": branch, "path": p.Path}})
	}); err != nil {
		return core.Project{}, err
	}
	if err := s.Refresh(ctx, name, by); err != nil {
		s.Log.Warn("reading a new project's branch failed", "project", name, "error", err)
	}
	return s.Get(ctx, name)
}

// WebhookPurpose is what a webhook's secret is sealed for.
func WebhookPurpose(project string) string { return "webhook:" + project }

// ForgePurpose is what the login of a project's forge is sealed for.
func ForgePurpose(project string) string { return "forge:" + project }

// WebhookSecret returns the secret that signs webhooks of a project.
func (s *Service) WebhookSecret(p core.Project) (string, error) {
	sealed, err := hex.DecodeString(p.WebhookToken)
	if err != nil {
		return "", err
	}
	plain, err := s.Seal.Open(WebhookPurpose(p.Name), sealed)
	return string(plain), err
}

// Get returns one project. NotFound names those that exist.
func (s *Service) Get(ctx context.Context, name string) (p core.Project, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		p, err = tx.Project(name)
		if core.CodeOf(err) != core.NotFound {
			return err
		}
		all, listErr := tx.Projects()
		if listErr != nil {
			return listErr
		}
		if len(all) == 0 {
			return core.Errorf(core.NotFound, "there is no project %q, nor any other; add one: terrace project add NAME --repo URL", name)
		}
		var names []string
		for _, p := range all {
			if p.Sandbox == nil {
				names = append(names, p.Name)
			}
		}
		return core.Errorf(core.NotFound, "there is no project %q; there is %s", name, strings.Join(names, ", "))
	})
	return p, err
}

// List returns every project, by name, sandboxes among them.
func (s *Service) List(ctx context.Context) (ps []core.Project, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		ps, err = tx.Projects()
		return err
	})
	return ps, err
}

// Remove forgets a project with its releases, runs and states. Conflict while runs
// are active, or, unless force, while a state has resources.
func (s *Service) Remove(ctx context.Context, by, name string, force bool) error {
	if _, err := s.Get(ctx, name); err != nil {
		return err
	}
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		runs, err := tx.Runs(core.RunFilter{Project: name, Statuses: []core.RunStatus{core.RunQueued, core.RunPreparing, core.RunPlanning,
			core.RunChecking, core.RunApplying, core.RunProvisioning, core.RunVerifying, core.RunBuilding}})
		if err != nil {
			return err
		}
		if len(runs) > 0 {
			return core.Errorf(core.Conflict, "%s has runs under way (%s, %s); cancel its rollouts first: terrace rollout list --project %s", name, runs[0].ID, runs[0].Instance(), name)
		}
		if p, err := tx.Project(name); err != nil {
			return err
		} else if p.Sandbox != nil {
			return core.Errorf(core.Conflict, "%s is a sandbox of %s; destroy it: terrace sandbox destroy %[1]s --project %[2]s", p.Sandbox.Name, p.Sandbox.Of)
		}
		boxes, err := SandboxesOf(tx, name)
		if err != nil {
			return err
		}
		if len(boxes) > 0 {
			return core.Errorf(core.Conflict, "%s has sandboxes (%s); destroy them first: terrace sandbox list --project %[1]s", name, boxes[0].Sandbox.Name)
		}
		states, err := tx.CurrentStates(name)
		if err != nil {
			return err
		}
		for _, v := range states {
			if v.Resources > 0 && !force {
				return core.Errorf(core.Conflict, "the state of %s still has %d resources, which would be forgotten, not destroyed; pull a copy (terrace state pull %[1]s) and repeat with --force",
					core.InstanceName(v.Stack, v.Environment), v.Resources)
			}
		}
		if err := tx.RemoveProject(name); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "project.removed", Project: name, On: name})
	})
	s.Bus.Changed(name)
	return err
}

// Acknowledge accepts a rewritten history (rule 2): promotion goes on from the new head.
func (s *Service) Acknowledge(ctx context.Context, by, name string) error {
	p, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	if p.Stopped == "" {
		return core.Errorf(core.Conflict, "%s is not stopped; there is nothing to acknowledge", name)
	}
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		p, err := tx.Project(name)
		if err != nil {
			return err
		}
		latest, err := tx.LatestRelease(name)
		if err != nil {
			return err
		}
		p.Stopped, p.Head, p.Acknowledged = "", "", latest.Number
		if err := tx.UpdateProject(p); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "project.acknowledged", Project: name, On: name, Data: map[string]string{"head": p.StoppedHead}})
	}); err != nil {
		return err
	}
	return s.Refresh(ctx, name, by)
}

func (s *Service) reader(project string) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading == nil {
		s.reading = map[string]*sync.Mutex{}
	}
	if s.reading[project] == nil {
		s.reading[project] = new(sync.Mutex)
	}
	return s.reading[project]
}

// Refresh reads the branch and records what is new. by says what asked for it:
// "poll", "webhook" or a person. A failure to read is kept with the project and
// returned.
func (s *Service) Refresh(ctx context.Context, name, by string) error {
	lock := s.reader(name)
	lock.Lock()
	defer lock.Unlock()
	p, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	if p.Sandbox != nil && !p.Sandbox.Ending.IsZero() {
		return nil // nothing enters it any more
	}
	head, err := s.Source.Fetch(ctx, p.Repo, p.Branch)
	if p.Sandbox != nil && core.CodeOf(err) == core.NotFound && s.BranchGone != nil {
		return s.BranchGone(ctx, p)
	}
	if err == nil && head == p.Head && p.CheckError == "" {
		return nil // nothing new; the row is not touched, so that an idle server writes nothing
	}
	if err == nil {
		err = s.record(ctx, p, head, by)
	}
	if err != nil && ctx.Err() == nil && p.CheckError != core.MessageOf(err) {
		if storeErr := s.Store.Update(ctx, func(tx core.Tx) error {
			p, err := tx.Project(name)
			if err != nil {
				return err
			}
			return tx.UpdateProject(withCheckError(p, core.MessageOf(err)))
		}); storeErr != nil {
			s.Log.Error("storing a failed reading", "project", name, "error", storeErr)
		}
	}
	s.Bus.Changed(name)
	return err
}

func withCheckError(p core.Project, message string) core.Project {
	p.CheckError = message
	return p
}

// found is a commit with what its configuration says.
type found struct {
	release core.Release
	cfg     *config.Config // nil when it is invalid
	modules map[string][]core.ResolvedModule
}

func (s *Service) record(ctx context.Context, p core.Project, head, by string) error {
	known, deployed, err := s.known(ctx, p)
	if err != nil {
		return err
	}
	if p.Stopped != "" && p.StoppedHead == head {
		return nil
	}
	// Rule 2: every commit that is deployed somewhere has to be on the branch still. The branch
	// of a sandbox is its owner's, who may do with it what they like.
	if p.Head != "" && p.Sandbox == nil {
		for _, commit := range deployed {
			on, err := s.Source.IsFirstParent(ctx, p.Repo, commit, head)
			if err != nil {
				return err
			}
			if !on {
				return s.stop(ctx, p.Name, commit, head)
			}
		}
	}
	from := p.Head
	if from != "" {
		if on, err := s.Source.IsFirstParent(ctx, p.Repo, from, head); err != nil {
			return err
		} else if !on {
			from = "" // rewritten above what is deployed: nobody is hurt
		}
	}
	limit := recordLimit
	if from == "" {
		limit = 1
	}
	commits, err := s.Source.Commits(ctx, p.Repo, from, head, limit)
	if err != nil {
		return err
	}
	var fresh []found
	before, err := s.modulesBefore(ctx, p)
	if err != nil {
		return err
	}
	for _, c := range commits {
		if known[c.Hash] {
			continue
		}
		f := found{release: core.Release{Project: p.Name, Commit: c.Hash, Author: c.Author, Committer: c.Committer, Message: c.Message, Committed: c.Time, Barrier: barrier(c.Message)}}
		if f.cfg, err = s.Wanted.Config(ctx, p, c.Hash); err == nil {
			err = f.cfg.GuardProblems()
		}
		if core.CodeOf(err) == core.Invalid {
			f.cfg, f.release.Invalid = nil, core.MessageOf(err)
		} else if err != nil {
			return err
		} else if s.Modules != nil {
			switch f.modules, err = s.Modules(ctx, p, f.cfg, c.Hash, before); core.CodeOf(err) {
			case "":
				before = f.modules
			case core.Invalid, core.NotFound:
				f.release.Invalid, f.cfg = core.MessageOf(err), nil
			default:
				return err
			}
		}
		fresh = append(fresh, f)
	}
	position, err := s.Source.Position(ctx, p.Repo, head)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx core.Tx) error {
		p, err := tx.Project(p.Name)
		if err != nil {
			return err
		}
		next := position - int64(len(fresh)) + 1
		if latest, err := tx.LatestRelease(p.Name); err == nil {
			next = max(next, latest.Number+1)
		} else if core.CodeOf(err) != core.NotFound {
			return err
		}
		if p.Sandbox != nil && known[head] {
			// Its owner went back to a commit that was there before.
			if err := again(tx, p, head, next, by); err != nil {
				return err
			}
		}
		for i, f := range fresh {
			f.release.Number = next + int64(i)
			f.release.Created = tx.Now()
			if err := tx.AddRelease(f.release); err != nil {
				return err
			}
			if len(f.modules) > 0 {
				if err := tx.PutReleaseModules(p.Name, f.release.Commit, f.modules); err != nil {
					return err
				}
			}
			if err := tx.AddEvent(core.Event{By: "server", Kind: "release.made", Project: p.Name, On: f.release.Commit,
				Data: map[string]string{"number": fmt.Sprint(f.release.Number)}}); err != nil {
				return err
			}
			if i == len(fresh)-1 || f.release.Barrier || everyCommit(f.cfg) {
				if _, err := AddRollout(tx, f.release, f.cfg, core.Rollout{By: by}); err != nil {
					return err
				}
			}
		}
		p.Head, p.Checked, p.CheckError, p.Stopped, p.StoppedHead = head, tx.Now(), "", "", ""
		return tx.UpdateProject(p)
	})
}

// modulesBefore is what the newest release got of the module registry; of a new sandbox, what
// the newest release of its base did.
func (s *Service) modulesBefore(ctx context.Context, p core.Project) (before map[string][]core.ResolvedModule, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		name := p.Name
		r, err := NewestValid(tx, name)
		if core.CodeOf(err) == core.Conflict && p.Sandbox != nil {
			name = p.Sandbox.Of
			r, err = NewestValid(tx, name)
		}
		if core.CodeOf(err) == core.Conflict {
			return nil
		} else if err != nil {
			return err
		}
		before, err = tx.ReleaseModules(name, r.Commit)
		return err
	})
	return before, err
}

// again lets a commit of a sandbox's branch in once more, as the newest.
func again(tx core.Tx, p core.Project, head string, number int64, by string) error {
	r, err := tx.Release(p.Name, head)
	if err != nil || r.Invalid != "" {
		return err
	}
	if err := tx.RenumberRelease(p.Name, head, number); err != nil {
		return err
	}
	r.Number = number
	_, err = AddOne(tx, r, core.Rollout{Kind: core.RolloutPromotion, By: by}, p.Sandbox.Name)
	return err
}

// SandboxesOf lists the sandboxes of a project, by name.
func SandboxesOf(tx core.Tx, project string) ([]core.Project, error) {
	all, err := tx.Projects()
	return slices.DeleteFunc(all, func(p core.Project) bool { return p.Sandbox == nil || p.Sandbox.Of != project }), err
}

// NewestValid is the newest release whose configuration holds. Conflict when there is none.
func NewestValid(tx core.Tx, project string) (core.Release, error) {
	releases, err := tx.Releases(project, 50)
	if err != nil {
		return core.Release{}, err
	}
	for _, r := range releases {
		if r.Invalid == "" {
			return r, nil
		}
	}
	return core.Release{}, core.Errorf(core.Conflict, "%s has no release whose configuration holds; push one", project)
}

// GuardMisfits says of which projects the newest release cannot take the values that the
// guardrails give its variables, and why.
func (s *Service) GuardMisfits(ctx context.Context) (out []string, err error) {
	newest := map[string]core.Release{}
	var all []core.Project
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		if all, err = tx.Projects(); err != nil {
			return err
		}
		for _, p := range all {
			release, err := NewestValid(tx, p.Name)
			if err != nil && core.CodeOf(err) != core.Conflict {
				return err
			}
			newest[p.Name] = release
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, p := range all {
		if newest[p.Name].Commit == "" {
			continue
		}
		cfg, err := s.Wanted.Config(ctx, p, newest[p.Name].Commit)
		if err == nil {
			err = cfg.GuardProblems()
		}
		if err != nil {
			out = append(out, fmt.Sprintf("release %d of %s: %s", newest[p.Name].Number, p.Name, core.MessageOf(err)))
		}
	}
	return out, nil
}

// known returns the commits that are releases, and those deployed in an environment.
func (s *Service) known(ctx context.Context, p core.Project) (known map[string]bool, deployed []string, err error) {
	known = map[string]bool{}
	err = s.Store.View(ctx, func(tx core.Tx) error {
		releases, err := tx.Releases(p.Name, 0)
		if err != nil {
			return err
		}
		byNumber := map[int64]string{}
		for _, r := range releases {
			known[r.Commit] = true
			byNumber[r.Number] = r.Commit
		}
		environments, err := tx.Environments(p.Name)
		if err != nil {
			return err
		}
		for _, e := range environments {
			if c := byNumber[e.Entered]; c != "" && e.Entered > p.Acknowledged {
				deployed = append(deployed, c)
			}
		}
		return nil
	})
	return known, deployed, err
}

func (s *Service) stop(ctx context.Context, project, commit, head string) error {
	return s.Store.Update(ctx, func(tx core.Tx) error {
		p, err := tx.Project(project)
		if err != nil {
			return err
		}
		p.Stopped = fmt.Sprintf("the history of %s was rewritten: commit %s, which is deployed, is no longer on it (its head is now %s). Nothing is promoted until somebody accepts the new history: terrace project acknowledge %s",
			p.Branch, core.ShortCommit(commit), core.ShortCommit(head), project)
		p.StoppedHead, p.Checked, p.CheckError = head, tx.Now(), ""
		if err := tx.UpdateProject(p); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: "server", Kind: "project.stopped", Project: project, On: project, Data: map[string]string{"commit": commit, "head": head}})
	})
}

// AddRollout stores a rollout of a release through the environments of its own
// configuration. With an invalid configuration it has no stages and fails at once. Of why,
// By, Manual and AllHosts count.
func AddRollout(tx core.Tx, r core.Release, cfg *config.Config, why core.Rollout) (core.Rollout, error) {
	now := tx.Now()
	ro := core.Rollout{ID: core.NewID(core.PrefixRollout, now), Project: r.Project, Kind: core.RolloutPromotion, Release: r, Status: core.RolloutRunning,
		By: why.By, Manual: why.Manual, AllHosts: why.AllHosts, Created: now}
	if cfg != nil {
		for i, e := range cfg.Environments {
			ro.Stages = append(ro.Stages, core.Stage{ID: core.NewID(core.PrefixStage, now), Rollout: ro.ID, Project: r.Project,
				Environment: e.Name, Position: i, Status: core.StageWaiting})
		}
	}
	if err := tx.AddRollout(ro); err != nil {
		return ro, err
	}
	data := map[string]string{"release": fmt.Sprint(r.Number), "commit": r.Commit}
	if ro.AllHosts {
		data["all_hosts"] = "true"
	}
	return ro, tx.AddEvent(core.Event{By: ro.By, Kind: "rollout.started", Project: r.Project, On: ro.ID, Data: data})
}

// AddOne stores a rollout of a release through one environment. Of why, Kind, By, Manual, From,
// Reason and Repairs count. The event is the caller's.
func AddOne(tx core.Tx, r core.Release, why core.Rollout, environment string) (core.Rollout, error) {
	now := tx.Now()
	ro := why
	ro.ID, ro.Project, ro.Release, ro.Status, ro.Created = core.NewID(core.PrefixRollout, now), r.Project, r, core.RolloutRunning, now
	ro.Stages = []core.Stage{{ID: core.NewID(core.PrefixStage, now), Rollout: ro.ID, Project: r.Project, Environment: environment, Status: core.StageWaiting}}
	return ro, tx.AddRollout(ro)
}

// AddRollback makes a rollout that takes one environment back to a release (rule 21). Of
// why, By, Manual, From and Reason count.
func AddRollback(tx core.Tx, to core.Release, why core.Rollout, environment string) (core.Rollout, error) {
	why.Kind = core.RolloutRollback
	ro, err := AddOne(tx, to, why, environment)
	if err != nil {
		return ro, err
	}
	return ro, tx.AddEvent(core.Event{By: ro.By, Kind: "rollback.started", Project: to.Project, On: ro.ID,
		Data: map[string]string{"environment": environment, "from": fmt.Sprint(ro.From), "release": fmt.Sprint(to.Number), "commit": to.Commit, "reason": ro.Reason}})
}

func everyCommit(cfg *config.Config) bool {
	if cfg == nil {
		return false
	}
	for _, e := range cfg.Environments {
		if e.Queue == "every" {
			return true
		}
	}
	return false
}

// barrier looks for the trailer of rule 7 in the last paragraph of a commit message.
func barrier(message string) bool {
	paragraphs := strings.Split(strings.TrimSpace(strings.ReplaceAll(message, "\r\n", "\n")), "\n\n")
	for line := range strings.SplitSeq(paragraphs[len(paragraphs)-1], "\n") {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(strings.TrimSpace(key), "Terrace-Barrier") && strings.EqualFold(strings.TrimSpace(value), "true") {
			return true
		}
	}
	return false
}
