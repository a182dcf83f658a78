package source

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
)

// maxMessage bounds what is kept of a commit message. The end is kept too, because
// that is where trailers are.
const maxMessage = 64 << 10

// Commit is one commit of a branch.
type Commit struct {
	Hash      string
	Author    string // "Name <address>"
	Committer string // likewise
	Message   string
	Time      time.Time // when it was committed
}

// Commits lists the first-parent history of to, oldest first, without from and what
// came before it; the newest limit commits when there are more (0: all). from "" means
// from the beginning. NotFound when the mirror has no such commit.
func (s *Source) Commits(ctx context.Context, repo, from, to string, limit int) ([]Commit, error) {
	args := []string{"log", "-z", "--first-parent", "--no-decorate", "--no-notes", "--no-show-signature", "--no-mailmap",
		"--encoding=UTF-8", "--format=format:%H%x00%an <%ae>%x00%cn <%ce>%x00%ct%x00%B"}
	if limit > 0 {
		args = append(args, "--max-count="+strconv.Itoa(limit))
	}
	args = append(args, to)
	if from != "" {
		args = append(args, "^"+from)
	}
	out, err := s.log(ctx, repo, args, from, to)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	// A commit message cannot hold a NUL, so there are exactly five fields each.
	fields := bytes.Split(out, []byte{0})
	if len(fields)%5 != 0 {
		return nil, core.Errorf(core.Internal, "git log said something unexpected about %s", repo)
	}
	commits := make([]Commit, 0, len(fields)/4)
	for i := len(fields) - 5; i >= 0; i -= 5 {
		seconds, err := strconv.ParseInt(string(fields[i+3]), 10, 64)
		if err != nil {
			return nil, core.Errorf(core.Internal, "git log said something unexpected about %s: %w", repo, err)
		}
		commits = append(commits, Commit{
			Hash:      string(fields[i]),
			Author:    text(fields[i+1], 1000),
			Committer: text(fields[i+2], 1000),
			Time:      time.Unix(seconds, 0).UTC(),
			Message:   text(bytes.TrimRight(fields[i+4], "\n"), maxMessage),
		})
	}
	return commits, nil
}

func text(b []byte, max int) string {
	if len(b) > max {
		b = bytes.Join([][]byte{b[:max/2], b[len(b)-max/2:]}, []byte("\n…\n"))
	}
	return strings.ToValidUTF8(string(b), "�")
}

// Position is how many commits the first-parent history of commit has, itself
// included. NotFound when the mirror has no such commit.
func (s *Source) Position(ctx context.Context, repo, commit string) (int64, error) {
	out, err := s.log(ctx, repo, []string{"rev-list", "--first-parent", "--count", commit}, commit)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

// IsFirstParent reports whether commit is head or on its first-parent history. A commit
// that the mirror does not have is not. NotFound when it has no head.
func (s *Source) IsFirstParent(ctx context.Context, repo, commit, head string) (bool, error) {
	if !git.ValidOID(commit) {
		return false, core.Errorf(core.Invalid, "%q is not the full name of a commit", shown(commit))
	}
	// What head has and commit has not. Going by first parents, that ends right above
	// commit when commit is there, and somewhere else or not at all when it is not.
	out, err := s.log(ctx, repo, []string{"rev-list", "--first-parent", "--parents", head, "^" + commit}, head, commit)
	if core.CodeOf(err) == core.NotFound && s.has(repo, head) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := strings.Fields(lines[len(lines)-1])
	if len(last) == 0 {
		return commit == head, nil
	}
	return len(last) > 1 && last[1] == commit, nil
}

// has reports whether the mirror has a commit.
func (s *Source) has(repo, commit string) bool {
	m := s.pin(repo)
	defer s.unpin(m)
	kind, _, err := m.read(commit, 0)
	return kind == "commit" && (err == nil || errors.Is(err, git.ErrTooLarge))
}

// log runs a git command over commits that the mirror has to have.
func (s *Source) log(ctx context.Context, repo string, args []string, commits ...string) ([]byte, error) {
	for _, c := range commits {
		if c != "" && !git.ValidOID(c) {
			return nil, core.Errorf(core.Invalid, "%q is not the full name of a commit", shown(c))
		}
	}
	m := s.pin(repo)
	defer s.unpin(m)
	out, err := m.git(ctx, append(args, "--")...)
	if err == nil || ctx.Err() != nil {
		return out, err
	}
	for _, c := range commits {
		if c != "" && !s.has(repo, c) {
			return nil, noCommit(repo, c)
		}
	}
	return nil, core.Errorf(core.Internal, "cannot read the history of %s: %w", repo, err)
}

func noCommit(repo, commit string) error {
	return core.Errorf(core.NotFound, "%s has no commit %s, or not any more: it may have been removed from its branch by a forced push", repo, core.ShortCommit(commit))
}
