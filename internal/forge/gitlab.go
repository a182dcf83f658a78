package forge

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// gitlab is a project on GitLab, where pull requests are merge requests and comments are notes.
type gitlab struct {
	*conn
	project string
	page    string
	token   string
}

func openGitLab(c Config) *gitlab {
	header := http.Header{}
	header.Set("Accept", "application/json")
	return &gitlab{project: "/projects/" + url.PathEscape(c.Repo), page: c.URL + "/" + c.Repo, token: c.Token, conn: &conn{
		name: "GitLab (" + hostOf(c.URL) + ")", api: c.URL + "/api/v4", client: c.httpClient(), header: header, where: c.where(),
		auth: func(context.Context) (string, error) { return "Bearer " + c.Token, nil },
	}}
}

type gitlabPull struct {
	Number int64  `json:"iid"`
	Title  string `json:"title"`
	Draft  bool   `json:"draft"`
	Author *struct {
		Username string `json:"username"`
	} `json:"author"`
	Branch string `json:"source_branch"`
	Target string `json:"target_branch"`
	SHA    string `json:"sha"`
	From   int64  `json:"source_project_id"` // 0: the fork is gone
	Into   int64  `json:"target_project_id"`
}

func (g *gitlab) Pulls(ctx context.Context, target string) ([]Pull, error) {
	r := request{what: "list the merge requests", method: http.MethodGet, path: g.project + "/merge_requests",
		query: url.Values{"state": {"opened"}, "target_branch": {target}, "order_by": {"created_at"}, "sort": {"asc"}}}
	var pulls []Pull
	err := each(ctx, g.conn, r, [2]string{"per_page", "50"}, func(p gitlabPull) {
		author := "ghost"
		if p.Author != nil {
			author = p.Author.Username
		}
		pull, ok := Pull{
			Number: p.Number, Title: p.Title, Author: author, URL: fmt.Sprintf("%s/-/merge_requests/%d", g.page, p.Number),
			Branch: p.Branch, Commit: p.SHA, Target: p.Target, Draft: p.Draft, Fork: p.From == 0 || p.From != p.Into,
			Ref: fmt.Sprintf("refs/merge-requests/%d/head", p.Number),
		}.checked()
		if ok && pull.Target == target {
			pulls = append(pulls, pull)
		}
	})
	return ordered(pulls), err
}

// CommentLimit is GitLab's own.
func (g *gitlab) CommentLimit() int { return 1_000_000 }

func (g *gitlab) Comment(ctx context.Context, pull int64, id, text string) (string, error) {
	if err := checkComment(pull, id, text, g.CommentLimit()); err != nil {
		return "", err
	}
	r := request{what: fmt.Sprintf("comment on merge request %d", pull), method: http.MethodPost,
		path: fmt.Sprintf("%s/merge_requests/%d/notes", g.project, pull), body: map[string]string{"body": text}}
	if id != "" {
		r.what = fmt.Sprintf("edit comment %s on merge request %d", id, pull)
		r.method, r.path = http.MethodPut, r.path+"/"+id
	}
	var made struct {
		ID int64 `json:"id"`
	}
	if _, err := g.do(ctx, r, &made); err != nil {
		return "", err
	}
	return g.commentID(r, made.ID)
}

// gitlabText is how many characters GitLab keeps of a status.
const gitlabText = 255

// Status: a status is a job of the newest pipeline of the commit, which GitLab makes when there is none, for a branch that has the commit. For a
// fork's commit there is none in the project; the branch is named then.
func (g *gitlab) Status(ctx context.Context, commit string, s Status) error {
	if err := checkStatus(commit, s); err != nil {
		return err
	}
	body := map[string]string{"state": gitlabState(s.State), "name": s.Context, "description": line(s.Text, gitlabText)}
	if s.URL != "" {
		body["target_url"] = s.URL
	}
	r := request{what: fmt.Sprintf("set the status %s of commit %.12s", s.Context, commit), method: http.MethodPost, path: g.project + "/statuses/" + commit, body: body}
	_, err := g.do(ctx, r, nil)
	if core.CodeOf(err) == core.NotFound && strings.Contains(err.Error(), "References for commit") {
		branch, lookup := g.branchOf(ctx, commit)
		if lookup != nil || branch == "" {
			return cmp.Or(lookup, err)
		}
		body["ref"] = branch
		_, err = g.do(ctx, r, nil)
	}
	// A job that runs can't be started, which is how GitLab refuses to be told the same twice.
	if core.CodeOf(err) == core.Invalid && strings.Contains(err.Error(), "Cannot transition status") && s.State == Pending {
		return nil
	}
	return err
}

