package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
)

const (
	// idle is how long a mirror was not used when it may be dropped. Whoever was told
	// its path (a runner) has finished with it by then or reads only what it has open.
	idle = 10 * time.Minute
	// batchIdle is how long a process that reads objects waits for more work.
	batchIdle = 15 * time.Second
	// abandoned marks folders that are about to be removed.
	abandoned = ".removing-"
)

// mirror is a bare repository that holds what was fetched of one remote. Branches are
// kept as refs/terrace/heads/DIGEST, because two branches of which one is a path prefix
// of the other can follow one another on a remote but not in one repository; commits
// that a branch lost, as refs/terrace/kept/COMMIT, because they may be deployed.
type mirror struct {
	repo, dir string

	mu     sync.Mutex        // of everything that writes to it
	opened bool              // checked since this process started
	heads  map[string]string // by branch

	reading sync.Mutex // of what follows
	batch   *git.Batch
	closer  *time.Timer

	// Guarded by Source.mu.
	pins int
	used time.Time
}

// Mirror is the path of the bare repository that mirrors repo. It exists once
// something was fetched. Asking counts as using it.
func (s *Source) Mirror(repo string) string {
	m := s.pin(repo)
	defer s.unpin(m)
	return m.dir
}

// folder names the mirror so that a person recognises it and no two share it.
func folder(repo string) string {
	sum := sha256.Sum256([]byte(repo))
	name := strings.TrimSuffix(strings.TrimRight(repo, "/"), ".git")
	name = name[strings.LastIndexAny(name, "/:")+1:]
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, name)
	return strings.Trim(name[:min(len(name), 40)], "-") + "-" + hex.EncodeToString(sum[:8]) + ".git"
}

func branchRef(branch string) string {
	sum := sha256.Sum256([]byte(branch))
	return "refs/terrace/heads/" + hex.EncodeToString(sum[:16])
}

func keptRef(commit string) string { return "refs/terrace/kept/" + commit }

// pin returns the mirror of repo and keeps it from being dropped until unpin.
func (s *Source) pin(repo string) *mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := folder(repo)
	m := s.mirrors[name]
	if m == nil {
		m = &mirror{repo: repo, dir: filepath.Join(s.dir, name), heads: map[string]string{}}
		s.mirrors[name] = m
	}
	m.pins++
	m.touch()
	return m
}

func (s *Source) unpin(m *mirror) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.pins--
	m.touch()
}

// touch notes a use, on disk once a minute so that the order survives a restart.
func (m *mirror) touch() {
	now := time.Now()
	if now.Sub(m.used) > time.Minute {
		_ = os.Chtimes(m.dir, now, now) // not there yet: its making will say the same
	}
	m.used = now
}

// Fetch brings the mirror's copy of branch up to date and returns its head. Parallel
// calls share one conversation with the remote; when nothing is new that is one
// ls-remote. Errors are those of Check.
func (s *Source) Fetch(ctx context.Context, repo, branch string) (head string, err error) {
	if err := checkNames(repo, branch); err != nil {
		return "", err
	}
	if branch == "" {
		return "", core.Errorf(core.Invalid, "which branch of %s is to be read is not known; name it", repo)
	}
	return s.follow(ctx, repo, "refs/heads/"+branch, branch)
}

// FetchRef is Fetch for a ref that is no branch, as that under which a forge keeps the head
// of a pull request. NotFound when the remote does not have it.
func (s *Source) FetchRef(ctx context.Context, repo, ref string) (head string, err error) {
	if err := checkNames(repo, ""); err != nil {
		return "", err
	}
	if name, ok := strings.CutPrefix(ref, "refs/"); !ok || git.ValidBranch(name) != nil {
		return "", core.Errorf(core.Invalid, "%q cannot be the name of a ref", shown(ref))
	}
	return s.follow(ctx, repo, ref, "ref:"+ref)
}

// follow brings the mirror's copy of a ref up to date. No branch has the key of another ref.
func (s *Source) follow(ctx context.Context, repo, ref, key string) (head string, err error) {
	return s.fly(ctx, repo+"\x00"+key, func(ctx context.Context) (string, error) {
		m := s.pin(repo)
		defer s.unpin(m)
		head, changed, err := s.fetch(ctx, m, ref, key)
		if changed {
			s.tidy(m)
		}
		return head, err
	})
}

