package previews

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/forge"
	"github.com/terrace-cd/terrace/internal/wire"
)

// What is said on a forge is kept true: the comment of a pull request is what its newest
// preview tells, the statuses of a commit are what its preview, or its rollout, is at. Each is
// compared with what was said last, so that nothing is said twice and nothing is forgotten
// while the forge is away.

// talkEvery is how often what was said is looked at when nothing says that it changed.
const talkEvery = 20 * time.Second

// talkWithin bounds a conversation.
const talkWithin = 2 * time.Minute

// rolloutsTold is how many of the newest rollouts have statuses.
const rolloutsTold = 5

// Talk keeps what is said on forges true. It works until ctx ends.
func (s *Service) Talk(ctx context.Context) {
	changed := s.Bus.Listen(ctx, "")
	tick := time.NewTicker(talkEvery)
	defer tick.Stop()
	defer s.talks.Wait()
	for {
		all, err := s.Projects.List(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("listing projects", "error", err)
		}
		for _, p := range all {
			if p.Forge != nil {
				s.alone(p.Name, func() { s.say(ctx, p) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		case <-tick.C:
		}
	}
}

// alone does something for a project unless somebody does it already: a forge that hangs
// holds up its own project.
func (s *Service) alone(project string, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.talking == nil {
		s.talking = map[string]bool{}
	}
	if s.talking[project] {
		return
	}
	s.talking[project] = true
	s.talks.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.talking, project)
		}()
		f()
	})
}

// post is something to be said.
type post struct {
	key, digest string
	say         func(ctx context.Context, c forge.Client, id string) (string, error)
}

func digestOf(v any) string {
	text, _ := json.Marshal(v) // of plain values
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (s *Service) say(ctx context.Context, p core.Project) {
	ctx, cancel := context.WithTimeout(ctx, talkWithin)
	defer cancel()
	if quiet, err := s.quiet(ctx, p); err != nil || quiet {
		return
	}
	c, err := s.client(p)
	if err != nil {
		s.troubled(ctx, p, err)
		return
	}
	posts, err := s.posts(ctx, p, c)
	if err != nil {
		s.Log.Error("collecting what a forge is told", "project", p.Name, "error", err)
		return
	}
	for _, one := range posts {
		if err := s.put(ctx, p, c, one); err != nil {
			s.troubled(ctx, p, err)
			if core.CodeOf(err) == core.Unavailable || ctx.Err() != nil {
				return
			}
		}
	}
}

// quiet reports whether a forge asked not to be spoken to now.
func (s *Service) quiet(ctx context.Context, p core.Project) (quiet bool, err error) {
	err = s.Store.Peek(ctx, func(tx core.Tx) error {
		quiet = tx.Now().Before(p.Forge.Quiet)
		return nil
	})
	return quiet, err
}

// put says one thing unless it is said.
func (s *Service) put(ctx context.Context, p core.Project, c forge.Client, one post) error {
	stored := core.Post{Project: p.Name, Key: one.key}
	var now time.Time
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		now = tx.Now()
		known, err := tx.Post(p.Name, one.key)
		if core.CodeOf(err) == core.NotFound {
			return nil
		}
		stored = known
		return err
	}); err != nil {
		return err
	}
	if stored.Digest == one.digest || now.Before(stored.Retry) {
		return nil
	}
	id, err := one.say(ctx, c, stored.ID)
	if core.CodeOf(err) == core.NotFound && stored.ID != "" {
		id, err = one.say(ctx, c, "") // somebody deleted it
	}
	stored.Retry, stored.Error = time.Time{}, ""
	if err == nil {
		stored.ID, stored.Digest, stored.Tries = id, one.digest, 0
	} else {
		stored.Tries++
		stored.Error = core.MessageOf(err)
		stored.Retry = now.Add(min(time.Duration(1<<min(stored.Tries, 10))*5*time.Second, 15*time.Minute))
	}
	return errors.Join(err, s.Store.Update(context.WithoutCancel(ctx), func(tx core.Tx) error {
		if _, err := tx.Project(p.Name); err != nil {
			return err
		}
		return tx.PutPost(stored)
	}))
}

// toldFor is how long what a preview that is over said is looked at once its pull request is
// closed.
const toldFor = time.Hour

