package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// most is what the server may need of memory, in MB, whatever is done to it.
const most = 300

// load is everything under (load).
func (w *world) load(ctx context.Context, rounds int) (all []result, err error) {
	k := &kit{ctx: ctx, say: w.sayf}
	defer k.close()
	err = k.within(func() error {
		postgres := testkit.PostgresServer(k)
		for _, on := range []struct {
			name, database string
			target         float64
		}{{"SQLite", "", 500}, {"PostgreSQL", postgres.Database(k), 250}} {
			flags := []string{}
			if on.database != "" {
				flags = []string{"--database", on.database}
			}
			s, err := w.start(ctx, "load-"+strings.ToLower(on.name), "", map[string]string{"README.md": "nothing to roll out"}, flags...)
			if err != nil {
				return err
			}
			results, err := s.states(ctx, on.name, on.target)
			all = append(all, results...)
			if err == nil {
				results, err = s.large(ctx, on.name)
				all = append(all, results...)
			}
			s.stop()
			if err != nil {
				return err
			}
		}
		results, err := w.engines(ctx, k, postgres, rounds)
		if all = append(all, results...); err != nil {
			return err
		}
		results, err = w.logs(ctx)
		all = append(all, results...)
		return err
	})
	return all, err
}

// protocol is a client of the state protocol, as an engine is one.
type protocol struct {
	s    *server
	http *http.Client

	mu   sync.Mutex
	took []time.Duration
}

func (s *server) protocol(clients int) *protocol {
	return &protocol{s: s, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, MaxConnsPerHost: 0}}}
}

// do sends one request; a status that is not among wanted is an error.
func (p *protocol) do(ctx context.Context, method, instance, query string, body []byte, wanted ...int) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.s.url+"/state/"+p.s.project.Name+"/dev/"+instance+query, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth("terrace", p.s.token)
	began := time.Now()
	resp, err := p.http.Do(req)
	if err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err
	}
	p.mu.Lock()
	p.took = append(p.took, took)
	p.mu.Unlock()
	if !slices.Contains(wanted, resp.StatusCode) {
		return resp.StatusCode, fmt.Errorf("%s of %s was answered %s: %.200s", method, instance, resp.Status, answer)
	}
	return resp.StatusCode, nil
}

// percentile of what requests took, in milliseconds.
func (p *protocol) percentile(of float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) == 0 {
		return 0
	}
	slices.Sort(p.took)
	return p.took[min(len(p.took)-1, int(of*float64(len(p.took))))].Seconds() * 1000
}

// filler makes a state of about n bytes.
func filled(serial, n int) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.12.0","serial":%d,"lineage":"load","outputs":{"o":{"value":%q,"type":"string"}},"resources":[]}`, serial, strings.Repeat("0123456789abcdef", n/16))
}

// states is LOCK, GET, POST of 100 KB and UNLOCK by 1, 32 and 256 clients, each on an
// instance of its own, and 1,000 clients that want the lock of one. Without a pause all of
// the clients' requests are always under way, so that what one takes is their number by the
// throughput; with a pace each begins a cycle every so often, as engines do.
func (s *server) states(ctx context.Context, on string, target float64) (all []result, err error) {
	watch := s.watch(ctx)
	const during = 10 * time.Second
	for _, l := range []struct {
		clients int
		pace    time.Duration
	}{{1, 0}, {32, 0}, {256, 0}, {256, 3 * time.Second}} {
		clients := l.clients
		name := fmt.Sprintf("%s, %d clients", on, clients)
		if l.pace > 0 {
			name += fmt.Sprintf(" with a cycle every %s", l.pace)
		}
		p := s.protocol(clients)
		var cycles atomic.Int64
		err := together(clients, func(i int) error {
			instance := fmt.Sprintf("s%d-%d-%d", clients, l.pace/time.Second, i)
			lock := fmt.Appendf(nil, `{"ID":"l-%d","Who":"client %d"}`, i, i)
			next := time.Now().Add(time.Duration(float64(l.pace) * float64(i) / float64(clients)))
			for serial, until := 1, time.Now().Add(during); time.Now().Before(until); serial++ {
				if err := wait(ctx, time.Until(next)); err != nil {
					return err
				}
				next = next.Add(l.pace)
				for _, step := range []struct {
					method, query string
					body          []byte
				}{{"LOCK", "", lock}, {"GET", "", nil}, {"POST", fmt.Sprintf("?ID=l-%d", i), filled(serial, 100_000)}, {"UNLOCK", "", lock}} {
					if _, err := p.do(ctx, step.method, instance, step.query, step.body, http.StatusOK, http.StatusNoContent); err != nil {
						return err
					}
				}
				cycles.Add(1)
			}
			return nil
		})
		p.http.CloseIdleConnections()
		if err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
		r := absolute("load", name+": p99 of a request", "ms", []float64{p.percentile(0.99)}, target)
		if clients != 256 {
			r.Target, r.Reached = 0, true
		}
		r.Note = fmt.Sprintf("%.0f cycles/s, p50 %.1f ms, no error in %d requests", float64(cycles.Load())/during.Seconds(), p.percentile(0.5), len(p.took))
		s.w.sayf("%s: %.1f ms; %s", r.What, r.Value, r.Note)
		all = append(all, r)
	}
	r, err := s.lockers(ctx, on)
	if err != nil {
		return all, err
	}
	all = append(all, r)
	peak, err := watch()
	all = append(all, absolute("load", on+": the server's memory meanwhile, at most", "MB", []float64{peak}, most))
	return all, err
}

