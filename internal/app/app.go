// Package app is the composition root of the server: it builds everything, starts it
// in order and stops it in the opposite one. It is what the server command starts,
// and what tests start on port 0.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/executor"
	"github.com/terrace-cd/terrace/internal/executor/local"
	"github.com/terrace-cd/terrace/internal/httpapi"
	"github.com/terrace-cd/terrace/internal/jobs"
	"github.com/terrace-cd/terrace/internal/reconcile"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/access"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/drift"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/keys"
	"github.com/terrace-cd/terrace/internal/service/likeness"
	"github.com/terrace-cd/terrace/internal/service/modules"
	"github.com/terrace-cd/terrace/internal/service/previews"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/rollouts"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/sandboxes"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/service/verification"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/web"
)

// Options of a server. Data is required.
type Options struct {
	Data   string // folder for everything
	Listen string // address, default 127.0.0.1:8750
	URL    string // where runners and webhooks reach the server; default: Listen
	// RegistryHost is what people write as the host of a module of the registry. Default:
	// the host of the URL.
	RegistryHost string
	Database     string // default: a SQLite file in Data
	Storage      string // of states: a folder or s3://BUCKET?…, default: a folder in Data
	Poll         time.Duration
	// ProviderMirrors are folders in the layout of a filesystem mirror, searched
	// before the network.
	ProviderMirrors []string
	// Exe is the terrace binary that runners are started from.
	Exe string
	// MaxRunners is how many runs may be worked on at once.
	MaxRunners int
	// KeepLogs bounds the logs that are kept, in bytes.
	KeepLogs int64
	// MasterKeys name the keys that wrap the sealing keys, the first of which is used
	// anew: file:PATH, env:VARIABLE, or the URL of a key in a key management service.
	// Default: TERRACE_MASTER_KEY when it is set, else master.key in Data, which is made.
	MasterKeys []string
	// KeepTrees bounds the kept work trees.
	KeepTrees int
	// KeepMirrors bounds the mirrors of repositories.
	KeepMirrors int
	Version     string
	Log         *slog.Logger

	settle time.Duration // keys.Options
}

// App is a running server.
type App struct {
	options Options
	store   *store.DB
	wire    *store.Wire // nil when no other server can be on the database
	sources *source.Source
	server  *http.Server
	url     string
	token   string
	unlock  func()
	cancel  context.CancelFunc
	work    sync.WaitGroup
	leader  *leader
	serve   chan error
}

func (o *Options) defaults() error {
	if o.Data == "" {
		return core.Errorf(core.Invalid, "a server needs a data folder: --data DIR")
	}
	data, err := filepath.Abs(o.Data)
	if err != nil {
		return err
	}
	o.Data = data
	if o.Listen == "" {
		o.Listen = "127.0.0.1:8750"
	}
	if o.Poll <= 0 {
		o.Poll = 30 * time.Second
	}
	if o.MaxRunners <= 0 {
		o.MaxRunners = max(4, 2*runtime.NumCPU())
	}
	if o.KeepLogs <= 0 {
		o.KeepLogs = 1 << 30
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Database == "" {
		o.Database = os.Getenv("TERRACE_DATABASE") // which keeps a password out of the list of processes
	}
	if o.Database == "" {
		o.Database = filepath.Join(o.Data, "terrace.db")
	}
	if o.Storage == "" {
		o.Storage = filepath.Join(o.Data, "blobs")
	}
	if o.URL != "" {
		u, err := url.Parse(o.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
			return core.Errorf(core.Invalid, "%q is no URL at which a server can be reached, such as https://terrace.example.com", o.URL)
		}
		o.URL = strings.TrimRight(o.URL, "/")
	}
	if o.RegistryHost != "" && !registryHost.MatchString(o.RegistryHost) {
		return core.Errorf(core.Invalid, "%q cannot be the host of a module registry; write for example terrace.example.com, without https://", o.RegistryHost)
	}
	if o.Exe == "" {
		if o.Exe, err = os.Executable(); err != nil {
			return err
		}
	}
	return nil
}

// registryHost is what engines take for the host in a module's source.
var registryHost = regexp.MustCompile(`^[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*(:[0-9]{1,5})?$`)

// Start starts a server. It answers when Start returns; Close stops it. Errors say
// what is in the way: a data folder in use, an address taken, a database of a newer
// version.
func Start(ctx context.Context, o Options) (_ *App, err error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	a := &App{options: o, serve: make(chan error, 1)}
	defer func() {
		if err != nil {
			a.release()
		}
	}()
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return nil, core.Errorf(core.Unavailable, "the data folder cannot be made: %w", err)
	}
	if a.unlock, err = lockFolder(o.Data); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "cannot listen on %s (choose another address with --listen): %w", o.Listen, err)
	}
	defer func() {
		if err != nil {
			_ = listener.Close()
		}
	}()
	a.url = cmp.Or(o.URL, "http://"+reachable(listener.Addr().String()))
	if a.store, err = store.Open(ctx, o.Database); err != nil {
		return nil, err
	}
	id, err := serverID(o.Data)
	if err != nil {
		return nil, err
	}
	a.leader = &leader{store: a.store, shared: a.store.Shared(), holder: id, url: a.URL, log: o.Log}
	handler, always, err := a.build(ctx)
	if err != nil {
		return nil, err
	}
	workCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancel = cancel
	a.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), BaseContext: func(net.Listener) context.Context { return workCtx }}
	go func() { a.serve <- a.server.Serve(listener) }()
	a.work.Go(func() { always(workCtx) })
	a.work.Go(func() { a.leader.run(workCtx) })
	return a, nil
}