func (s *Source) fetch(ctx context.Context, m *mirror, ref, key string) (head string, changed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := s.open(ctx, m); err != nil {
		return "", false, err
	}
	known := m.heads[key]
	if known == "" {
		known = m.ref(ctx, branchRef(key))
	}
	if known != "" {
		refs, _, err := s.lsRemote(ctx, m.repo, ref)
		if err != nil {
			return "", false, explain(err, m.repo)
		}
		if refs[ref] == known {
			m.heads[key] = known
			return known, false, nil
		}
	}
	if err := s.bring(ctx, m, ref, branchRef(key)); err != nil {
		return "", false, s.whyNot(ctx, m, ref, err)
	}
	head = m.ref(ctx, branchRef(key))
	if head == "" {
		return "", false, core.Errorf(core.Internal, "%s was fetched but its %q cannot be read in %s; delete that folder, it is only a copy", m.repo, key, m.dir)
	}
	if known != "" {
		if _, err := m.git(ctx, "merge-base", "--is-ancestor", known, head); err != nil {
			// The branch was rewritten. What it lost may be deployed.
			if _, err := m.git(ctx, "update-ref", keptRef(known), known); err != nil {
				return "", false, err
			}
		}
	}
	m.heads[key] = head
	return head, true, nil
}

// bring fetches one ref or commit of the remote into a ref of the mirror.
func (s *Source) bring(ctx context.Context, m *mirror, from, to string) error {
	return s.bringAll(ctx, m, []string{"+" + from + ":" + to})
}

// bringAll fetches by refspecs. A mirror that turns out to be damaged is made anew, once.
func (s *Source) bringAll(ctx context.Context, m *mirror, refspecs []string) error {
	fetch := func() error {
		_, err := s.remote(ctx, m.repo, m.dir, append([]string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
			"--no-recurse-submodules", "--no-show-forced-updates", "--force", "--", m.repo}, refspecs...)...)
		return err
	}
	err := fetch()
	if err == nil || ctx.Err() != nil || isRefused(err) || m.sound(ctx) {
		return err
	}
	m.forget()
	if err := s.remove(m.dir); err != nil {
		return err
	}
	if err := s.open(ctx, m); err != nil {
		return err
	}
	return fetch()
}

// sound reports whether what the mirror has can be read to the end.
func (m *mirror) sound(ctx context.Context) bool {
	if _, err := m.git(ctx, "rev-parse", "--git-dir"); err != nil {
		return false
	}
	_, err := m.git(ctx, "rev-list", "--objects", "--quiet", "--glob=refs/terrace/*")
	return err == nil
}

// whyNot says why a branch could not be fetched; git's own words for a missing branch
// do not say which ones there are.
func (s *Source) whyNot(ctx context.Context, m *mirror, ref string, err error) error {
	if failed := (*git.Error)(nil); errors.As(err, &failed) && strings.Contains(failed.Stderr, "couldn't find remote ref") {
		branch, ok := strings.CutPrefix(ref, "refs/heads/")
		if !ok {
			return core.Errorf(core.NotFound, "%s has no %s, or not any more", m.repo, ref)
		}
		_, err := s.onlyBranch(ctx, m.repo, branch)
		return err
	}
	return explain(err, m.repo)
}

// open makes the mirror if it is not there, and removes what a killed process left in
// it. The caller holds m.mu.
func (s *Source) open(ctx context.Context, m *mirror) error {
	_, err := os.Stat(filepath.Join(m.dir, "HEAD"))
	if err == nil {
		if !m.opened {
			m.unlock()
			m.opened = true
		}
		return nil
	}
	m.forget()
	if err := s.remove(m.dir); err != nil {
		return err
	}
	made, err := os.MkdirTemp(s.dir, abandoned)
	if err != nil {
		return core.Errorf(core.Unavailable, "cannot make a mirror of %s: %w", m.repo, err)
	}
	args := []string{"init", "--quiet", "--bare", "--template=", "--initial-branch=none"}
	if format := s.objectFormat(ctx, m.repo); format != "" {
		args = append(args, "--object-format="+format)
	}
	if _, err := git.Run(ctx, git.Cmd{Args: append(args, "--", made)}); err != nil {
		_ = os.RemoveAll(made)
		return core.Errorf(core.Unavailable, "cannot make a mirror of %s: %w", m.repo, err)
	}
	if err := os.Rename(made, m.dir); err != nil {
		_ = os.RemoveAll(made)
		return core.Errorf(core.Unavailable, "cannot make a mirror of %s: %w", m.repo, err)
	}
	m.opened = true
	s.evict()
	return nil
}

// objectFormat is what a repository's object names are made with, "" for git's default.
func (s *Source) objectFormat(ctx context.Context, repo string) string {
	refs, _, err := s.lsRemote(ctx, repo, "HEAD", "refs/heads/*")
	if err != nil {
		return "" // the fetch that follows will say why
	}
	for _, oid := range refs {
		if len(oid) == 64 {
			return "sha256"
		}
	}
	return ""
}

