package source

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
)

// mergeWithin bounds a merge: whoever wrote the branch decides how hard it is.
const mergeWithin = time.Minute

func mergedRef(commit string) string { return "refs/terrace/merged/" + commit }

// Merged is what a branch would become part of the tracked one as.
type Merged struct {
	Commit string // that of the merge, or of whichever of the two has the other in it
	Tree   string
}

// Merge makes the commit that a merge of head into target would be. It is in the mirror
// alone, and the same for the same two; Forget drops it. The mirror has to have both.
// Conflict names the files that cannot be merged.
func (s *Source) Merge(ctx context.Context, repo, target, head string) (Merged, error) {
	for _, c := range []string{target, head} {
		if !git.ValidOID(c) {
			return Merged{}, core.Errorf(core.Invalid, "%q is not the full name of a commit", shown(c))
		}
	}
	m := s.pin(repo)
	defer s.unpin(m)
	ctx, cancel := context.WithTimeout(ctx, mergeWithin)
	defer cancel()
	var commit string
	switch {
	case m.contains(ctx, head, target):
		commit = head
	case m.contains(ctx, target, head):
		commit = target
	default:
		tree, err := m.merge(ctx, target, head)
		if err != nil {
			return Merged{}, err
		}
		if commit, err = m.commit(ctx, tree, target, head); err != nil {
			return Merged{}, core.Errorf(core.Unavailable, "cannot keep a merge of %s: %w", repo, err)
		}
	}
	tree, err := s.treeHash(ctx, repo, commit)
	return Merged{Commit: commit, Tree: tree}, err
}

// TreeOf is the name of a commit's tree: equal for commits of the same files.
func (s *Source) TreeOf(ctx context.Context, repo, commit string) (string, error) {
	return s.treeHash(ctx, repo, commit)
}

// contains reports whether a commit has another in its history.
func (m *mirror) contains(ctx context.Context, commit, other string) bool {
	_, err := m.git(ctx, "merge-base", "--is-ancestor", other, commit)
	return err == nil
}

func (m *mirror) merge(ctx context.Context, target, head string) (tree string, err error) {
	// https://git-scm.com/docs/git-merge-tree: exit 1 for conflicts, with the tree, and then
	// the names of the files that have some.
	out, err := m.run(ctx, nil, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", target, head)
	if err == nil {
		return strings.TrimRight(string(out), "\x00\n"), nil
	}
	var failed *git.Error
	if !errors.As(err, &failed) || ctx.Err() != nil {
		return "", err
	}
	switch {
	case failed.Code == 1:
		names := strings.Split(strings.TrimRight(string(failed.Stdout), "\x00"), "\x00")
		const most = 10
		if names = names[1:]; len(names) > most {
			names = append(names[:most], "…")
		}
		return "", core.Errorf(core.Conflict, "it cannot be merged: both sides changed %s. Merge the tracked branch into it, or rebase it", strings.Join(names, ", "))
	case strings.Contains(failed.Stderr, "unrelated histories"):
		return "", core.Errorf(core.Conflict, "it cannot be merged: it has no commit in common with the tracked branch")
	case failed.Code == 129:
		return "", core.Errorf(core.Invalid, "the server's git cannot merge without a work tree; install git 2.38 or newer")
	}
	return "", core.Errorf(core.Unavailable, "cannot merge %s and %s: %w", core.ShortCommit(target), core.ShortCommit(head), err)
}

// commit writes the merge. Nothing in it depends on when or by whom it is made.
func (m *mirror) commit(ctx context.Context, tree, target, head string) (string, error) {
	at, err := m.git(ctx, "show", "--no-patch", "--no-show-signature", "--format=%ct", head)
	if err != nil {
		return "", err
	}
	date := strings.TrimSpace(string(at)) + " +0000"
	env := []string{"GIT_AUTHOR_NAME=terrace", "GIT_AUTHOR_EMAIL=terrace@localhost", "GIT_COMMITTER_NAME=terrace", "GIT_COMMITTER_EMAIL=terrace@localhost",
		"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date}
	out, err := m.run(ctx, env, "commit-tree", tree, "-p", target, "-p", head, "-m", "Merge "+head+" into "+target)
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(out))
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err = m.git(ctx, "update-ref", mergedRef(commit), commit)
	return commit, err
}

// Forget drops a merge. One that is not there, or is no merge of Merge, stays as it is.
func (s *Source) Forget(ctx context.Context, repo, commit string) {
	if !git.ValidOID(commit) {
		return
	}
	m := s.pin(repo)
	defer s.unpin(m)
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.git(ctx, "update-ref", "-d", mergedRef(commit)) // a copy too many
}

func (m *mirror) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	return git.Run(ctx, git.Cmd{GitDir: m.dir, Args: args, Env: env})
}