func gitlabState(state string) string {
	switch state {
	case Pending:
		return "running"
	case Success:
		return "success"
	}
	return "failed"
}

// branchOf returns the branch of an open merge request that has commit as its newest.
func (g *gitlab) branchOf(ctx context.Context, commit string) (string, error) {
	var branch string
	err := each(ctx, g.conn, request{what: fmt.Sprintf("find the merge request of commit %.12s", commit), method: http.MethodGet,
		path: g.project + "/repository/commits/" + commit + "/merge_requests", query: url.Values{"state": {"opened"}}}, [2]string{"per_page", "50"},
		func(p gitlabPull) {
			if p.SHA == commit && branch == "" {
				branch = p.Branch
			}
		})
	return branch, err
}

// Login: GitLab takes a token as the password of any user.
func (g *gitlab) Login(context.Context) (Login, error) {
	return Login{User: "oauth2", Password: g.token}, nil
}

// developer is the lowest role that may push and set statuses.
const developer = 30

func (g *gitlab) MayPush(ctx context.Context, user string) (bool, error) {
	if !plain(user) {
		return false, nil
	}
	var people []struct {
		ID       int64  `json:"id"`
		Username string `json:"username"`
	}
	if _, err := g.do(ctx, request{what: "find the user " + user, method: http.MethodGet, path: "/users", query: url.Values{"username": {user}}}, &people); err != nil {
		return false, err
	}
	for _, person := range people {
		if strings.EqualFold(person.Username, user) {
			return g.isDeveloper(ctx, person.ID, user)
		}
	}
	return false, nil
}

func (g *gitlab) isDeveloper(ctx context.Context, id int64, user string) (bool, error) {
	var member struct {
		Level int    `json:"access_level"`
		State string `json:"state"`
	}
	_, err := g.do(ctx, request{what: "see what " + user + " may do in the project", method: http.MethodGet,
		path: fmt.Sprintf("%s/members/all/%d", g.project, id)}, &member)
	if core.CodeOf(err) == core.NotFound {
		return false, nil
	}
	return err == nil && member.Level >= developer && member.State == "active", err
}

func (g *gitlab) Check(ctx context.Context) error {
	type access struct {
		Level int `json:"access_level"`
	}
	var project struct {
		Archived    bool  `json:"archived"`
		Pulls       *bool `json:"merge_requests_enabled"`
		Permissions struct {
			Project *access `json:"project_access"`
			Group   *access `json:"group_access"`
		} `json:"permissions"`
	}
	if _, err := g.do(ctx, request{what: "see the project", method: http.MethodGet, path: g.project}, &project); err != nil {
		return err
	}
	level := 0
	for _, a := range []*access{project.Permissions.Project, project.Permissions.Group} {
		if a != nil {
			level = max(level, a.Level)
		}
	}
	switch {
	case project.Archived:
		return core.Errorf(core.Denied, "%s: the project is archived: nobody can comment there", g.name)
	case project.Pulls != nil && !*project.Pulls:
		return core.Errorf(core.Denied, "%s: merge requests are switched off in the project's settings", g.name)
	case level < developer:
		return core.Errorf(core.Denied, "%s: the token has no role in the project that may set statuses; it needs the role Developer. %s", g.name, g.where)
	}
	return g.checkScopes(ctx)
}

func (g *gitlab) checkScopes(ctx context.Context) error {
	var token struct {
		Scopes []string `json:"scopes"`
	}
	_, err := g.do(ctx, request{what: "see the token's scopes", method: http.MethodGet, path: "/personal_access_tokens/self"}, &token)
	switch {
	case core.CodeOf(err) == core.NotFound, core.CodeOf(err) == core.Invalid:
		return nil // the token of an OAuth application, which can't be asked
	case err != nil:
		return err
	case !slices.Contains(token.Scopes, "api"):
		return core.Errorf(core.Denied, "%s: the token has the scopes %s; it needs api. %s", g.name, line(strings.Join(token.Scopes, ", "), 200), g.where)
	}
	return nil
}