// forget drops what this process knows of the mirror's content.
func (m *mirror) forget() {
	m.closeBatch()
	clear(m.heads)
}

// unlock removes lock files and unfinished packs of processes that were killed: this
// process is the only one that writes to mirrors.
func (m *mirror) unlock() {
	_ = filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && filepath.Base(filepath.Dir(path)) == "objects" && len(d.Name()) == 2 {
			return fs.SkipDir // loose objects: many, and never locked
		}
		if name := d.Name(); !d.IsDir() && (strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "tmp_") || name == "gc.pid") {
			_ = os.Remove(path)
		}
		return nil
	})
}

// ref returns the commit of a ref, "" when there is none.
func (m *mirror) ref(ctx context.Context, name string) string {
	out, err := m.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (m *mirror) git(ctx context.Context, args ...string) ([]byte, error) {
	return m.run(ctx, nil, args...)
}

// tidy lets git pack what many small fetches left, behind the caller's back.
func (s *Source) tidy(m *mirror) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	m.pins++
	s.working.Go(func() {
		defer s.unpin(m)
		m.mu.Lock()
		defer m.mu.Unlock()
		// A failure costs disk space only, and the next fetch tries again.
		_, _ = m.git(s.ctx, "-c", "gc.auto=2000", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")
	})
}

// objects returns the process that reads the mirror's objects. It ends by itself when
// nothing was asked for a while.
func (m *mirror) objects() (*git.Batch, error) {
	m.reading.Lock()
	defer m.reading.Unlock()
	if m.batch == nil {
		b, err := git.OpenBatch(m.dir)
		if err != nil {
			return nil, err
		}
		m.batch = b
		m.closer = time.AfterFunc(batchIdle, m.closeBatch)
	}
	m.closer.Reset(batchIdle)
	return m.batch, nil
}

func (m *mirror) closeBatch() {
	m.reading.Lock()
	defer m.reading.Unlock()
	if m.batch != nil {
		m.closer.Stop()
		_ = m.batch.Close() // it only read
		m.batch = nil
	}
}

// read returns an object. A process that was closed or broke meanwhile is replaced.
func (m *mirror) read(oid string, max int64) (kind string, content []byte, err error) {
	err = m.readMany([]string{oid}, max, func(_ int, k string, c []byte, err error) error {
		kind, content = k, c
		return err
	})
	return kind, content, err
}

func (m *mirror) readMany(oids []string, max int64, f func(i int, kind string, content []byte, err error) error) error {
	read := 0
	for again := true; ; again = false {
		b, err := m.objects()
		if err != nil {
			return err
		}
		from := read
		err = b.ReadMany(oids[from:], max, func(i int, kind string, content []byte, err error) error {
			read = from + i + 1
			return f(from+i, kind, content, err)
		})
		var failed *git.Error
		if !errors.As(err, &failed) || !again {
			return err
		}
		m.closeBatch()
	}
}

// sweep removes what an earlier process did not finish removing or making.
func (s *Source) sweep() {
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), abandoned) {
			_ = os.RemoveAll(filepath.Join(s.dir, e.Name()))
		}
	}
}

// remove deletes a mirror in one step as others see it.
func (s *Source) remove(dir string) error {
	gone := filepath.Join(s.dir, abandoned+filepath.Base(dir)+time.Now().Format("-150405.000000000"))
	if err := os.Rename(dir, gone); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return core.Errorf(core.Unavailable, "cannot remove a mirror: %w", err)
	}
	_ = os.RemoveAll(gone) // what is left goes at the next start
	return nil
}

// evict drops the least recently used mirrors above the limit. Those in use, or used a
// short while ago, stay, so the limit can be passed by projects that are all alive.
func (s *Source) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	type candidate struct {
		name string
		used time.Time
	}
	var all []candidate
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".git") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		c := candidate{name: e.Name()}
		if m := s.mirrors[e.Name()]; m != nil {
			c.used = m.used
		} else if info, err := e.Info(); err == nil {
			c.used = info.ModTime()
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b candidate) int { return a.used.Compare(b.used) })
	for _, c := range all[:max(0, len(all)-s.opts.MaxMirrors)] {
		m := s.mirrors[c.name]
		if m != nil && m.pins > 0 || time.Since(c.used) < idle {
			continue
		}
		if m != nil {
			m.closeBatch()
			delete(s.mirrors, c.name)
		}
		_ = s.remove(filepath.Join(s.dir, c.name)) // tried again when the next mirror is made
	}
}
