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
	f, _, err := s.checked(ctx, p.Name, p.Repo, c)
	if err != nil {
		return p, err
	}
	if p, err = s.setForge(ctx, by, project, f); err == nil {
		s.Ask(project)
	}
	return p, err
}

// Add is projects.Service's for a repository that is read with the login of its forge.
func (s *Service) Add(ctx context.Context, by, name, repo, branch, dir string, c forge.Config) (core.Project, error) {
	if err := core.CheckName("project", name); err != nil {
		return core.Project{}, err
	}
	f, conversation, err := s.checked(ctx, name, repo, c)
	if err != nil {
		return core.Project{}, err
	}
	s.mu.Lock()
	if s.adding == nil {
		s.adding = map[string]client{}
	}
	s.adding[repo] = client{*f, conversation}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.adding, repo)
	}()
	if _, err := s.Projects.Add(ctx, by, name, repo, branch, dir); err != nil {
		return core.Project{}, err
	}
	p, err := s.setForge(ctx, by, name, f)
	if err == nil {
		s.Ask(name)
	}
	return p, err
}

// checked completes what is said of a forge by the repository's address, asks the forge
// whether it works, and seals it.
func (s *Service) checked(ctx context.Context, project, repo string, c forge.Config) (*core.Forge, forge.Client, error) {
	if kind, at, path, ok := forge.Detect(repo); ok {
		c.Kind, c.URL, c.Repo = cmp.Or(c.Kind, kind), cmp.Or(c.URL, at), cmp.Or(c.Repo, path)
	}
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	conversation, err := forge.Open(c)
	if err != nil {
		return nil, nil, err
	}
	if err := conversation.Check(ctx); err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(login{c.Token, c.App})
	if err != nil {
		return nil, nil, err
	}
	sealed, err := s.Seal.Seal(projects.ForgePurpose(project), text)
	if err != nil {
		return nil, nil, err
	}
	return &core.Forge{Kind: c.Kind, URL: c.URL, Repo: c.Repo, Login: hex.EncodeToString(sealed)}, conversation, nil
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
			open, err := tx.Pulls(project, true)
			if err != nil {
				return err
			}
			for _, pull := range open { // nobody would hear of their end
				pull.Open, pull.Previewed = false, ""
				if err := tx.PutPull(pull); err != nil {
					return err
				}
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