// posts are all that shall be said of a project. What a preview has to say follows from what
// it is at, so that its plans are read only when there is something to say.
func (s *Service) posts(ctx context.Context, p core.Project, c forge.Client) (out []post, err error) {
	var newest []core.Preview
	open := map[int64]bool{}
	var rollouts []core.Rollout
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		pulls, err := tx.Pulls(p.Name, true)
		if err != nil {
			return err
		}
		clear(open)
		for _, pull := range pulls {
			open[pull.Number] = true
		}
		all, err := tx.Previews(core.PreviewFilter{Project: p.Name, Limit: keep})
		if err != nil {
			return err
		}
		newest = ofPulls(all, open, tx.Now())
		rollouts, err = tx.Rollouts(p.Name, false, rolloutsTold)
		return err
	}); err != nil {
		return nil, err
	}
	for _, pv := range newest {
		out = append(out, s.ofPreview(ctx, pv, c.CommentLimit(), open[pv.Pull])...)
	}
	for _, ro := range rollouts {
		if ro.Kind != core.RolloutPromotion {
			continue
		}
		for _, st := range rolloutStatuses(ro, s.URL()+"/rollouts/"+ro.ID) {
			out = append(out, status(ro.Release.Commit, st.Context, digestOf(st), func() (forge.Status, error) { return st, nil }))
		}
	}
	return out, nil
}

// ofPulls are the newest previews of pull requests, of those that are closed the ones that
// ended lately. all are newest first.
func ofPulls(all []core.Preview, open map[int64]bool, now time.Time) (newest []core.Preview) {
	seen := map[int64]bool{}
	for _, pv := range all {
		lately := pv.Status.Terminal() && now.Sub(pv.Finished) < toldFor
		if pv.Pull != 0 && !seen[pv.Pull] && (open[pv.Pull] || lately) {
			newest = append(newest, pv)
		}
		seen[pv.Pull] = true
	}
	return newest
}

// ofPreview is what a pull request is told of its preview.
func (s *Service) ofPreview(ctx context.Context, pv core.Preview, limit int, open bool) []post {
	link := s.URL() + "/p/" + url.PathEscape(pv.Project) + "/previews/" + pv.ID
	found := sync.OnceValues(func() (into map[string]said, err error) {
		err = s.Store.View(ctx, func(tx core.Tx) error {
			into = map[string]said{}
			return s.found(tx, pv, into)
		})
		return into, err
	})
	out := []post{{fmt.Sprintf("comment/%d", pv.Pull), digestOf([]any{pv.ID, pv.Status, link}), func(ctx context.Context, c forge.Client, id string) (string, error) {
		runs, err := found()
		if err != nil {
			return "", err
		}
		return c.Comment(ctx, pv.Pull, id, comment(pv, runs, link, limit))
	}}}
	if !open {
		return out
	}
	for i, st := range previewStatuses(pv, nil, link) {
		out = append(out, status(pv.Commit, st.Context, digestOf([]any{pv.ID, pv.Status, link, i}), func() (forge.Status, error) {
			runs, err := found()
			if err != nil {
				return st, err
			}
			return previewStatuses(pv, runs, link)[i], nil
		}))
	}
	return out
}

// status is that of a commit, made when it has to be said.
func status(commit, name, digest string, made func() (forge.Status, error)) post {
	return post{"status/" + commit + "/" + name, digest, func(ctx context.Context, c forge.Client, _ string) (string, error) {
		st, err := made()
		if err != nil {
			return "", err
		}
		return "", c.Status(ctx, commit, st)
	}}
}

// found reads what the runs of a preview that is over have to say.
func (s *Service) found(tx core.Tx, pv core.Preview, into map[string]said) error {
	if !pv.Status.Terminal() {
		return nil
	}
	for _, in := range pv.Instances {
		if in.Run == "" {
			continue
		}
		one, err := s.read(tx, in.Run)
		if err != nil {
			return err
		}
		into[in.Run] = one
	}
	return nil
}

func (s *Service) read(tx core.Tx, run string) (one said, err error) {
	r, err := tx.Run(run)
	if err != nil {
		return one, err
	}
	one.changes = wire.Changes(r.Changes)
	if !r.HasPlan {
		return one, nil
	}
	if err := s.Runs.Doc(tx, run, "plan", &one.plan); err != nil && core.CodeOf(err) != core.NotFound {
		return one, err
	}
	if err := s.Runs.Doc(tx, run, "checks", &one.checks); err != nil && core.CodeOf(err) != core.NotFound {
		return one, err
	}
	return one, nil
}

