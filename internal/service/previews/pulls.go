package previews

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/forge"
)

// Read asks the forge which pull requests are open. New commits begin a preview, and end the
// one before; a pull request that is closed ends its preview, and the sandboxes of its branch.
// What a webhook said is a hint to come here, and what it lost is found here.
func (s *Service) Read(ctx context.Context, project string) error {
	p, err := s.Projects.Get(ctx, project)
	if err != nil || p.Forge == nil {
		return err
	}
	if quiet, err := s.quiet(ctx, p); err != nil || quiet {
		return err
	}
	var known []core.Pull
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		known, err = tx.Pulls(project, true)
		return err
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, talkWithin)
	defer cancel()
	c, err := s.client(p)
	var open []forge.Pull
	if err == nil {
		open, err = c.Pulls(ctx, p.Branch)
	}
	s.troubled(ctx, p, err)
	if err != nil {
		return err
	}
	for _, pull := range open {
		if err := s.opened(ctx, p, pull, known); err != nil {
			s.Log.Warn("previewing a pull request", "project", project, "pull", pull.Number, "error", err)
		}
	}
	for _, old := range known {
		if !slices.ContainsFunc(open, func(o forge.Pull) bool { return o.Number == old.Number }) {
			if err := s.closed(ctx, p, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// opened notes what a pull request is now, and previews what is new of it.
func (s *Service) opened(ctx context.Context, p core.Project, now forge.Pull, known []core.Pull) error {
	pull := core.Pull{Project: p.Name, Number: now.Number}
	if i := slices.IndexFunc(known, func(o core.Pull) bool { return o.Number == now.Number }); i >= 0 {
		pull = known[i]
	}
	before := pull
	pull.Open = true
	pull.Title, pull.Author, pull.URL, pull.Branch, pull.Ref = now.Title, now.Author, now.URL, now.Branch, now.Ref
	pull.Commit, pull.Fork, pull.Draft = now.Commit, now.Fork, now.Draft
	if pull != before {
		if err := s.Store.Update(ctx, func(tx core.Tx) error {
			if stored, err := tx.Pull(p.Name, pull.Number); err == nil { // somebody may have let it in meanwhile
				pull.Allowed, pull.AllowedBy, pull.Previewed = stored.Allowed, stored.AllowedBy, stored.Previewed
			} else if core.CodeOf(err) != core.NotFound {
				return err
			}
			return tx.PutPull(pull)
		}); err != nil {
			return err
		}
	}
	if pull.Previewed == pull.Commit {
		return nil
	}
	_, err := s.ofPull(ctx, p, pull, "pull request")
	return err
}

// closed ends what there is of a pull request.
func (s *Service) closed(ctx context.Context, p core.Project, pull core.Pull) error {
	var stopped []core.Run
	var boxes []core.Project
	var ended []core.Preview
	why := fmt.Sprintf("pull request %d was closed", pull.Number)
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		stopped, ended, boxes = nil, nil, nil
		pull, err := tx.Pull(p.Name, pull.Number)
		if err != nil {
			return err
		}
		pull.Open, pull.Previewed = false, "" // opened again, it is previewed again
		if err := tx.PutPull(pull); err != nil {
			return err
		}
		if ended, err = tx.Previews(core.PreviewFilter{Project: p.Name, Pull: pull.Number, Under: true}); err != nil {
			return err
		}
		for _, pv := range ended {
			some, err := s.end(tx, pv, core.PreviewSuperseded, "server", why)
			if err != nil {
				return err
			}
			stopped = append(stopped, some...)
		}
		if !pull.Fork {
			all, err := tx.Projects()
			if err != nil {
				return err
			}
			boxes = slices.DeleteFunc(all, func(b core.Project) bool {
				return b.Sandbox == nil || b.Sandbox.Of != p.Name || b.Branch != pull.Branch || !b.Sandbox.Ending.IsZero()
			})
		}
		return tx.AddEvent(core.Event{By: "server", Kind: "pull.closed", Project: p.Name, On: fmt.Sprint(pull.Number), Data: map[string]string{"branch": pull.Branch}})
	})
	if err != nil {
		return err
	}
	s.interrupt(stopped)
	for _, pv := range ended {
		s.Source.Forget(ctx, p.Repo, pv.Merged)
	}
	for _, b := range boxes {
		if _, err := s.Sandboxes.Destroy(ctx, "server", b.Sandbox.Of, b.Sandbox.Name, why); err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
	}
	s.Bus.Changed(p.Name)
	return nil
}

// Login is a source.Source's: as whom a repository is read that a project's forge hosts.
func (s *Service) Login(ctx context.Context, repo string) (user, password string, err error) {
	s.mu.Lock()
	adding, ok := s.adding[repo]
	s.mu.Unlock()
	if ok && on(adding.forge.URL, repo) {
		login, err := adding.Login(ctx)
		return login.User, login.Password, err
	}
	var of core.Project
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		all, err := tx.Projects()
		for _, p := range all {
			if p.Repo == repo && p.Forge != nil && on(p.Forge.URL, repo) {
				of = p
			}
		}
		return err
	}); err != nil || of.Forge == nil {
		return "", "", err
	}
	c, err := s.client(of)
	if err != nil {
		return "", "", err
	}
	login, err := c.Login(ctx)
	return login.User, login.Password, err
}

// on reports whether a repository is on a forge: nobody else is told its token.
func on(forgeURL, repo string) bool {
	return strings.HasPrefix(repo, strings.TrimRight(forgeURL, "/")+"/")
}
