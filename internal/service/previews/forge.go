package previews

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/forge"
	"github.com/terrace-cd/terrace/internal/service/projects"
)

// login is what is sealed of a forge.
type login struct {
	Token string     `json:"token,omitempty"`
	App   *forge.App `json:"app,omitempty"`
}

// SetForge says where a project's repository is hosted and as whom Terrace is there, and asks
// whether that works. What c leaves out is what the repository's address tells. Errors: Invalid;
// Denied for a token that is refused, or may too little.
func (s *Service) SetForge(ctx context.Context, by, project string, c forge.Config) (core.Project, error) {
	p, err := s.Projects.Get(ctx, project)
	if err != nil {
		return p, err
	}
	if p.Sandbox != nil {
		return p, core.Errorf(core.Invalid, "%s is a sandbox; its repository is that of %s", p.Sandbox.Name, p.Sandbox.Of)
	}
	if kind, at, repo, ok := forge.Detect(p.Repo); ok {
		c.Kind, c.URL, c.Repo = cmp.Or(c.Kind, kind), cmp.Or(c.URL, at), cmp.Or(c.Repo, repo)
	}
	if err := c.Validate(); err != nil {
		return p, err
	}
	conversation, err := forge.Open(c)
	if err != nil {
		return p, err
	}
	if err := conversation.Check(ctx); err != nil {
		return p, err
	}
	text, err := json.Marshal(login{c.Token, c.App})
	if err != nil {
		return p, err
	}
	sealed, err := s.Seal.Seal(projects.ForgePurpose(project), text)
	if err != nil {
		return p, err
	}
	p, err = s.setForge(ctx, by, project, &core.Forge{Kind: c.Kind, URL: c.URL, Repo: c.Repo, Login: hex.EncodeToString(sealed)})
	if err == nil {
		s.Ask(project)
	}
	return p, err
}

// RemoveForge forgets where a project's repository is hosted. Its pull requests are not
// known any more; what was said there stays.
func (s *Service) RemoveForge(ctx context.Context, by, project string) (core.Project, error) {
	return s.setForge(ctx, by, project, nil)
}

func (s *Service) setForge(ctx context.Context, by, project string, f *core.Forge) (p core.Project, err error) {
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if p, err = tx.Project(project); err != nil {
			return err
		}
		kind, data := "project.forge_set", map[string]string{}
		if f == nil {
			kind = "project.forge_removed"
			if p.Forge == nil {
				return core.Errorf(core.NotFound, "nobody has said where %s is hosted", project)
			}
		} else {
			data = map[string]string{"kind": f.Kind, "url": f.URL, "repo": f.Repo}
		}
		p.Forge = f
		if err := tx.UpdateProject(p); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: kind, Project: project, On: project, Data: data})
	})
	s.Bus.Changed(project)
	return p, err
}

// client is the conversation with a project's forge.
func (s *Service) client(p core.Project) (forge.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	about := *p.Forge
	about.Trouble, about.Quiet = "", p.Created // of no account
	if c, ok := s.clients[p.Name]; ok && c.forge == about {
		return c.Client, nil
	}
	sealed, err := hex.DecodeString(p.Forge.Login)
	if err != nil {
		return nil, err
	}
	text, err := s.Seal.Open(projects.ForgePurpose(p.Name), sealed)
	if err != nil {
		return nil, err
	}
	var l login
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, err
	}
	c, err := forge.Open(forge.Config{Kind: p.Forge.Kind, URL: p.Forge.URL, Repo: p.Forge.Repo, Token: l.Token, App: l.App})
	if err != nil {
		return nil, err
	}
	if s.clients == nil {
		s.clients = map[string]client{}
	}
	s.clients[p.Name] = client{about, c}
	return c, nil
}
