package checkout

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/terrace-cd/terrace/internal/git"
)

// Modes of tree entries, as git writes them.
const (
	modeDirectory = "040000"
	modeLink      = "120000"
	modeSubmodule = "160000"
)

type entry struct{ mode string }

// directory reports whether the entry is a directory in the work tree.
func (e entry) directory() bool { return e.mode == modeDirectory || e.mode == modeSubmodule }

// repository is a mirror seen through one work tree and its index.
type repository struct {
	mirror, tree, index string
}

// read makes index and work tree equal to the commit: only files that differ from the
// index, in content or by their stat data, are written.
func (g repository) read(ctx context.Context, commit string) error {
	_, err := g.git(ctx, "read-tree", "--reset", "-u", "--no-recurse-submodules", commit)
	return err
}

// list returns every entry of the commit by its path, directories included.
func (g repository) list(ctx context.Context, commit string) (map[string]entry, error) {
	out, err := g.git(ctx, "ls-tree", "-r", "-t", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	entries := make(map[string]entry, bytes.Count(out, []byte{0}))
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if line == "" {
			continue // an empty tree
		}
		meta, name, ok := strings.Cut(line, "\t")
		mode, _, spaced := strings.Cut(meta, " ")
		if !ok || !spaced || path.IsAbs(name) {
			return nil, fmt.Errorf("git ls-tree said something unexpected: %q", line)
		}
		entries[name] = entry{mode: mode}
	}
	return entries, nil
}

// git runs one git command on the mirror, this work tree and its index.
func (g repository) git(ctx context.Context, args ...string) ([]byte, error) {
	return git.Run(ctx, git.Cmd{GitDir: g.mirror, Args: args, Env: []string{"GIT_WORK_TREE=" + g.tree, "GIT_INDEX_FILE=" + g.index}})
}
