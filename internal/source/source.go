// Package source reads repositories. It keeps a bare mirror of each (mirror.go), tells
// their history by first parent (history.go), gives access to the files of a commit
// without checking it out (tree.go), and says what goes into each instance from its
// repository (content.go): the stack's own directory, the modules it calls however
// deeply, every file that it reads elsewhere, its var files, its lock file, and what
// Ansible is going to use.
//
// For that the configuration files are not evaluated but looked through (extract.go):
// module calls and paths become templates (template.go), which graph.go resolves as far
// as they are known before a plan. What cannot be known is a warning with file and line.
// Looking through a file depends on nothing but its content, so the result is kept by
// blob (parses.go), over restarts too.
//
// Everything kept here can be deleted at any time; it is read again from the remote.
package source

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

// Options bound what a Source keeps and how long it waits. Zero values mean the
// defaults.
type Options struct {
	// MaxMirrors is how many mirrors are kept before the least recently used ones are
	// dropped; those used in the last ten minutes stay. Default 100.
	MaxMirrors int
	// CacheBytes bounds what is remembered of files that were looked through, in
	// memory; on disk it is at most twice that. Default 32 MiB.
	CacheBytes int64
	// Timeout bounds one conversation with a remote. Default 10 minutes.
	Timeout time.Duration
}

// Source reads repositories. It is safe for concurrent use; one process at a time may
// use a folder.
type Source struct {
	// Login tells as whom a repository is read over HTTP, when somebody has said so: user
	// and password, "" for neither. It may be nil, and is set before the first use.
	Login func(ctx context.Context, repo string) (user, password string, err error)

	dir       string
	opts      Options
	gitConfig string

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	working sync.WaitGroup

	mu      sync.Mutex
	mirrors map[string]*mirror // by folder
	flights map[string]*flight
	closed  bool

	parses  *parses
	modules *config.ModuleCache
	hashes  *lru[string] // of trees, by commit
	trees   *lru[*Tree]
	configs *lru[*loadedConfig]
	content *lru[map[string]Content]
	packs   *lru[Package]
	relaxer *time.Timer
}

// New opens the folder of mirrors, making it if needed.
func New(dir string, opts Options) (*Source, error) {
	if opts.MaxMirrors <= 0 {
		opts.MaxMirrors = 100
	}
	if opts.CacheBytes <= 0 {
		opts.CacheBytes = 32 << 20
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 10 * time.Minute
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, core.Errorf(core.Unavailable, "cannot make the folder of mirrors: %w", err)
	}
	s := &Source{
		dir: dir, opts: opts, gitConfig: filepath.Join(dir, "gitconfig"),
		mirrors: map[string]*mirror{}, flights: map[string]*flight{},
		parses: newParses(filepath.Join(dir, "parses"), opts.CacheBytes), modules: config.NewModuleCache(),
		hashes: newLRU[string](1 << 20), trees: newLRU[*Tree](12 << 20), configs: newLRU[*loadedConfig](12 << 20), content: newLRU[map[string]Content](16 << 20), packs: newLRU[Package](8 << 20),
	}
	if err := os.WriteFile(s.gitConfig, []byte(remoteConfig()), 0o600); err != nil {
		return nil, core.Errorf(core.Unavailable, "cannot write to the folder of mirrors: %w", err)
	}
	s.relaxer = time.AfterFunc(relaxAfter, s.relax)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.sweep()
	return s, nil
}

// Close ends what runs in the background and waits for it.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.relaxer.Stop()
	s.cancel()
	s.working.Wait()
	for _, m := range s.mirrors {
		m.closeBatch()
	}
	s.parses.flush()
	return nil
}

// relaxAfter is how long nothing was asked before memory is given back: an idle server
// is small. What comes next reads the file of parses again.
const relaxAfter = 5 * time.Minute

func (s *Source) relax() {
	s.trees.clear()
	s.configs.clear()
	s.content.clear()
	s.packs.clear()
	s.parses.unload()
}

// remoteConfig is the git configuration for talking to remotes: that of the user who
// runs the server, for credential helpers and proxies, and one thing that cannot be
// said on the command line because git does not pass it on to the other side of a
// local repository: whoever owns that, it may be read.
func remoteConfig() string {
	var include []string
	if file, ok := os.LookupEnv("GIT_CONFIG_GLOBAL"); ok {
		include = append(include, file)
	} else if home, err := os.UserHomeDir(); err == nil {
		xdg := os.Getenv("XDG_CONFIG_HOME")
		if xdg == "" {
			xdg = filepath.Join(home, ".config")
		}
		include = append(include, filepath.Join(xdg, "git", "config"), filepath.Join(home, ".gitconfig"))
	}
	var b strings.Builder
	b.WriteString("# Written by terrace at every start.\n")
	for _, file := range include {
		if filepath.IsAbs(file) {
			b.WriteString("[include]\n\tpath = " + strconv.Quote(file) + "\n")
		}
	}
	b.WriteString("[safe]\n\tdirectory = *\n")
	return b.String()
}