// build makes the parts and wires them. What it returns runs until its context ends, on
// every server; the leader's loops on one.
func (a *App) build(ctx context.Context) (http.Handler, func(context.Context), error) {
	o := a.options
	masters, err := seal.OpenMasters(ctx, o.MasterKeys, filepath.Join(o.Data, "master.key"), true)
	if err != nil {
		return nil, nil, err
	}
	if masters.Made != "" {
		if err := a.refuseNewKey(ctx); err != nil {
			return nil, nil, err
		}
		o.Log.Warn("made a master key; whoever loses it loses every state and secret: keep a copy elsewhere", "file", masters.Made)
	}
	blobs, err := blob.OpenURL(ctx, o.Storage)
	if err != nil {
		return nil, nil, err
	}
	if err := claimStorage(ctx, a.store, blobs, blob.Shown(o.Storage)); err != nil {
		return nil, nil, err
	}
	changes := bus.New()
	if a.wire = a.store.Wire(); a.wire != nil {
		changes.Forward = a.wire.Say
	}
	keyService, err := keys.Open(ctx, keys.Options{Store: a.store, Blobs: blobs, Masters: masters, Bus: changes, Log: o.Log, Settle: o.settle})
	if err != nil {
		return nil, nil, err
	}
	keyring := keyService.Ring()
	sources, err := source.New(filepath.Join(o.Data, "mirrors"), source.Options{MaxMirrors: o.KeepMirrors})
	if err != nil {
		return nil, nil, err
	}
	a.sources = sources
	evaluator := &wanted.Evaluator{Store: a.store, Source: sources, Blobs: blobs, Seal: keyring}
	states := state.New(a.store, blobs, keyring)
	newer, err := states.AdoptNewer(ctx, state.HoldNewer)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range newer {
		o.Log.Warn("storage has a state that the database does not know; its environment is held", "project", n.Project,
			"instance", core.InstanceName(n.Stack, n.Environment), "serial", n.Serial, "known", n.Known, "entry", n.Entry)
	}
	rails := &guardrails.Service{Store: a.store, Bus: changes}
	evaluator.Rails = rails
	runService := &runs.Service{Store: a.store, Guardrails: rails, Wanted: evaluator, Source: sources, State: states, Seal: keyring, Bus: changes, Log: o.Log,
		URL: a.URL, Grace: 5 * time.Minute, VerifyEvery: 10 * time.Second}
	states.SetGuard(runService.Forgotten)
	moduleService := &modules.Service{Store: a.store, Source: sources, Wanted: evaluator, Seal: keyring, Log: o.Log, Host: a.registryHost(), Every: o.Poll}
	runService.RegistryHost, evaluator.Unreleased = moduleService.Host, moduleService.Unreleased
	projectService := &projects.Service{Modules: moduleService.Resolve, Store: a.store, Source: sources, Wanted: evaluator, Seal: keyring, Bus: changes, Log: o.Log}
	sandboxService := &sandboxes.Service{Store: a.store, Source: sources, Wanted: evaluator, Guardrails: rails, Projects: projectService, Runs: runService, Bus: changes, Log: o.Log}
	projectService.BranchGone, rails.Misfits = sandboxService.BranchGone, projectService.GuardMisfits
	previewService := &previews.Service{Store: a.store, Source: sources, Wanted: evaluator, Guardrails: rails, Projects: projectService, Runs: runService, Sandboxes: sandboxService,
		Seal: keyring, Bus: changes, Log: o.Log, URL: a.URL}
	sources.Login = previewService.Login
	rolloutService := &rollouts.Service{Store: a.store, Wanted: evaluator, Projects: projectService, Runs: runService, Bus: changes}
	boardService := &board.Service{Store: a.store, Wanted: evaluator, Projects: projectService, Runs: runService,
		Webhook: func(project string) string { return a.url + "/hooks/" + project }}
	accessService := &access.Service{Store: a.store, Guardrails: rails, Seal: keyring, Bus: changes}
	if err := a.firstToken(ctx, accessService); err != nil {
		return nil, nil, err
	}
	starter, err := local.New(local.Options{Exe: o.Exe, Dir: filepath.Join(o.Data, "runner"), ProviderMirrors: o.ProviderMirrors, KeepTrees: o.KeepTrees, Log: o.Log})
	if err != nil {
		return nil, nil, err
	}
	exec := &executor.Executor{Store: a.store, Runs: runService, Starter: starter, Bus: changes, Log: o.Log, URL: a.URL, Max: o.MaxRunners}
	runService.Interrupt, runService.Kill, runService.Host = exec.Interrupt, exec.Kill, starter.Host()
	poller := &jobs.Poller{Projects: projectService, Pulls: previewService.Read, Every: o.Poll, Log: o.Log}
	keeper := &jobs.Keeper{Store: a.store, Blobs: blobs, KeepLogs: o.KeepLogs, Log: o.Log}
	likenessService := &likeness.Service{Store: a.store, State: states, Runs: runService, Wanted: evaluator, Source: sources, Bus: changes, Log: o.Log}
	loop := &reconcile.Reconciler{Likeness: likenessService, Store: a.store, Wanted: evaluator, Guardrails: rails, Runs: runService, Bus: changes, Log: o.Log}
	listen, ask := a.listen(changes, poller)
	previewService.Ask = ask
	api := &httpapi.API{Access: accessService, Likeness: likenessService, Modules: moduleService, Board: boardService, Bus: changes, Drift: &drift.Service{Store: a.store, Runs: runService, Wanted: evaluator, Bus: changes},
		Verification: &verification.Service{Store: a.store, Runs: runService, Wanted: evaluator, Bus: changes}, Guardrails: rails, Keys: keyService, Projects: projectService, Rollouts: rolloutService, Runs: runService, Sandboxes: sandboxService, Previews: previewService,
		State: states, Wanted: evaluator, Store: a.store, VerifyEvents: a.store.VerifyEvents, Log: o.Log, Ask: ask, Version: o.Version}
	api.Pages = web.New(httpapi.Pages{API: api}, web.Options{Version: o.Version})
	always := func(ctx context.Context) {
		a.work.Go(func() { exec.Tend(ctx) })
		a.work.Go(func() { keyService.Tend(ctx) })
		listen(ctx)
	}
	a.leader.loops = []func(context.Context){loop.Run, likenessService.Tend, exec.Run, poller.Run, moduleService.Tend, sandboxService.Tend, previewService.Tend, previewService.Talk, keeper.Run, keyService.Run}
	return api.Handler(), always, nil
}

