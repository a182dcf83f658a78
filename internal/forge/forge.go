// Package forge speaks with the place that hosts a repository: GitHub, GitLab, and Gitea or Forgejo.
// It asks for the open pull requests of a branch, writes a comment and the status of a commit, says how to
// clone, and reads webhooks. It decides nothing and keeps nothing: what a preview is, when to ask again and
// what a comment says is somebody else's.
//
// One file for each forge says what is different there. What they share is in transport.go: bounds, the
// rule that a token goes to one host only, and errors that say what to do.
package forge

import (
	"context"
	"net/http"
)

// The kinds of forges.
const (
	GitHub = "github"
	GitLab = "gitlab"
	Gitea  = "gitea" // Forgejo, too
)

// Config says where a repository is hosted, and as whom Terrace is there.
type Config struct {
	// Kind is github, gitlab or gitea.
	Kind string
	// URL is the forge's for people: https://gitea.example.com. Addresses of its API are made from it.
	URL string
	// Repo is the repository's path there: owner/name, or group/subgroup/name on GitLab.
	Repo string
	// Token is a person's, a project's or a bot's.
	Token string
	// App is what to be instead of a Token's owner, on GitHub.
	App *App
	// Client sends the requests; nil is one with timeouts. Its CheckRedirect is replaced.
	Client *http.Client
}

// App is a GitHub app.
type App struct {
	ID int64
	// Installation is looked up for the repository when it is 0.
	Installation int64
	// Key is the app's private key: PEM, RSA.
	Key string
}

// Pull is an open pull request; a merge request on GitLab.
type Pull struct {
	Number int64
	Title  string
	Author string
	// URL is its page.
	URL string
	// Branch is the one it comes from, in the fork if it is one.
	Branch string
	// Commit is the newest of Branch.
	Commit string
	// Target is the branch it asks to be merged into.
	Target string
	// Fork: it comes from another repository, or from one that is gone.
	Fork  bool
	Draft bool
	// Ref is under which name Commit can be fetched from the repository itself: refs/pull/7/head.
	Ref string
}

// States of a Status.
const (
	Pending = "pending"
	Success = "success"
	Failure = "failure"
	Error   = "error"
)

// Status is what is said of a commit. One with the same Context replaces the one before.
type Status struct {
	Context string
	State   string
	// Text is cut to what the forge keeps: 140 characters on GitHub.
	Text string
	URL  string
}

// Login is for git over HTTP. The zero value: none is needed.
type Login struct {
	User     string
	Password string
}

// Client is one repository on its forge. It may be used by many at once.
//
// Errors have these codes: core.Unavailable for a forge that can't be reached, is broken or asks to wait (Wait
// says how long), core.Denied for a token that is refused or may too little, core.NotFound, and core.Invalid for what
// the forge does not accept. No error has a token in its text.
type Client interface {
	// Pulls returns the open ones into the branch target, by number.
	Pulls(ctx context.Context, target string) ([]Pull, error)
	// Comment makes a comment on a pull request (id is "") or edits that one, and returns its id.
	// core.NotFound: the comment, or the pull request, was deleted.
	Comment(ctx context.Context, pull int64, id, text string) (string, error)
	// Status says s of a commit.
	Status(ctx context.Context, commit string, s Status) error
	// Login is how git clones the repository over HTTP. It is good for half an hour at least.
	Login(ctx context.Context) (Login, error)
	// MayPush reports whether somebody, by the forge's name of them, may write to the repository. A name that
	// nobody has may not.
	MayPush(ctx context.Context, user string) (bool, error)
	// CommentLimit is how many characters fit into a comment.
	CommentLimit() int
	// Check returns nil when the token works, the repository is there, and the token may do what the other
	// methods do; else an error that names what is missing. It writes nothing.
	Check(ctx context.Context) error
}
