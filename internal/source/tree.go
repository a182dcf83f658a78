package source

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
)

// maxFile bounds the files that are read at all.
const maxFile = 32 << 20

// kind is what an entry of a tree is.
type kind byte

const (
	file      kind = 'f'
	program   kind = 'x' // an executable file
	link      kind = 'l'
	submodule kind = 's'
)

// entry is a file of a commit. There may be hundreds of thousands: all paths share one
// string, and object names are not hexadecimal.
type entry struct {
	path string
	oid  [32]byte // the first Tree.oidLen bytes count
	kind kind
}

// Tree is the files of a commit, read from git's objects. It is a config.Tree with
// BlobID, and safe for concurrent use.
type Tree struct {
	source  *Source
	repo    string
	hash    string
	oidLen  int
	entries []entry           // sorted by path
	links   map[string]string // targets of symbolic links, by path

	indexed sync.Once
	index   *index

	listed sync.Once
	files  []string
}

// Tree returns the files of a commit. NotFound when neither the mirror nor the remote
// has it.
func (s *Source) Tree(ctx context.Context, repo, commit string) (*Tree, error) {
	s.relaxer.Reset(relaxAfter)
	hash, err := s.treeHash(ctx, repo, commit)
	if err != nil {
		return nil, err
	}
	key := repo + "\x00" + hash
	if t, ok := s.trees.get(key); ok {
		return t, nil
	}
	m := s.pin(repo)
	defer s.unpin(m)
	out, err := m.git(ctx, "ls-tree", "-r", "-z", "--full-tree", "--end-of-options", hash)
	if err != nil {
		return nil, core.Errorf(core.Internal, "cannot list the files of %s at %s: %w", repo, core.ShortCommit(commit), err)
	}
	t := &Tree{source: s, repo: repo, hash: hash, oidLen: len(hash) / 2}
	if err := t.parse(out); err != nil {
		return nil, core.Errorf(core.Invalid, "%s at %s: %w", repo, core.ShortCommit(commit), err)
	}
	if err := t.readLinks(m); err != nil {
		return nil, core.Errorf(core.Internal, "cannot read the symbolic links of %s at %s: %w", repo, core.ShortCommit(commit), err)
	}
	s.trees.put(key, t, t.weight())
	return t, nil
}

