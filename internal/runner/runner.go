package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/redact"
	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/step/checkout"
	"github.com/terrace-cd/terrace/internal/wire"
)

// lastLook bounds tidying up.
const lastLook = 10 * time.Second

// attempt is one attempt at a run.
type attempt struct {
	Options
	api *client.Client
	job wire.Job

	work   context.Context // ends when the work has to stop; context.Cause says why
	report context.Context // ends only when there is nobody to report to
	stop   context.CancelCauseFunc
	// bakeOver is closed by endBake, when the server wants a verify run to end well.
	bakeOver chan struct{}
	endBake  func()

	clock    *clock
	mask     *redact.Redactor
	spool    *logSpool
	queue    *spool.Queue
	gate     *gate
	registry *registry // nil when the stack uses nothing of the module registry
	relay    *relay    // nil when the stack has a backend of its own
	out      *masked   // the log
	tree     *checkout.Tree
	uses     wire.Uses
	left     *wire.OwnState // what the stack's own backend has after a partial apply
	unfound  error          // why a recover run could not store what is there

	hooked   []wire.Hooked // how the hooks of this attempt ended
	anew     []string      // what was replaced in a partial apply
	image    string        // the id of what was built
	recap    []wire.Recap
	unwell   *wire.Provisioned // how far Ansible came, when it did not end well
	verified []wire.Probe
}

// Run executes one attempt, to its end and the delivery of its result. It returns an
// error only when there was no attempt to execute, or its end could not be reported;
// how the run ended is the server's to know. SIGTERM and SIGINT interrupt what is under
// way; it is waited for, and reported.
func Run(ctx context.Context, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP) // there is no terminal, and no server, whose end matters
	if err := process.Adopt(); err != nil {
		return err
	}
	if o.Cgroup != "" {
		if err := process.Nest(o.Cgroup); err != nil {
			return core.Errorf(core.Unavailable, "the runner's control group cannot be used: %w", err)
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	report, evict := context.WithCancelCause(context.WithoutCancel(ctx))
	defer evict(nil)
	work, stop := context.WithCancelCause(report)
	defer stop(nil)
	a := &attempt{Options: o, api: client.New(o.Server, o.Token), work: work, report: report, stop: stop,
		bakeOver: make(chan struct{}), clock: startClock(), mask: redact.New([]string{o.Token})}
	a.endBake = sync.OnceFunc(func() { close(a.bakeOver) })
	defer a.api.Close()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		done := ctx.Done()
		for {
			select {
			case <-signals:
				a.terminated()
			case <-done:
				done = nil
				a.terminated()
			case <-ended:
				return
			}
		}
	}()

	var err error
	a.job, err = a.api.Claim(work, o.Run, wire.Claim{PID: os.Getpid(), PIDStart: o.PIDStart, Host: process.Host()})
	if err != nil {
		return a.unclaimed(err)
	}
	return a.execute(evict)
}

// unclaimed reports why there is nothing to execute, where the server wants to know:
// a claim that begins the attempt can still fail for what it would have to be told.
func (a *attempt) unclaimed(err error) error {
	if !client.Permanent(err) {
		return fmt.Errorf("the run could not be claimed: %w", err)
	}
	v := a.judge(err)
	finish := wire.Finish{Status: string(v.status), Error: v.problem()}
	if refused := a.api.Finish(a.report, a.Run, finish); refused != nil {
		return fmt.Errorf("the run could not be claimed: %w", err) // it is not ours to finish
	}
	return a.tidy()
}

