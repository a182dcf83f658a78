package demo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/wire"
)

const project = "shop"

// world is everything that the demo starts, in its folder:
//
//	cloud/      the cloud
//	providers/  where engines find its provider
//	shop.git/   the repository that the server watches
//	shop/       a clone of it to work in
//	server/     the server's data
//	server.log
type world struct {
	options Options
	dir     string
	screen  *screen

	cloud  *democloud.Cloud
	repo   *repository
	log    *os.File
	server Server
	api    *client.Client
	added  bool // the server knows the project
}

// engineConfig is where an engine of somebody who tries something learns of the cloud's
// provider.
func (w *world) engineConfig() string { return filepath.Join(w.dir, "tofurc") }

func (w *world) build(ctx context.Context) error {
	o := w.options
	if _, err := os.Stat(o.Exe); err != nil {
		return core.Errorf(core.Invalid, "the demo starts itself for providers and hooks, but is not at %s: %w", o.Exe, err)
	}
	cloud, err := democloud.New(democloud.Options{Dir: filepath.Join(w.dir, "cloud"), Latency: o.Latency})
	if err != nil {
		return err
	}
	w.cloud = cloud
	if err := cloud.Start(); err != nil {
		return err
	}
	w.screen.printf("A cloud on this machine          %s\n", cloud.URL())
	mirror := filepath.Join(w.dir, "providers")
	if err := democloud.WriteMirror(mirror, o.Exe, o.ProviderArgs); err != nil {
		return err
	}
	if err := os.WriteFile(w.engineConfig(), []byte("provider_installation {\n  filesystem_mirror {\n    path = "+strconv.Quote(mirror)+"\n  }\n}\n"), 0o600); err != nil {
		return err
	}
	lock, err := democloud.LockFile(mirror, democloud.ProviderHosts[0])
	if err != nil {
		return err
	}
	if w.repo, err = newRepository(ctx, w.dir, cloud.URL(), lock); err != nil {
		return err
	}
	w.screen.printf("A git repository with the shop   %s\n", w.repo.bare)
	if w.log, err = os.Create(filepath.Join(w.dir, "server.log")); err != nil {
		return err
	}
	w.server, err = o.StartServer(ctx, ServerOptions{Data: filepath.Join(w.dir, "server"), ProviderMirror: mirror, Log: w.log})
	if err != nil {
		return err
	}
	w.api = client.New(w.server.URL(), w.server.Token())
	page, err := w.entry(ctx)
	if err != nil {
		return err
	}
	w.screen.printf("Terrace, open it and watch       %s\n\n", page)
	return nil
}

// entry is a link that lets a browser in, once.
func (w *world) entry(ctx context.Context) (string, error) {
	e, err := w.api.CreateEntry(ctx)
	return w.server.URL() + e.Path, err
}

// close stops what runs first what uses the others: runs, server, cloud.
func (w *world) close(ctx context.Context) error {
	var errs []error
	if w.added {
		errs = append(errs, w.cancelRollouts(ctx))
	}
	if w.api != nil {
		w.api.Close()
	}
	if w.server != nil {
		errs = append(errs, w.server.Close(ctx))
	}
	if w.log != nil {
		errs = append(errs, w.log.Close())
	}
	if w.cloud != nil {
		errs = append(errs, w.cloud.Close())
	}
	return errors.Join(errs...)
}

// addProject makes the server know the repository, which starts the first rollout,
// and the repository tell the server of every push from now on.
func (w *world) addProject(ctx context.Context) (commit string, err error) {
	p, err := w.api.AddProject(ctx, wire.AddProject{Name: project, Repo: w.repo.bare})
	if err != nil {
		return "", err
	}
	w.added = true
	if p.Webhook == nil {
		return "", core.Errorf(core.Internal, "the server added project %s without telling its webhook", project)
	}
	if err := w.repo.tell(*p.Webhook, w.options.Exe, w.options.HookArgs); err != nil {
		return "", err
	}
	return w.repo.head(ctx)
}

func (w *world) pushNewPage(ctx context.Context) (commit string, err error) {
	if err := w.repo.changePage(ctx); err != nil {
		return "", err
	}
	return w.repo.head(ctx)
}

var pageVersion = regexp.MustCompile(`<meta name="page-version" content="([^"]*)">`)

// checkPage asks production's load balancer for the page, as a customer would.
func (w *world) checkPage(ctx context.Context, summary *Summary, want string) error {
	state, err := w.api.State(ctx, project, "production", "web")
	if err != nil {
		return err
	}
	var address string
	for _, output := range state.Outputs {
		if output.Name == "url" {
			if err := json.Unmarshal(output.Value, &address); err != nil {
				return core.Errorf(core.Internal, "output url of web@production is %s: %w", output.Value, err)
			}
		}
	}
	got, err := fetchVersion(ctx, address)
	if err != nil {
		return err
	}
	summary.Production = Production{URL: address, PageVersion: got, Committed: want}
	if got != want {
		return core.Errorf(core.Internal, "production serves version %s of the page at %s, not %s which was committed", got, address, want)
	}
	w.screen.printf("production serves version %s of the page at %s\n\n", got, address)
	return nil
}

func fetchVersion(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", core.Errorf(core.Internal, "the load balancer's address %q is none: %w", address, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", core.Errorf(core.Unavailable, "production does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", core.Errorf(core.Unavailable, "production's answer broke off: %w", err)
	}
	version := pageVersion.FindSubmatch(page)
	if resp.StatusCode != http.StatusOK || version == nil {
		return "", core.Errorf(core.Internal, "production answers %s with no version on its page", resp.Status)
	}
	return string(version[1]), nil
}