// treeHash returns the name of a commit's tree. A commit that the mirror lacks, because
// it was dropped and made again, is asked for at the remote.
func (s *Source) treeHash(ctx context.Context, repo, commit string) (string, error) {
	if !git.ValidOID(commit) {
		return "", core.Errorf(core.Invalid, "%q is not the full name of a commit", shown(commit))
	}
	if err := checkNames(repo, ""); err != nil {
		return "", err
	}
	name := repo + "\x00" + commit
	if hash, ok := s.hashes.get(name); ok {
		return hash, nil
	}
	m := s.pin(repo)
	defer s.unpin(m)
	kind, content, err := m.read(commit, 1<<20)
	if err != nil && ctx.Err() == nil {
		if err := s.bringCommit(ctx, repo, commit); err != nil {
			return "", err
		}
		kind, content, err = m.read(commit, 1<<20)
	}
	if err != nil {
		return "", core.Errorf(core.Internal, "cannot read commit %s of %s: %w", core.ShortCommit(commit), repo, err)
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	hash, ok := strings.CutPrefix(string(line), "tree ")
	if kind != "commit" || !ok || !git.ValidOID(hash) {
		return "", core.Errorf(core.Invalid, "%s of %s is a %s, not a commit", core.ShortCommit(commit), repo, kind)
	}
	s.hashes.put(name, hash, len(name)+len(hash)+150)
	return hash, nil
}

// bringCommit fetches a commit by its name, which most servers allow.
func (s *Source) bringCommit(ctx context.Context, repo, commit string) error {
	_, err := s.fly(ctx, repo+"\x00\x00"+commit, func(ctx context.Context) (string, error) {
		m := s.pin(repo)
		defer s.unpin(m)
		m.mu.Lock()
		defer m.mu.Unlock()
		if err := s.open(ctx, m); err != nil {
			return "", err
		}
		if err := s.bring(ctx, m, commit, keptRef(commit)); err != nil {
			if code := core.CodeOf(explain(err, repo)); code == core.Invalid || isRefused(err) {
				return "", noCommit(repo, commit)
			}
			return "", explain(err, repo)
		}
		return commit, nil
	})
	return err
}

// isRefused reports whether the remote answered, and does not give out that commit.
func isRefused(err error) bool {
	var failed *git.Error
	return errors.As(err, &failed) && (strings.Contains(failed.Stderr, "not our ref") || strings.Contains(failed.Stderr, "couldn't find remote ref") ||
		strings.Contains(failed.Stderr, "unadvertised object"))
}

// parse reads the output of ls-tree: "MODE TYPE OID\tPATH\0" for each file.
func (t *Tree) parse(out []byte) error {
	n, size := 0, 0
	for rest := out; len(rest) > 0; n++ {
		end := bytes.IndexByte(rest, 0)
		tab := bytes.IndexByte(rest, '\t')
		if end < 0 || tab < len("100644 blob ")+2*t.oidLen || tab > end {
			return errors.New("git ls-tree said something unexpected")
		}
		size += end - tab - 1
		rest = rest[end+1:]
	}
	var paths strings.Builder
	paths.Grow(size)
	t.entries = make([]entry, 0, n)
	for len(out) > 0 {
		end, tab := bytes.IndexByte(out, 0), bytes.IndexByte(out, '\t')
		meta, name := out[:tab], out[tab+1:end]
		var e entry
		switch string(meta[:7]) {
		case "100644 ", "100664 ":
			e.kind = file
		case "100755 ":
			e.kind = program
		case "120000 ":
			e.kind = link
		case "160000 ":
			e.kind = submodule
		default:
			e.kind = file
		}
		if _, err := hex.Decode(e.oid[:], meta[len(meta)-2*t.oidLen:]); err != nil {
			return err
		}
		from := paths.Len()
		paths.Write(name)
		e.path = paths.String()[from:]
		if !inside(e.path) {
			return errors.New("it has a file " + quote(e.path) + ", which cannot be checked out; rewrite the commit without it")
		}
		t.entries = append(t.entries, e)
		out = out[end+1:]
	}
	if !slices.IsSortedFunc(t.entries, byPath) { // git sorts like this, unless the tree is malformed
		slices.SortFunc(t.entries, byPath)
	}
	return nil
}

func byPath(a, b entry) int { return strings.Compare(a.path, b.path) }

// inside reports whether a path of a commit stays in the work tree and out of .git.
// Unlike fs.ValidPath it allows names that are not UTF-8.
func inside(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || strings.EqualFold(part, ".git") {
			return false
		}
	}
	return true
}

func (t *Tree) readLinks(m *mirror) error {
	var paths, oids []string
	for i := range t.entries {
		if e := &t.entries[i]; e.kind == link {
			paths, oids = append(paths, e.path), append(oids, t.oid(e))
		}
	}
	if len(oids) == 0 {
		return nil
	}
	t.links = make(map[string]string, len(paths))
	return m.readMany(oids, 4096, func(i int, _ string, content []byte, err error) error {
		if err != nil && !errors.Is(err, git.ErrTooLarge) {
			return err
		}
		t.links[paths[i]] = string(content) // "" leads nowhere, as a target of that length does
		return nil
	})
}

func (t *Tree) oid(e *entry) string { return hex.EncodeToString(e.oid[:t.oidLen]) }

// weight estimates the bytes that the tree and its index take.
func (t *Tree) weight() int {
	weight := 1 << 10
	for i := range t.entries {
		weight += len(t.entries[i].path) + 100
	}
	return weight
}