// execute does the work and reports its end.
func (a *attempt) execute(evict context.CancelCauseFunc) (err error) {
	for _, secret := range a.job.Secrets {
		a.mask.Add(secret)
	}
	a.mask.Add(a.job.Mask...)
	for _, dir := range []string{a.temp(), a.home()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	a.spool, err = openSpool(a.Dir, a.job.LogSeq, a.job.LogOffset,
		func(ctx context.Context, chunks []wire.LogChunk) error { return a.api.SendLogs(ctx, a.Run, chunks) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.spool.close()) }()
	if a.queue, err = spool.OpenQueue(a.Dir, a.job.Spool.Key, a.job.Spool.Wrapped); err != nil {
		return err
	}
	a.out = newMasked(a.mask, &lines{to: a.spool, phase: a.clock.phase})

	beats := a.startHeartbeat(evict)
	done := a.perform()
	if a.relay != nil {
		err = errors.Join(err, a.relay.close())
	}
	if a.registry != nil {
		err = errors.Join(err, a.registry.close())
	}
	if a.gate != nil {
		err = errors.Join(err, a.gate.close())
	}
	v := a.judge(done)
	if v.status != core.RunSucceeded && !errors.Is(done, errOver) {
		a.say("%s: %s", v.status, v.message)
	}
	err = errors.Join(err, a.out.flush())
	if a.report.Err() != nil {
		beats.stop()
		return errors.Join(errEvicted, a.closeTree())
	}
	if refused := a.spool.flush(a.report); refused != nil && !client.Permanent(refused) {
		err = errors.Join(err, fmt.Errorf("the log could not be delivered: %w", refused))
	}
	beats.stop()
	if !errors.Is(done, errOver) {
		err = errors.Join(err, a.finish(v))
	}
	if err = errors.Join(err, a.closeTree()); err != nil {
		return err
	}
	return a.tidy()
}

// perform does what the run is for.
func (a *attempt) perform() error {
	switch core.RunKind(a.job.Kind) {
	case core.KindVerify:
		return a.watch()
	case core.KindDrift:
		return a.look()
	case core.KindImage:
		return a.build()
	}
	return a.deploy()
}

// finish tells the server how the run ended.
func (a *attempt) finish(v *verdict) error {
	f := wire.Finish{Status: string(v.status), Error: v.problem(), Recap: a.recap, Verified: a.verified, Before: a.hooked, Image: a.image, Replaced: a.anew, Phases: a.clock.milliseconds(), Own: a.left, Provisioned: a.unwell}
	if f.Error != nil {
		f.Error.Message = a.mask.String(shorten(f.Error.Message))
	}
	for i := range f.Verified {
		f.Verified[i].Name, f.Verified[i].Message = a.mask.String(f.Verified[i].Name), a.mask.String(f.Verified[i].Message)
	}
	a.keep(spool.Finish, f)
	if err := a.api.Finish(a.report, a.Run, f); err != nil {
		return fmt.Errorf("the end of the run (%s) could not be reported: %w", v.status, err)
	}
	return nil
}

// keep has a report survive the runner, until it is delivered.
func (a *attempt) keep(name string, report any) {
	content, err := json.Marshal(report)
	if err == nil {
		err = a.queue.Keep(name, content)
	}
	if err != nil {
		a.say("%s: this cannot be kept on disk, and is lost when the runner is before the server has it: %v", name, err)
	}
}

// say writes a line of the runner's own to the log.
func (a *attempt) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.out, format+"\n", args...) // a log that cannot be written must not stop the run
}

// environment is what the processes of the run see: nothing of the machine's but where
// programs, certificates and proxies are, and the environment's secrets.
func (a *attempt) environment() []string {
	env := []string{"HOME=" + a.home(), "TMPDIR=" + a.temp(), "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}
	for _, name := range []string{"PATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range a.job.Secrets {
		env = append(env, name+"="+value)
	}
	return env
}

func (a *attempt) home() string { return filepath.Join(a.Dir, "home") }
func (a *attempt) temp() string { return filepath.Join(a.Dir, "tmp") }

func (a *attempt) grace() time.Duration {
	if d, err := time.ParseDuration(a.job.Grace); err == nil && d > 0 {
		return d
	}
	return process.DefaultGrace
}

// closeTree gives the work tree back and keeps the machine's trees within their bounds.
func (a *attempt) closeTree() error {
	if a.tree == nil {
		return nil
	}
	limits := checkout.DefaultLimits
	if a.KeepTrees > 0 {
		limits.Trees = a.KeepTrees
	}
	if a.KeepBytes > 0 {
		limits.Bytes = a.KeepBytes
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastLook) // the run is over
	defer cancel()
	err := errors.Join(a.tree.Measure(), a.tree.Close())
	if _, prune := checkout.Prune(ctx, a.trees(), limits); prune != nil {
		err = errors.Join(err, fmt.Errorf("removing old work trees: %w", prune))
	}
	return err
}

func (a *attempt) trees() string { return filepath.Join(a.Work, "trees") }

// tidy removes the folder of an attempt whose end is reported.
func (a *attempt) tidy() error { return os.RemoveAll(a.Dir) }

// masked is the log of a run as its steps write it.
type masked struct {
	*redact.Writer
	lines *lines
}

func newMasked(r *redact.Redactor, to *lines) *masked {
	return &masked{r.Writer(to), to}
}

// flush passes on what is held back: the end of a line, or what might be the beginning
// of a secret.
func (m *masked) flush() error { return errors.Join(m.Writer.Flush(), m.lines.flush()) }

var _ io.Writer = (*masked)(nil)
