package source

import (
	"context"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

// Options bound what a Source keeps. The zero value has sensible limits.
type Options struct {
	// MaxMirrors is how many mirrors are kept before idle ones are dropped, least
	// recently used first.
	MaxMirrors int
	// CacheBytes bounds what is remembered of parsed files.
	CacheBytes int64
	// Timeout bounds one conversation with a remote.
	Timeout time.Duration
}

// Source reads repositories. It is safe for concurrent use.
type Source struct{ dir string }

// New opens the folder of mirrors, making it if needed.
func New(dir string, opts Options) (*Source, error) { return &Source{dir: dir}, nil }

// Close ends what runs in the background and waits for it.
func (s *Source) Close() error { return nil }

// Commit is one commit of a branch.
type Commit struct {
	Hash    string
	Author  string // "Name <address>"
	Message string
	Time    time.Time // when it was committed
}

// Warning is something in the code that the digest cannot see.
type Warning struct {
	Path    string
	Line    int
	Message string
}

// Content is what goes into an instance from its repository.
type Content struct {
	Digest    string
	Parts     map[string]string
	Provision map[string]string
	Warnings  []Warning
}

// Tree is a commit's files; it implements config.Tree and BlobID.
type Tree struct{}

func (t *Tree) ReadFile(path string) ([]byte, error) { return nil, errNotYet }
func (t *Tree) Files() ([]string, error)             { return nil, errNotYet }
func (t *Tree) BlobID(path string) string            { return "" }

var errNotYet = core.Errorf(core.Internal, "not built yet")

func (s *Source) Check(ctx context.Context, repo, branch string) (string, error) { return "", errNotYet }
func (s *Source) Fetch(ctx context.Context, repo, branch string) (string, error) { return "", errNotYet }
func (s *Source) Mirror(repo string) string                                      { return "" }
func (s *Source) Commits(ctx context.Context, repo, from, to string, limit int) ([]Commit, error) {
	return nil, errNotYet
}
func (s *Source) Position(ctx context.Context, repo, commit string) (int64, error) {
	return 0, errNotYet
}
func (s *Source) IsFirstParent(ctx context.Context, repo, commit, head string) (bool, error) {
	return false, errNotYet
}
func (s *Source) Tree(ctx context.Context, repo, commit string) (*Tree, error) { return nil, errNotYet }
func (s *Source) Config(ctx context.Context, repo, commit, root string) (*config.Config, hcl.Diagnostics, error) {
	return nil, nil, errNotYet
}
func (s *Source) Content(ctx context.Context, repo, commit, root string, in config.Instance) (Content, error) {
	return Content{}, errNotYet
}
func (s *Source) AllContents(ctx context.Context, repo, commit, root, env string) (map[string]Content, error) {
	return nil, errNotYet
}
