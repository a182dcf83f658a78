package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// gitea is a repository on Gitea or Forgejo, whose API is GitHub's in great part.
type gitea struct {
	*conn
	repo  string // owner/name
	root  string // what paths in the API begin with
	page  string
	token string
}

func openGitea(c Config) *gitea {
	header := http.Header{}
	header.Set("Accept", "application/json")
	return &gitea{repo: c.Repo, root: "/repos/" + c.Repo, page: c.URL + "/" + c.Repo, token: c.Token, conn: &conn{
		name: "Gitea (" + hostOf(c.URL) + ")", api: c.URL + "/api/v1", client: c.httpClient(), header: header, where: c.where(),
		auth: func(context.Context) (string, error) { return "token " + c.Token, nil },
	}}
}

type giteaPull struct {
	Number int64       `json:"number"`
	Title  string      `json:"title"`
	Draft  bool        `json:"draft"`
	User   *githubUser `json:"user"`
	Head   struct {
		Label string `json:"label"`
		Ref   string `json:"ref"`
		SHA   string `json:"sha"`
		Repo  int64  `json:"repo_id"`
	} `json:"head"`
	Base struct {
		Ref  string `json:"ref"`
		Repo int64  `json:"repo_id"`
	} `json:"base"`
}

// fork: besides forks, Gitea takes pull requests that are pushed to refs/for, by anybody who may read. They come from no branch of the
// repository, and are as foreign.
func (p giteaPull) fork() bool {
	return p.Base.Repo == 0 || p.Head.Repo != p.Base.Repo || strings.HasPrefix(p.Head.Ref, "refs/")
}

func (g *gitea) Pulls(ctx context.Context, target string) ([]Pull, error) {
	r := request{what: "list the pull requests of " + g.repo, method: http.MethodGet, path: g.root + "/pulls",
		query: url.Values{"state": {"open"}, "base_branch": {target}, "sort": {"oldest"}}}
	var pulls []Pull
	err := each(ctx, g.conn, r, [2]string{"limit", "50"}, func(p giteaPull) {
		branch := p.Head.Label
		if branch == "" {
			branch = p.Head.Ref
		}
		pull, ok := Pull{
			Number: p.Number, Title: p.Title, Author: loginOf(p.User), URL: fmt.Sprintf("%s/pulls/%d", g.page, p.Number),
			Branch: branch, Commit: p.Head.SHA, Target: p.Base.Ref, Draft: p.Draft, Fork: p.fork(), Ref: fmt.Sprintf("refs/pull/%d/head", p.Number),
		}.checked()
		if ok && pull.Target == target { // versions before 1.23 don't know base_branch
			pulls = append(pulls, pull)
		}
	})
	return ordered(pulls), err
}

// CommentLimit: Gitea has none of its own; this is what its oldest databases keep, and more than anybody reads.
func (g *gitea) CommentLimit() int { return 65535 }

func (g *gitea) Comment(ctx context.Context, pull int64, id, text string) (string, error) {
	made, err := issueComment(ctx, g.conn, g.root, g.CommentLimit(), pull, id, text)
	return made, g.unlessGone(ctx, err, request{what: fmt.Sprintf("find pull request %d", pull), method: http.MethodGet, path: fmt.Sprintf("%s/pulls/%d", g.root, pull)})
}

// unlessGone returns err, or that what it is about is not there: Gitea calls itself broken then.
func (g *gitea) unlessGone(ctx context.Context, err error, find request) error {
	if _, waits := Wait(err); waits || core.CodeOf(err) != core.Unavailable || ctx.Err() != nil {
		return err
	}
	if _, there := g.do(ctx, find, nil); core.CodeOf(there) == core.NotFound {
		return there
	}
	return err
}

// giteaText is how many characters of a status Gitea shows in one line.
const giteaText = 255

func (g *gitea) Status(ctx context.Context, commit string, s Status) error {
	err := commitStatus(ctx, g.conn, g.root, giteaText, commit, s)
	return g.unlessGone(ctx, err, request{what: fmt.Sprintf("find commit %.12s", commit), method: http.MethodGet, path: g.root + "/git/commits/" + commit})
}

// Login: Gitea takes a token as the password of any user.
func (g *gitea) Login(context.Context) (Login, error) {
	return Login{User: "terrace", Password: g.token}, nil
}

// MayPush needs a token of an administrator of the repository: Gitea shows others only what they may themselves.
func (g *gitea) MayPush(ctx context.Context, user string) (bool, error) {
	return collaborates(ctx, g.conn, g.root, user)
}

func (g *gitea) Check(ctx context.Context) error {
	var repo struct {
		Archived    bool  `json:"archived"`
		Pulls       *bool `json:"has_pull_requests"`
		Permissions *struct {
			Push bool `json:"push"`
		} `json:"permissions"`
	}
	if _, err := g.do(ctx, request{what: "see the repository", method: http.MethodGet, path: g.root}, &repo); err != nil {
		return err
	}
	switch {
	case repo.Archived:
		return core.Errorf(core.Denied, "%s: the repository is archived: nobody can comment there", g.name)
	case repo.Pulls != nil && !*repo.Pulls:
		return core.Errorf(core.Denied, "%s: pull requests are switched off in the repository's settings", g.name)
	case repo.Permissions == nil || !repo.Permissions.Push:
		return core.Errorf(core.Denied, "%s: the token's owner may not write to the repository, and so can't set statuses; make it a collaborator who may write", g.name)
	}
	// What can't exist is written to: whether that is refused for what it is, or for who asks, tells which scopes the token has.
	for _, r := range []request{
		{what: "edit comments (scope write:issue)", method: http.MethodPatch, path: g.root + "/issues/comments/0", body: map[string]string{"body": "terrace"}},
		{what: "set statuses of commits (scope write:repository)", method: http.MethodPatch, path: g.root + "/pulls/0", body: map[string]string{}},
	} {
		if err := g.probe(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