// registryHost is the host in the sources of the registry's modules.
func (a *App) registryHost() string {
	if a.options.RegistryHost != "" {
		return strings.ToLower(a.options.RegistryHost)
	}
	if u, err := url.Parse(a.url); err == nil {
		return strings.ToLower(u.Host)
	}
	return ""
}

// pollTopic begins the topic by which a server that got a webhook asks the one that
// reads branches.
const pollTopic = "poll:"

// listen connects this server with the others on its database: what to run for it, and
// how to ask for the reading of a branch.
func (a *App) listen(changes *bus.Bus, poller *jobs.Poller) (run func(context.Context), ask func(project string)) {
	if a.wire == nil {
		return func(context.Context) {}, poller.Ask
	}
	run = func(ctx context.Context) {
		a.wire.Run(ctx, func(topic string) {
			if project, ok := strings.CutPrefix(topic, pollTopic); ok {
				poller.Ask(project)
				return
			}
			changes.Heard(topic)
		})
	}
	return run, func(project string) {
		poller.Ask(project)
		a.wire.Say(pollTopic + project)
	}
}

// refuseNewKey stops a server whose master key is gone while what it sealed is still
// there: going on with another key would lose all of it without a word.
func (a *App) refuseNewKey(ctx context.Context) error {
	var tokens []core.Token
	if err := a.store.View(ctx, func(tx core.Tx) (err error) {
		tokens, err = tx.Tokens()
		return err
	}); err != nil || len(tokens) == 0 {
		return err
	}
	file := filepath.Join(a.options.Data, "master.key")
	if err := os.Remove(file); err != nil {
		return err
	}
	return core.Errorf(core.Invalid, "the master key %s is gone, and the states and secrets of this server cannot be read without it; put a copy back (or set TERRACE_MASTER_KEY)", file)
}