// previewStatuses are those of a preview's commit: one for all of it, which a branch can be
// protected by, and one for each environment.
func previewStatuses(pv core.Preview, runs map[string]said, link string) []forge.Status {
	state, text := forge.Pending, "planning what it would do"
	switch pv.Status {
	case core.PreviewWaiting:
		text = "a member of the project has to let it in"
	case core.PreviewCancelled, core.PreviewSuperseded:
		state, text = forge.Error, "stopped: "+pv.Why
	case core.PreviewFailed:
		state, text = forge.Failure, pv.Why
	case core.PreviewErrored:
		state, text = forge.Error, pv.Why
	case core.PreviewSucceeded:
		state, text = forge.Success, ""
	}
	told := text != "" // before anything was planned
	if !told {
		text = total(pv.Instances, runs)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	out := []forge.Status{{Context: "terrace/" + pv.Project, State: state, Text: first, URL: link}}
	for _, e := range pv.Environments {
		st := forge.Status{Context: "terrace/" + pv.Project + "/" + e, State: state, Text: first, URL: link}
		if !told {
			st.State, st.Text = verdictOf(of(pv, e)), total(of(pv, e), runs)
		}
		out = append(out, st)
	}
	return out
}

func verdictOf(all []core.PreviewInstance) string {
	switch verdict(all) {
	case core.PreviewFailed:
		return forge.Failure
	case core.PreviewErrored:
		return forge.Error
	}
	return forge.Success
}

// rolloutStatuses are those of a release's commit. What was skipped, because a newer release
// went instead, did not fail.
func rolloutStatuses(ro core.Rollout, link string) []forge.Status {
	all := forge.Status{Context: "terrace/" + ro.Project, State: forge.Pending, Text: string(ro.Status), URL: link}
	switch ro.Status {
	case core.RolloutSucceeded:
		all.State, all.Text = forge.Success, "applied and verified in every environment"
	case core.RolloutFailed:
		all.State = forge.Failure
	case core.RolloutErrored, core.RolloutUnknown, core.RolloutCancelled:
		all.State = forge.Error
	case core.RolloutSuperseded:
		all.State, all.Text = forge.Success, "a newer release goes instead"
	}
	if ro.Release.Invalid != "" {
		all.Text, _, _ = strings.Cut(strings.TrimSpace(ro.Release.Invalid), "\n")
	}
	out := []forge.Status{all}
	for _, stage := range ro.Stages {
		st := forge.Status{Context: all.Context + "/" + stage.Environment, State: forge.Pending, Text: string(stage.Status), URL: link}
		switch stage.Status {
		case core.StageWaiting:
			st.Text = "waits for the environment before it"
			if stage.WaitsFor != "" {
				st.Text = "waits for " + stage.WaitsFor
			}
		case core.StageSucceeded:
			st.State, st.Text = forge.Success, "applied and verified"
		case core.StageFailed:
			st.State = forge.Failure
		case core.StageErrored, core.StageUnknown, core.StageCancelled:
			st.State = forge.Error
		case core.StageSuperseded:
			st.State, st.Text = forge.Success, "a newer release goes instead"
		}
		out = append(out, st)
	}
	return out
}

// troubled notes why a forge cannot be spoken with, and until when it wants to be left alone.
func (s *Service) troubled(ctx context.Context, p core.Project, why error) {
	message := ""
	if why != nil {
		message = core.MessageOf(why)
	}
	quiet, limited := forge.Wait(why)
	if p.Forge.Trouble == message && !limited {
		return
	}
	if message != "" {
		s.Log.Warn("speaking with a forge", "project", p.Name, "error", why)
	}
	err := s.Store.Update(context.WithoutCancel(ctx), func(tx core.Tx) error {
		p, err := tx.Project(p.Name)
		if err != nil || p.Forge == nil {
			return err
		}
		p.Forge.Trouble, p.Forge.Quiet = message, time.Time{}
		if limited {
			p.Forge.Quiet = tx.Now().Add(quiet)
		}
		return tx.UpdateProject(p)
	})
	if err != nil && core.CodeOf(err) != core.NotFound {
		s.Log.Error("noting that a forge is away", "project", p.Name, "error", err)
	}
}
