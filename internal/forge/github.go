package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// github is a repository on GitHub: github.com, a GitHub server, or one under ghe.com.
type github struct {
	*conn
	repo string // owner/name
	root string // what paths in the API begin with
	page string
	// app is nil when there is a token.
	app *installation
}

func openGitHub(c Config, now func() time.Time) (*github, error) {
	g := &github{repo: c.Repo, root: "/repos/" + c.Repo, page: c.URL + "/" + c.Repo, conn: githubConn(c)}
	if c.App == nil {
		g.auth = func(context.Context) (string, error) { return "Bearer " + c.Token, nil }
		return g, nil
	}
	app, err := openInstallation(c, now)
	if err != nil {
		return nil, err
	}
	g.app = app
	g.auth = func(ctx context.Context) (string, error) {
		g, err := app.current(ctx)
		return "Bearer " + g.Token, err
	}
	g.refused = app.forget
	return g, nil
}

func githubConn(c Config) *conn {
	header := http.Header{}
	header.Set("Accept", "application/vnd.github+json")
	header.Set("X-GitHub-Api-Version", "2022-11-28")
	return &conn{name: "GitHub (" + hostOf(c.URL) + ")", api: githubAPI(c.URL), client: c.httpClient(), header: header, where: c.where()}
}

// githubAPI is where the API of a GitHub is, by the address of its pages.
func githubAPI(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return page
	}
	host := strings.ToLower(u.Host)
	if host == "github.com" || host == "www.github.com" {
		return "https://api.github.com"
	}
	if strings.HasSuffix(host, ".ghe.com") {
		return "https://api." + host
	}
	return page + "/api/v3"
}

func hostOf(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return page
	}
	return u.Host
}

type githubPull struct {
	Number int64       `json:"number"`
	Title  string      `json:"title"`
	Draft  bool        `json:"draft"`
	User   *githubUser `json:"user"` // null: the account is gone
	Head   struct {
		Ref  string      `json:"ref"`
		SHA  string      `json:"sha"`
		Repo *githubRepo `json:"repo"` // null: the fork is gone
	} `json:"head"`
	Base struct {
		Ref  string      `json:"ref"`
		Repo *githubRepo `json:"repo"`
	} `json:"base"`
}

type githubUser struct {
	Login string `json:"login"`
}

type githubRepo struct {
	ID          int64 `json:"id"`
	Private     bool  `json:"private"`
	Archived    bool  `json:"archived"`
	Permissions struct {
		Push bool `json:"push"`
	} `json:"permissions"`
}

func (g *github) Pulls(ctx context.Context, target string) ([]Pull, error) {
	r := request{what: "list the pull requests of " + g.repo, method: http.MethodGet, path: g.root + "/pulls",
		query: url.Values{"state": {"open"}, "base": {target}, "sort": {"created"}, "direction": {"asc"}}}
	var pulls []Pull
	err := each(ctx, g.conn, r, [2]string{"per_page", "100"}, func(p githubPull) {
		pull, ok := Pull{
			Number: p.Number, Title: p.Title, Author: loginOf(p.User), URL: fmt.Sprintf("%s/pull/%d", g.page, p.Number),
			Branch: p.Head.Ref, Commit: p.Head.SHA, Target: p.Base.Ref, Draft: p.Draft, Ref: fmt.Sprintf("refs/pull/%d/head", p.Number),
			Fork: p.Head.Repo == nil || p.Base.Repo == nil || p.Head.Repo.ID != p.Base.Repo.ID,
		}.checked()
		if ok && pull.Target == target {
			pulls = append(pulls, pull)
		}
	})
	return ordered(pulls), err
}

func loginOf(u *githubUser) string {
	if u == nil {
		return "ghost" // as GitHub calls who is gone
	}
	return u.Login
}

// CommentLimit is GitHub's own.
func (g *github) CommentLimit() int { return 65536 }

func (g *github) Comment(ctx context.Context, pull int64, id, text string) (string, error) {
	return issueComment(ctx, g.conn, g.root, g.CommentLimit(), pull, id, text)
}

// issueComment is the same on GitHub and on Gitea, which took over its API.
func issueComment(ctx context.Context, c *conn, root string, limit int, pull int64, id, text string) (string, error) {
	if err := checkComment(pull, id, text, limit); err != nil {
		return "", err
	}
	r := request{what: fmt.Sprintf("comment on pull request %d", pull), method: http.MethodPost,
		path: fmt.Sprintf("%s/issues/%d/comments", root, pull), body: map[string]string{"body": text}}
	if id != "" {
		r.what = fmt.Sprintf("edit comment %s on pull request %d", id, pull)
		r.method, r.path = http.MethodPatch, root+"/issues/comments/"+id
	}
	var made struct {
		ID int64 `json:"id"`
	}
	if _, err := c.do(ctx, r, &made); err != nil {
		return "", err
	}
	return c.commentID(r, made.ID)
}