// find returns the entry with exactly this path.
func (t *Tree) find(p string) *entry {
	i, ok := slices.BinarySearchFunc(t.entries, p, func(e entry, p string) int { return strings.Compare(e.path, p) })
	if !ok {
		return nil
	}
	return &t.entries[i]
}

// under returns the entries below a folder, "." or "" being the root.
func (t *Tree) under(dir string) []entry {
	if dir == "." || dir == "" {
		return t.entries
	}
	prefix := dir + "/"
	from, _ := slices.BinarySearchFunc(t.entries, prefix, func(e entry, p string) int { return strings.Compare(e.path, p) })
	n, _ := slices.BinarySearchFunc(t.entries[from:], prefix, func(e entry, p string) int {
		if strings.HasPrefix(e.path, p) {
			return -1
		}
		return strings.Compare(e.path, p)
	})
	return t.entries[from : from+n]
}

// leaves is the error of a symbolic link that leads out of the repository.
type leaves struct{ link, target string }

func (l *leaves) Error() string {
	return "the symbolic link " + quote(l.link) + " points to " + quote(l.target) + ", out of the repository"
}

// resolve follows the symbolic links in a path as the operating system would. The
// result may name nothing. The error is *leaves, or fs.ErrNotExist for a path that
// leads out by itself and for links that go in circles.
func (t *Tree) resolve(p string) (string, error) {
	p = path.Clean(p)
	if path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../") {
		return "", fs.ErrNotExist
	}
	if len(t.links) == 0 || p == "." {
		return p, nil
	}
	for range 40 {
		next, followed, err := t.follow(p)
		if err != nil || !followed {
			return next, err
		}
		p = next
	}
	return "", fs.ErrNotExist
}

// follow replaces the first symbolic link in p by where it points.
func (t *Tree) follow(p string) (next string, followed bool, err error) {
	for end := 0; end < len(p); end++ {
		i := strings.IndexByte(p[end:], '/')
		if i < 0 {
			end = len(p)
		} else {
			end += i
		}
		target, ok := t.links[p[:end]]
		if !ok {
			continue
		}
		// What comes before has no link in it, so taking ".." off it is right.
		to := path.Join(path.Dir(p[:end]), target)
		if path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
			return "", false, &leaves{link: p[:end], target: target}
		}
		return path.Join(to, p[end:]), true, nil
	}
	return p, false, nil
}

// regular returns the file that a path leads to, nil when it leads to none.
func (t *Tree) regular(p string) *entry {
	p, err := t.resolve(p)
	if err != nil {
		return nil
	}
	if e := t.find(p); e != nil && (e.kind == file || e.kind == program) {
		return e
	}
	return nil
}

// ReadFile returns the content of a file, following symbolic links inside the
// repository. What is outside does not exist.
func (t *Tree) ReadFile(p string) ([]byte, error) {
	e := t.regular(p)
	if e == nil || !fs.ValidPath(p) {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	m := t.source.pin(t.repo)
	defer t.source.unpin(m)
	_, content, err := m.read(t.oid(e), maxFile)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: p, Err: err}
	}
	return content, nil
}

// BlobID names the content of a file, "" when there is no such file.
func (t *Tree) BlobID(p string) string {
	e := t.regular(p)
	if e == nil {
		return ""
	}
	return t.oid(e)
}

// Files returns the path of every file, and of every symbolic link to one, sorted.
// The caller must not change the slice.
func (t *Tree) Files() ([]string, error) {
	t.listed.Do(func() {
		t.files = make([]string, 0, len(t.entries))
		for i := range t.entries {
			e := &t.entries[i]
			if e.kind == submodule || e.kind == link && t.regular(e.path) == nil || !fs.ValidPath(e.path) || hidden(e.path) {
				continue
			}
			t.files = append(t.files, e.path)
		}
	})
	return t.files, nil
}

// hidden reports whether a path is in a folder that the engine makes.
func hidden(p string) bool {
	return strings.HasPrefix(p, ".terraform/") || strings.Contains(p, "/.terraform/")
}
