package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

// logSize is that of the large log, in bytes.
const logSize = 1 << 30

// logs is 1,000 open streams of a log, and a log of 1 GB.
func (w *world) logs(ctx context.Context) (all []result, err error) {
	s, err := w.start(ctx, "logs", filepath.Dir(w.engine), map[string]string{"README.md": "nothing to roll out"})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	gate := filepath.Join(w.dir, "gate")
	r, err := s.streams(ctx, gate)
	if err != nil {
		return nil, errors.Join(err, errors.New(s.said()))
	}
	all = append(all, r)
	more, err := s.gigabyte(ctx)
	return append(all, more...), err
}

// says pushes a stack whose verification runs a script, and returns the run when it does.
// An engine would take minutes for what a provisioner says, were it a gigabyte.
func (s *server) says(ctx context.Context, script string) (string, error) {
	if err := s.commit(ctx, map[string]string{
		"terrace.hcl":        fmt.Sprintf("project \"logs\" {\n  engine = \"tofu\"\n  stacks = [\"stacks/*\"]\n}\nenvironment \"dev\" {}\nstack \"one\" {\n  verify \"command\" {\n    command = [\"sh\", \"-c\", %q]\n    within  = \"30m\"\n  }\n}\n", script),
		"stacks/one/main.tf": fmt.Sprintf("resource \"terraform_data\" \"this\" {\n  triggers_replace = [%q]\n}\n", script),
	}); err != nil {
		return "", err
	}
	if err := errors.Join(s.push(ctx), s.announce(ctx)); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		runs, err := s.api.Runs(ctx, s.project.Name, client.RunFilter{Limit: 1})
		if err != nil {
			return "", err
		}
		if len(runs) > 0 && runs[0].Status == "verifying" {
			return runs[0].ID, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for a verification: %w (%+v)", ctx.Err(), runs)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// streams opens 1,000 streams of the log of a run that goes on.
func (s *server) streams(ctx context.Context, gate string) (result, error) {
	const streams = 1000
	run, err := s.says(ctx, "i=0; while [ ! -e "+gate+" ]; do i=$((i + 1)); echo line $i; sleep 0.5; done")
	if err != nil {
		return result{}, err
	}
	watch := s.watch(ctx)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	opened, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan error, streams)
	for range streams {
		go func() {
			req, err := http.NewRequestWithContext(opened, http.MethodGet, s.url+"/api/v1/runs/"+run+"/logs/stream", nil)
			if err != nil {
				heard <- err
				return
			}
			req.Header.Set("Authorization", "Bearer "+s.token)
			resp, err := c.Do(req)
			if err != nil {
				heard <- err
				return
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				heard <- fmt.Errorf("a stream was answered %s", resp.Status)
				return
			}
			first := make([]byte, 256)
			_, err = resp.Body.Read(first)
			heard <- err
			_, _ = io.Copy(io.Discard, resp.Body) // until it is cancelled
		}()
	}
	for range streams {
		if err := <-heard; err != nil {
			return result{}, err
		}
	}
	select { // while lines come, to all of them
	case <-ctx.Done():
		return result{}, ctx.Err()
	case <-time.After(10 * time.Second):
	}
	peak, err := watch()
	if err != nil {
		return result{}, err
	}
	cancel()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		return result{}, err
	}
	_, err = s.wait(ctx)
	r := absolute("load", "1,000 open streams of a log: the server's memory, at most", "MB", []float64{peak}, most)
	s.w.sayf("%s: %.0f MB", r.What, r.Value)
	return r, err
}

// gigabyte is a run that writes a log of 1 GB, while somebody follows it.
func (s *server) gigabyte(ctx context.Context) ([]result, error) {
	watch := s.watch(ctx)
	began := time.Now()
	run, err := s.says(ctx, fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x | fold -w 8000", logSize))
	if err != nil {
		return nil, err
	}
	followed := make(chan error, 1)
	var bytes, at int64
	go func() {
		followed <- s.api.FollowLogs(ctx, run, 0, func(c wire.LogChunk) error {
			if c.Offset != at {
				return fmt.Errorf("chunk %d begins at %d, after %d", c.Seq, c.Offset, at)
			}
			at += int64(len(c.Text))
			bytes = at
			return nil
		})
	}()
	runner := 0.0
	for done := false; !done; {
		select {
		case err := <-followed:
			if err != nil {
				return nil, err
			}
			done = true
		case <-time.After(200 * time.Millisecond):
			for _, pid := range runners(run) {
				if mb, err := residentOf(ctx, pid); err == nil { // it may have ended
					runner = max(runner, mb)
				}
			}
		}
	}
	if _, err := s.wait(ctx); err != nil {
		return nil, err
	}
	peak, err := watch()
	if err == nil && bytes < logSize {
		err = fmt.Errorf("the log has %d bytes of %d", bytes, logSize)
	}
	r := absolute("load", "a log of 1 GB: the server's memory, at most", "MB", []float64{peak}, most)
	r.Note = fmt.Sprintf("%d bytes in %s, followed without a gap", bytes, time.Since(began).Round(time.Second))
	q := absolute("load", "a log of 1 GB: the runner's memory, at most", "MB", []float64{runner}, most)
	s.w.sayf("%s: %.0f MB, the runner's %.0f MB; %s", r.What, peak, runner, r.Note)
	return []result{r, q}, err
}

// runners finds the processes that execute a run.
func runners(run string) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // not on this system
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		args, err1 := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		environment, err2 := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err1 == nil && err2 == nil && strings.Contains(string(args), "\x00exec\x00") && strings.Contains(string(environment), "TERRACE_RUN="+run) {
			pids = append(pids, pid)
		}
	}
	return pids
}