// githubText is how many characters GitHub keeps of a status.
const githubText = 140

func (g *github) Status(ctx context.Context, commit string, s Status) error {
	return commitStatus(ctx, g.conn, g.root, githubText, commit, s)
}

// commitStatus is the same on GitHub and on Gitea.
func commitStatus(ctx context.Context, c *conn, root string, limit int, commit string, s Status) error {
	if err := checkStatus(commit, s); err != nil {
		return err
	}
	body := map[string]string{"state": s.State, "context": s.Context, "description": line(s.Text, limit)}
	if s.URL != "" {
		body["target_url"] = s.URL
	}
	_, err := c.do(ctx, request{what: fmt.Sprintf("set the status %s of commit %.12s", s.Context, commit), method: http.MethodPost,
		path: root + "/statuses/" + commit, body: body}, nil)
	return err
}

func (g *github) Login(ctx context.Context) (Login, error) {
	auth, err := g.auth(ctx)
	if err != nil {
		return Login{}, err
	}
	return Login{User: "x-access-token", Password: strings.TrimPrefix(auth, "Bearer ")}, nil
}

func (g *github) MayPush(ctx context.Context, user string) (bool, error) {
	return collaborates(ctx, g.conn, g.root, user)
}

// collaborates is the same on GitHub and on Gitea.
func collaborates(ctx context.Context, c *conn, root, user string) (bool, error) {
	if !plain(user) {
		return false, nil
	}
	var is struct {
		Permission string `json:"permission"`
	}
	_, err := c.do(ctx, request{what: "see what " + user + " may do in the repository", method: http.MethodGet,
		path: root + "/collaborators/" + url.PathEscape(user) + "/permission"}, &is)
	if core.CodeOf(err) == core.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.Contains([]string{"write", "admin", "owner"}, is.Permission), nil
}

func (g *github) Check(ctx context.Context) error {
	var repo githubRepo
	header, err := g.do(ctx, request{what: "see the repository", method: http.MethodGet, path: g.root}, &repo)
	if err != nil {
		return err
	}
	if repo.Archived {
		return core.Errorf(core.Denied, "%s: the repository is archived: nobody can comment there", g.name)
	}
	if err := g.checkScopes(ctx, header, repo); err != nil {
		return err
	}
	if _, err := g.do(ctx, request{what: "list pull requests", method: http.MethodGet, path: g.root + "/pulls", query: url.Values{"per_page": {"1"}}}, nil); err != nil {
		return err
	}
	// What can't exist is written to: whether that is refused for what it is, or for who asks, tells.
	for _, r := range []request{
		{what: "set statuses of commits", method: http.MethodPost, path: g.root + "/statuses/" + strings.Repeat("0", 40), body: map[string]string{"state": Pending, "context": "terrace"}},
		{what: "edit comments", method: http.MethodPatch, path: g.root + "/issues/comments/0", body: map[string]string{"body": "terrace"}},
	} {
		if err := g.probe(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// checkScopes looks at what the forge says of a token: a person's, or an app's.
func (g *github) checkScopes(ctx context.Context, header http.Header, repo githubRepo) error {
	if g.app != nil {
		return g.app.check(ctx)
	}
	if !repo.Permissions.Push {
		return core.Errorf(core.Denied, "%s: the token's owner may not write to the repository, and so can't set statuses; make it a collaborator with the role write", g.name)
	}
	said := header.Get("X-OAuth-Scopes") // a classic token's
	if said == "" {
		return nil
	}
	for scope := range strings.SplitSeq(said, ",") {
		scope = strings.TrimSpace(scope)
		if scope == "repo" || scope == "public_repo" && !repo.Private {
			return nil
		}
	}
	return core.Errorf(core.Denied, "%s: the token has the scopes %s; it needs repo. %s", g.name, line(said, 200), g.where)
}

// probe sends what can't succeed, and returns an error only when that is because of who asks.
func (c *conn) probe(ctx context.Context, r request) error {
	_, err := c.do(ctx, r, nil)
	switch core.CodeOf(err) {
	case core.NotFound, core.Invalid:
		return nil
	}
	return err
}
