package testkit

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
)

// GiteaRepo is a repository on a GiteaServer.
type GiteaRepo struct {
	server *GiteaServer
	owner  *GiteaUser
	// Path is owner/name.
	Path string
	// URL is where it is cloned from, without credentials.
	URL string
}

// Repo makes an empty repository, which only its owner sees.
func (u *GiteaUser) Repo(name string) *GiteaRepo {
	u.server.t.Helper()
	u.do(http.MethodPost, "/user/repos", map[string]any{"name": name, "private": true, "default_branch": "main"}, nil)
	return u.repo(name)
}

func (u *GiteaUser) repo(name string) *GiteaRepo {
	path := u.Name + "/" + name
	return &GiteaRepo{server: u.server, owner: u, Path: path, URL: u.server.URL + "/" + path + ".git"}
}

// As returns the address with a user's credentials in it, for git.
func (r *GiteaRepo) As(u *GiteaUser) string {
	return strings.Replace(r.URL, "://", "://"+url.UserPassword(u.Name, u.Token).String()+"@", 1)
}

// Clone returns an empty work tree whose remote is the repository, as a user.
func (r *GiteaRepo) Clone(u *GiteaUser) *Repo {
	t := r.server.t
	t.Helper()
	dir := t.TempDir()
	clone := &Repo{t: t, Dir: filepath.Join(dir, "clone"), Remote: r.As(u)}
	clone.in(dir, "init", "-q", "--initial-branch=main", clone.Dir)
	clone.Run("remote", "add", "origin", clone.Remote)
	return clone
}

// Invite lets a user in, with the permission read, write or admin.
func (r *GiteaRepo) Invite(u *GiteaUser, permission string) {
	r.server.t.Helper()
	r.do(http.MethodPut, "/collaborators/"+u.Name, map[string]string{"permission": permission}, nil)
}

// Fork makes a copy that belongs to a user.
func (r *GiteaRepo) Fork(u *GiteaUser) *GiteaRepo {
	r.server.t.Helper()
	_, name, _ := strings.Cut(r.Path, "/")
	u.do(http.MethodPost, "/repos/"+r.Path+"/forks", map[string]string{}, nil)
	return u.repo(name)
}

// Pull opens a pull request as a user, and returns its number. From a fork, head is user:branch.
func (r *GiteaRepo) Pull(u *GiteaUser, head, base, title string) int64 {
	r.server.t.Helper()
	r.owner.there("/repos/" + r.Path + "/branches/" + url.PathEscape(base))
	if owner, branch, forked := strings.Cut(head, ":"); forked {
		_, name, _ := strings.Cut(r.Path, "/")
		u.there("/repos/" + owner + "/" + name + "/branches/" + url.PathEscape(branch))
	} else {
		r.owner.there("/repos/" + r.Path + "/branches/" + url.PathEscape(head))
	}
	var made struct {
		Number int64 `json:"number"`
	}
	u.do(http.MethodPost, "/repos/"+r.Path+"/pulls", map[string]string{"head": head, "base": base, "title": title}, &made)
	return made.Number
}

// ClosePull closes a pull request without merging it.
func (r *GiteaRepo) ClosePull(pull int64) {
	r.server.t.Helper()
	r.do(http.MethodPatch, fmt.Sprintf("/pulls/%d", pull), map[string]string{"state": "closed"}, nil)
}

// MergePull merges a pull request with a merge commit.
func (r *GiteaRepo) MergePull(pull int64) {
	r.server.t.Helper()
	r.do(http.MethodPost, fmt.Sprintf("/pulls/%d/merge", pull), map[string]string{"Do": "merge"}, nil)
}

// DeleteBranch deletes a branch.
func (r *GiteaRepo) DeleteBranch(name string) {
	r.server.t.Helper()
	r.do(http.MethodDelete, "/branches/"+url.PathEscape(name), nil, nil)
}

// GiteaComment is a comment on a pull request.
type GiteaComment struct {
	ID     int64
	Author string
	Text   string
}

// Comment writes one as a user, and returns its ID.
func (r *GiteaRepo) Comment(u *GiteaUser, pull int64, text string) int64 {
	r.server.t.Helper()
	var made struct {
		ID int64 `json:"id"`
	}
	u.do(http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/comments", r.Path, pull), map[string]string{"body": text}, &made)
	return made.ID
}

// Comments lists those of a pull request, the oldest first.
func (r *GiteaRepo) Comments(pull int64) []GiteaComment {
	r.server.t.Helper()
	var found []struct {
		ID   int64  `json:"id"`
		Body string `json:"body"`
		User struct {
			Login string `json:"login"`
		} `json:"user"`
	}
	r.do(http.MethodGet, fmt.Sprintf("/issues/%d/comments", pull), nil, &found)
	var comments []GiteaComment
	for _, c := range found {
		comments = append(comments, GiteaComment{c.ID, c.User.Login, c.Body})
	}
	return comments
}

// DeleteComment deletes one.
func (r *GiteaRepo) DeleteComment(id int64) {
	r.server.t.Helper()
	r.do(http.MethodDelete, fmt.Sprintf("/issues/comments/%d", id), nil, nil)
}

// GiteaStatus is what is said of a commit.
type GiteaStatus struct {
	Context string `json:"context"`
	State   string `json:"status"`
	Text    string `json:"description"`
	URL     string `json:"target_url"`
}

// Statuses returns the newest of each context that a commit has.
func (r *GiteaRepo) Statuses(commit string) map[string]GiteaStatus {
	r.server.t.Helper()
	statuses := map[string]GiteaStatus{}
	for page := 1; ; page++ {
		var found struct {
			Statuses []GiteaStatus `json:"statuses"`
		}
		r.do(http.MethodGet, fmt.Sprintf("/commits/%s/status?page=%d", commit, page), nil, &found)
		if len(found.Statuses) == 0 {
			return statuses
		}
		for _, s := range found.Statuses {
			statuses[s.Context] = s
		}
	}
}

// Hook has everything that happens to branches, pull requests and comments sent to an address on loopback.
func (r *GiteaRepo) Hook(address, secret string) {
	r.server.t.Helper()
	r.do(http.MethodPost, "/hooks", map[string]any{"type": "gitea", "active": true, "events": []string{"push", "create", "delete", "pull_request", "issue_comment"},
		"config": map[string]string{"url": address, "content_type": "json", "secret": secret}}, nil)
}

// do asks the API as the repository's owner.
func (r *GiteaRepo) do(method, path string, body, into any) {
	r.server.t.Helper()
	r.owner.do(method, "/repos/"+r.Path+path, body, into)
}
