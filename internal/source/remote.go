package source

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
)

// checkNames lets a repository's address and a branch in. Both are Invalid otherwise.
func checkNames(repo, branch string) error {
	if err := git.CheckURL(repo); err != nil {
		return core.Errorf(core.Invalid, "%q cannot be the address of a repository: %w", shown(repo), err)
	}
	if branch == "" {
		return nil
	}
	if err := git.ValidBranch(branch); err != nil {
		return core.Errorf(core.Invalid, "%q cannot be the name of a branch: %w", shown(branch), err)
	}
	return nil
}

// shown cuts what was sent to a length that an answer may repeat.
func shown(s string) string {
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if authority, _, _ := strings.Cut(rest, "/"); strings.Contains(authority, "@") {
			at := strings.LastIndexByte(authority, '@')
			s = scheme + "://…" + rest[at:] // what comes before may be a credential
		}
	}
	const max = 200
	if len(s) > max {
		return s[:max] + "…"
	}
	return s
}

// Check asks the remote whether branch can be read, and returns its name: that of the
// remote's default branch when branch is "". Errors: Invalid for an address or name
// that cannot work and for access that is refused, NotFound for a branch that is not
// there, Unavailable when the remote cannot be reached.
func (s *Source) Check(ctx context.Context, repo, branch string) (string, error) {
	if err := checkNames(repo, branch); err != nil {
		return "", err
	}
	patterns := []string{"HEAD"}
	if branch != "" {
		patterns = append(patterns, "refs/heads/"+branch)
	}
	refs, target, err := s.lsRemote(ctx, repo, patterns...)
	if err != nil {
		return "", explain(err, repo)
	}
	found := refs["refs/heads/"+branch] != ""
	if branch == "" && refs["HEAD"] != "" {
		if branch, found = strings.CutPrefix(target, "refs/heads/"); !found {
			return "", core.Errorf(core.Invalid, "%s does not say which branch is its default; name one with --branch", repo)
		}
	}
	if !found {
		if branch, err = s.onlyBranch(ctx, repo, branch); err != nil {
			return "", err
		}
	}
	return branch, checkNames(repo, branch)
}

// onlyBranch returns the only branch of a repository whose default branch was asked for
// and is not there, as in a bare one that was made before its first push. Otherwise it
// says which branches there are.
func (s *Source) onlyBranch(ctx context.Context, repo, branch string) (string, error) {
	refs, _, err := s.lsRemote(ctx, repo, "refs/heads/*")
	if err != nil {
		return "", explain(err, repo)
	}
	var branches []string
	for ref := range refs {
		if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			branches = append(branches, name)
		}
	}
	slices.Sort(branches)
	switch {
	case len(branches) == 0:
		return "", core.Errorf(core.NotFound, "%s has no branches yet; push a first commit to it and try again", repo)
	case branch == "" && len(branches) == 1:
		return branches[0], nil
	}
	more := ""
	if len(branches) > 10 {
		branches, more = branches[:10], ", …"
	}
	if branch == "" {
		return "", core.Errorf(core.NotFound, "%s has no default branch; name one with --branch: it has %s%s", repo, strings.Join(branches, ", "), more)
	}
	return "", core.Errorf(core.NotFound, "%s has no branch %q; it has %s%s", repo, branch, strings.Join(branches, ", "), more)
}

// lsRemote returns the refs of a remote that match the patterns, by name, and what
// HEAD points to.
func (s *Source) lsRemote(ctx context.Context, repo string, patterns ...string) (refs map[string]string, head string, err error) {
	out, err := s.remote(ctx, repo, "", append([]string{"ls-remote", "--symref", "--", repo}, patterns...)...)
	if err != nil {
		return nil, "", err
	}
	refs = map[string]string{}
	for line := range strings.SplitSeq(string(out), "\n") {
		value, name, ok := strings.Cut(line, "\t")
		if !ok {
			continue
		}
		if target, ok := strings.CutPrefix(value, "ref: "); ok {
			if name == "HEAD" {
				head = target
			}
		} else if git.ValidOID(value) {
			refs[name] = value
		}
	}
	return refs, head, nil
}

// remote runs a git command that talks to a remote. Who knows a login for it says so in
// the environment, where nobody else can read it, for its host alone.
func (s *Source) remote(ctx context.Context, repo, gitDir string, args ...string) ([]byte, error) {
	c := git.Cmd{GitDir: gitDir, Args: args, Remote: true, Config: s.gitConfig, Timeout: s.opts.Timeout}
	if at, err := url.Parse(repo); err == nil && s.Login != nil && at.User == nil && (at.Scheme == "https" || at.Scheme == "http") {
		user, password, err := s.Login(ctx, repo)
		if err != nil {
			return nil, err
		}
		if password != "" {
			basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
			c.Env = []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http." + at.Scheme + "://" + at.Host + "/.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic " + basic}
		}
	}
	return git.Run(ctx, c)
}

// reasons why a remote cannot be read, by what git, ssh or curl say, and what to do.
var reasons = []struct {
	said []string
	code core.Code
	then string
}{
	{[]string{"Could not resolve host", "Name or service not known", "nodename nor servname"}, core.Unavailable,
		"its host has no address; check the spelling and the server's DNS"},
	{[]string{"Host key verification failed"}, core.Invalid,
		"the host's key is not known; add it to known_hosts of the user that runs the server (ssh-keyscan)"},
	{[]string{"Permission denied (", "Authentication failed", "could not read Username", "could not read Password", "terminal prompts disabled", "returned error: 403", "returned error: 401"}, core.Invalid,
		"access was refused; give the user that runs the server an SSH key or a git credential helper that may read it"},
	{[]string{"Permission denied"}, core.Invalid,
		"the user that runs the server may not read that folder"},
	{[]string{"does not appear to be a git repository", "not a git repository", "Repository not found", "repository not found", "does not exist", "returned error: 404", "not found"}, core.Invalid,
		"there is no repository that the server may see; check the address"},
	{[]string{"Connection refused", "Connection timed out", "Connection reset", "Failed to connect", "Network is unreachable", "No route to host", "Could not connect", "unable to access", "early EOF", "unexpected disconnect", "hung up"}, core.Unavailable,
		"it cannot be reached now"},
	{[]string{"No space left on device", "Disk quota exceeded"}, core.Unavailable,
		"the disk is full; make room in the server's data folder"},
	{[]string{"not allowed"}, core.Invalid, "that transport is not allowed; use https, ssh, git, http or file"},
}

// explain turns an error of git about a remote into one for a person.
func explain(err error, repo string) error {
	var failed *git.Error
	if !errors.As(err, &failed) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return core.Errorf(core.Unavailable, "reading %s was interrupted: %w", repo, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return core.Errorf(core.Unavailable, "%s did not answer in time: %w", repo, err)
	}
	said := fmt.Errorf("%w", err)
	for _, r := range reasons {
		for _, words := range r.said {
			if strings.Contains(failed.Stderr, words) {
				return core.Errorf(r.code, "cannot read %s: %s (%w)", repo, r.then, said)
			}
		}
	}
	return core.Errorf(core.Unavailable, "cannot read %s (%w)", repo, said)
}
