// Package demo sets up a whole world to try Terrace in, on one machine and in one
// folder: a cloud (package democloud), a git repository with the shop of package
// examples, and a server that promotes it. Run pushes the shop through dev, staging
// and production, shows it, pushes a new version of its page, shows that only the
// stack concerned runs, and then leaves the world standing for whoever wants to play.
//
// It talks to the server as anybody would: through its API, with its token, and by
// pushing to a repository whose hook tells the server.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Server is a running Terrace.
type Server interface {
	URL() string
	Token() string
	Close(context.Context) error
}

// ServerOptions are what the demo's server needs.
type ServerOptions struct {
	Data           string // folder, which does not exist yet
	ProviderMirror string // folder of the cloud's provider
	Log            io.Writer
}

// Options of a demo. Stdout, Stderr, Exe, ProviderArgs, HookArgs and StartServer are
// required.
type Options struct {
	// Dir is an empty folder, or one to be made. "" means a temporary one, which is
	// removed at the end.
	Dir string
	// Exit ends the demo after the second rollout.
	Exit bool
	// JSON prints a Summary on Stdout at the end; what goes on goes to Stderr.
	JSON           bool
	Stdout, Stderr io.Writer
	// Exe with ProviderArgs runs provider.Serve, with HookArgs, a URL and a file it
	// runs SendHook.
	Exe                    string
	ProviderArgs, HookArgs []string
	StartServer            func(context.Context, ServerOptions) (Server, error)
	// Latency is how long the cloud takes to create something, 150 ms by default.
	Latency time.Duration
}

// patience is how long the two rollouts may take together. A machine that has to
// install an engine first needs minutes.
const patience = 15 * time.Minute

// stopWithin is how long the end of the demo waits for runs that were under way.
const stopWithin = 20 * time.Second

// Run runs the demo until ctx ends, or, with Exit, until both rollouts are through. It
// returns an error when a rollout does not end as it should. Whatever happens, what it
// started is stopped when it returns.
func Run(ctx context.Context, o Options) (err error) {
	screen := newScreen(o.Stdout)
	if o.JSON {
		screen = newScreen(o.Stderr)
	}
	dir, err := folder(o.Dir)
	if err != nil {
		return err
	}
	if o.Dir == "" {
		defer func() {
			// A runner that is just ending may still write there: no reason to fail.
			if err := os.RemoveAll(dir); err != nil {
				screen.printf("Left behind: %s (%v)\n", dir, err)
			}
		}()
	}
	if o.Latency == 0 {
		o.Latency = 150 * time.Millisecond
	}

	began := time.Now()
	summary := Summary{Rollouts: []RolloutSummary{}}
	w := &world{options: o, dir: dir, screen: screen}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		err = errors.Join(err, w.close(stop))
	}()
	show, cancel := context.WithTimeoutCause(ctx, patience, core.Errorf(core.Unavailable, "the demo was not through after %v", patience))
	err = w.show(show, &summary)
	if errors.Is(err, context.DeadlineExceeded) {
		err = context.Cause(show)
	}
	cancel()
	summary.Seconds = seconds(time.Since(began))
	summary.OK = err == nil
	if err != nil {
		summary.Error = core.MessageOf(err)
	}
	if o.JSON {
		err = errors.Join(err, summary.write(o.Stdout))
	}
	if err != nil || o.Exit {
		return err
	}
	if err := w.invite(ctx, summary); err != nil {
		return err
	}
	return w.follow(ctx)
}

// folder returns the absolute path of an empty folder.
func folder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "terrace-demo-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = core.Errorf(core.Conflict, "the folder %s is not empty: the demo needs one of its own", dir)
	}
	return dir, err
}

// show makes the world and carries two releases through it.
func (w *world) show(ctx context.Context, summary *Summary) error {
	if err := w.build(ctx); err != nil {
		return err
	}
	summary.URL = w.server.URL()
	first, err := w.promote(ctx, "Everything for the first time: dev, then staging, then production.", w.addProject)
	summary.add(first)
	if err != nil {
		return err
	}
	if err := w.checkPage(ctx, summary, firstVersion); err != nil {
		return err
	}

	second, err := w.promote(ctx, fmt.Sprintf("A commit changes the page to version %s. Only web has to run.", secondVersion), w.pushNewPage)
	summary.add(second)
	if err != nil {
		return err
	}
	if err := onlyWeb(second); err != nil {
		return err
	}
	return w.checkPage(ctx, summary, secondVersion)
}