// wait waits for a while.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// lockers are 1,000 clients that want the lock of one instance, again and again.
func (s *server) lockers(ctx context.Context, on string) (result, error) {
	const clients = 1000
	p := s.protocol(200)
	p.http.Transport.(*http.Transport).MaxConnsPerHost = 200
	defer p.http.CloseIdleConnections()
	const during = 20 * time.Second
	var holders, had, refused, twice atomic.Int64
	until := time.Now().Add(during)
	err := together(clients, func(i int) error {
		lock := fmt.Appendf(nil, `{"ID":"l-%d","Who":"client %d"}`, i, i)
		for time.Now().Before(until) {
			status, err := p.do(ctx, "LOCK", "wanted", "", lock, http.StatusOK, http.StatusLocked)
			if err != nil {
				return err
			}
			if status == http.StatusLocked {
				refused.Add(1)
				if err := wait(ctx, time.Duration(rand.IntN(500))*time.Millisecond); err != nil {
					return err
				}
				continue
			}
			had.Add(1)
			if holders.Add(1) > 1 {
				twice.Add(1)
			}
			holders.Add(-1)
			if _, err := p.do(ctx, "UNLOCK", "wanted", "", lock, http.StatusOK); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return result{}, err
	}
	r := absolute("load", on+", 1,000 clients and one lock: moments with two holders", "", []float64{float64(twice.Load())}, 0)
	r.Note = fmt.Sprintf("locked %d times in %s, refused %d times, with the holder; no error, p99 %.0f ms", had.Load(), during, refused.Load(), p.percentile(0.99))
	s.w.sayf("%s: %.0f; %s", r.What, r.Value, r.Note)
	return r, nil
}

// large is a state of 100 MB, written and read.
func (s *server) large(ctx context.Context, on string) ([]result, error) {
	watch := s.watch(ctx)
	p := s.protocol(1)
	defer p.http.CloseIdleConnections()
	lock := []byte(`{"ID":"l","Who":"large"}`)
	body := filled(1, 100<<20)
	for _, step := range []struct {
		method, query string
		body          []byte
	}{{"LOCK", "", lock}, {"POST", "?ID=l", body}, {"GET", "", nil}, {"UNLOCK", "", lock}} {
		if _, err := p.do(ctx, step.method, "large", step.query, step.body, http.StatusOK); err != nil {
			return nil, err
		}
	}
	took := slices.Clone(p.took)
	peak, err := watch()
	r := absolute("load", on+", a state of 100 MB: the server's memory, at most", "MB", []float64{peak}, most)
	r.Note = fmt.Sprintf("written in %.1f s, read in %.1f s", took[1].Seconds(), took[2].Seconds())
	s.w.sayf("%s: %.0f MB; %s", r.What, r.Value, r.Note)
	return []result{r}, err
}

// watch looks at the server's memory until it is asked for the most there was, in MB.
func (s *server) watch(ctx context.Context) (peak func() (float64, error)) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	var highest float64
	var failed error
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			mb, err := s.memory(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				failed = err
				return
			}
			highest = max(highest, mb)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() (float64, error) {
		stop()
		<-done
		return highest, failed
	}
}

// together does something n times at once. The first error is returned when all are done.
func together(n int, f func(i int) error) error {
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// processes is how many engines work at once.
const processes = 8

// engines is an apply by real engines at once, each on a state of its own of about 100 KB:
// on Terrace, and on the backends that teams have otherwise.
func (w *world) engines(ctx context.Context, k *kit, postgres *testkit.PostgreSQL, rounds int) (all []result, err error) {
	bucket := testkit.S3(k)
	type side struct {
		name, block string
		env         func(i int) []string
		took        []float64
	}
	sides := []*side{
		{name: "pg", block: `backend "pg" {}`, env: func(i int) []string {
			return []string{"PG_CONN_STR=" + postgres.Database(k), fmt.Sprintf("PG_SCHEMA_NAME=s%d", i)}
		}},
		{name: "s3", block: fmt.Sprintf("backend \"s3\" {\n    bucket = %q\n    region = %q\n    endpoints = { s3 = %q }\n    use_path_style = true\n    use_lockfile = true\n    skip_credentials_validation = true\n    skip_requesting_account_id = true\n    skip_metadata_api_check = true\n    skip_region_validation = true\n  }", bucket.Bucket, bucket.Region, bucket.Endpoint),
			env: func(int) []string { return bucket.Env() }},
	}
	pg := postgres.Database(k)
	sides[0].env = func(i int) []string { return []string{"PG_CONN_STR=" + pg, fmt.Sprintf("PG_SCHEMA_NAME=s%d", i)} }
	for _, on := range []struct {
		name  string
		flags []string
	}{{"Terrace on SQLite", nil}, {"Terrace on PostgreSQL", []string{"--database", postgres.Database(k)}}} {
		s, err := w.start(ctx, "engines-"+strings.ToLower(on.name[len("Terrace on "):]), "", map[string]string{"README.md": "nothing to roll out"}, on.flags...)
		if err != nil {
			return nil, err
		}
		defer s.stop()
		sides = append(sides, &side{name: on.name, block: `backend "http" {}`, env: func(i int) []string {
			address := fmt.Sprintf("%s/state/%s/dev/e%d", s.url, s.project.Name, i)
			return []string{"TF_HTTP_ADDRESS=" + address, "TF_HTTP_LOCK_ADDRESS=" + address, "TF_HTTP_UNLOCK_ADDRESS=" + address,
				"TF_HTTP_LOCK_METHOD=LOCK", "TF_HTTP_UNLOCK_METHOD=UNLOCK", "TF_HTTP_USERNAME=terrace", "TF_HTTP_PASSWORD=" + s.token}
		}})
	}
	engine := func(s *side, i int, args ...string) error {
		dir := filepath.Join(w.dir, "engines", s.name, fmt.Sprint(i))
		return command(ctx, dir, w.environment("", append(s.env(i), "TF_IN_AUTOMATION=1", "TF_INPUT=0")...), w.engine, args...)
	}
	filler := strings.Repeat("0123456789abcdef", 50_000/16)
	for _, s := range sides {
		for i := range processes {
			dir := filepath.Join(w.dir, "engines", s.name, fmt.Sprint(i))
			block := s.block
			if s.name == "s3" {
				block = strings.Replace(block, "{\n", fmt.Sprintf("{\n    key = \"e%d.tfstate\"\n", i), 1)
			}
			if err := write(dir, map[string]string{"filler": filler,
				"main.tf": "terraform {\n  " + block + "\n}\nvariable \"v\" {\n  type = string\n}\nresource \"terraform_data\" \"this\" {\n  input = \"${var.v}${file(\"filler\")}\"\n}\n"}); err != nil {
				return nil, err
			}
			if err := engine(s, i, "init"); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	for round := range rounds + 1 {
		for n := range sides {
			s := sides[(n+round)%len(sides)]
			began := time.Now()
			if err := together(processes, func(i int) error { return engine(s, i, "apply", "-auto-approve", fmt.Sprintf("-var=v=%d", round)) }); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 {
				s.took = append(s.took, time.Since(began).Seconds())
			}
		}
	}
	for _, s := range sides[2:] {
		for _, raw := range sides[:2] {
			r := compared("load", fmt.Sprintf("%d tofu processes apply, on %s beside the %s backend", processes, s.name, raw.name), raw.took, s.took, 0)
			r.Reached = true // there is no target: beside is what was asked for
			all = append(all, r)
		}
	}
	return all, nil
}