// firstToken makes the admin token of a fresh server, or of one that lets in no admin any
// more, and leaves it in Data: who owns the machine owns the server. The file is written
// first: a crash in between leaves a secret that the next start stores, never a token that
// nobody knows.
func (a *App) firstToken(ctx context.Context, s *access.Service) error {
	file := filepath.Join(a.options.Data, "admin-token")
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return core.Errorf(core.Unavailable, "the admin token cannot be read: %w", err)
	}
	a.token = strings.TrimSpace(string(data))
	has, err := s.HasAdmin(ctx)
	if err != nil || has {
		return err // a missing file: somebody took it away on purpose; the token still works
	}
	store := func() error {
		_, err := s.AddToken(ctx, "server", core.Token{Name: "admin", Role: core.RoleAdmin}, a.token, 0)
		return err
	}
	if a.token != "" {
		if err := store(); core.CodeOf(err) != core.Conflict {
			return err
		}
		a.options.Log.Warn("no token lets in an admin any more, and the one in the data folder was revoked; made another one", "file", file)
	}
	a.token = access.NewSecret()
	if err := os.WriteFile(file, []byte(a.token+"\n"), 0o600); err != nil {
		return core.Errorf(core.Unavailable, "the admin token cannot be written: %w", err)
	}
	return store()
}

// URL is where the server is reached.
func (a *App) URL() string { return a.url }

// Token is the admin token; "" when somebody took its file away.
func (a *App) Token() string { return a.token }

// Wait blocks until the server fails or ctx ends.
func (a *App) Wait(ctx context.Context) error {
	select {
	case err := <-a.serve:
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// Close stops the server. Runners go on: they deliver their results to the next one.
func (a *App) Close(ctx context.Context) error {
	a.cancel() // streams end with it
	err := a.server.Shutdown(ctx)
	a.work.Wait()
	a.release()
	return err
}

func (a *App) release() {
	if a.sources != nil {
		if err := a.sources.Close(); err != nil {
			a.options.Log.Error("closing the mirrors", "error", err)
		}
	}
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			a.options.Log.Error("closing the database", "error", err)
		}
	}
	if a.unlock != nil {
		a.unlock()
	}
}

// reachable replaces an address that means "every interface" by loopback.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
