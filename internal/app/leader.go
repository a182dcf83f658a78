package app

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// leaderLease is the lease of the server that decides and starts runs for all servers
// on one database. The others answer requests, and wait. It is only for order: what a
// server does after it has lost the lease without noticing is refused by the guards of
// every transition and by the fences of runs.
const leaderLease = "leader"

const (
	leaseFor   = 15 * time.Second
	renewEvery = 4 * time.Second
	// stopBefore is how long before the end of a lease that cannot be renewed its holder
	// stops: the loops need a moment.
	stopBefore = 3 * time.Second
)

// leader runs the loops of which there must be one on a database.
type leader struct {
	store  core.Store
	shared bool // other servers may be on the database: SQLite is one server's
	holder string
	url    func() string
	log    *slog.Logger
	loops  []func(context.Context)

	leads atomic.Bool
	work  sync.WaitGroup
	stop  context.CancelFunc
	until time.Time // by this machine's monotonic clock
}

// serverID names this server among those on one database. It stays the same over
// restarts, so that a server that was killed gets its own lease back at once.
func serverID(data string) (string, error) {
	file := filepath.Join(data, "server-id")
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		content = []byte(strings.ToLower(rand.Text()[:10]))
		err = os.WriteFile(file, append(content, '\n'), 0o600)
	}
	if err != nil {
		return "", core.Errorf(core.Unavailable, "the server's name cannot be kept: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "server" // the random part tells servers apart
	}
	return host + "/" + strings.TrimSpace(string(content)), nil
}

// run works until ctx ends, and gives the lease back.
func (l *leader) run(ctx context.Context) {
	if !l.shared {
		l.lead(ctx, core.Lease{})
		<-ctx.Done()
		l.retire()
		return
	}
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		l.renew(ctx)
		select {
		case <-ctx.Done():
			l.retire()
			l.free(context.WithoutCancel(ctx))
			return
		case <-tick.C:
		}
	}
}

// renew takes the lease or keeps it, and starts and stops the loops accordingly.
func (l *leader) renew(ctx context.Context) {
	asked := time.Now()
	within, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	var lease core.Lease
	err := l.store.Update(within, func(tx core.Tx) (err error) {
		lease, err = tx.TakeLease(leaderLease, l.holder, l.url(), leaseFor)
		return err
	})
	switch {
	case err == nil:
		l.until = asked.Add(leaseFor)
		if !l.leads.Load() {
			l.lead(ctx, lease)
		}
	case core.CodeOf(err) == core.Conflict:
		if l.leads.Load() {
			l.log.Warn("another server took over", "holder", lease.Holder, "url", lease.URL)
			l.retire()
		}
	case ctx.Err() == nil:
		l.log.Error("renewing the lease of the deciding server", "error", err)
		if l.leads.Load() && time.Until(l.until) < stopBefore+renewEvery {
			l.log.Warn("deciding stops until the database answers again")
			l.retire()
		}
	}
}

func (l *leader) lead(ctx context.Context, lease core.Lease) {
	work, stop := context.WithCancel(ctx)
	l.stop = stop
	l.leads.Store(true)
	l.log.Debug("this server decides", "server", l.holder, "fence", lease.Fence)
	for _, loop := range l.loops {
		l.work.Go(func() { loop(work) })
	}
}

// retire stops the loops and waits for them.
func (l *leader) retire() {
	if l.stop != nil {
		l.stop()
	}
	l.work.Wait()
	l.leads.Store(false)
}

func (l *leader) free(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	if err := l.store.Update(ctx, func(tx core.Tx) error { return tx.FreeLease(leaderLease, l.holder) }); err != nil {
		l.log.Debug("giving the lease back", "error", err) // it ends by itself
	}
}

// Leads reports whether this server decides for all on its database.
func (a *App) Leads() bool { return a.leader.leads.Load() }
