package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

// patience is how long one rollout may take.
const patience = 10 * time.Minute

// server is a running terrace server with one project, and the repository behind it.
type server struct {
	w       *world
	cmd     *exec.Cmd
	api     *client.Client
	project wire.Project
	clone   string
	last    string // id of the newest rollout seen
	flags   []string

	log, url, token string
}

// start starts a server on a fresh folder. The engine is what path has first.
func (w *world) start(ctx context.Context, name, path string, files map[string]string, flags ...string) (_ *server, err error) {
	dir := filepath.Join(w.dir, name)
	s := &server{w: w, clone: filepath.Join(dir, "clone"), flags: flags}
	remote := filepath.Join(dir, "remote.git")
	for _, args := range [][]string{{"init", "-q", "--bare", "-b", "main", remote}, {"init", "-q", "-b", "main", s.clone}, {"-C", s.clone, "remote", "add", "origin", remote}} {
		if err := s.git(ctx, args...); err != nil {
			return nil, err
		}
	}
	if err := s.commit(ctx, files); err != nil {
		return nil, err
	}
	if err := s.push(ctx); err != nil {
		return nil, err
	}
	if err := s.launch(ctx, dir, path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
			err = fmt.Errorf("%w\nthe server said:\n%s", err, s.said())
		}
	}()
	if s.project, err = s.api.AddProject(ctx, wire.AddProject{Name: name, Repo: remote}); err != nil {
		return nil, err
	}
	if s.project.Webhook == nil {
		return nil, errors.New("the project came without its webhook")
	}
	if files["terrace.hcl"] == "" { // nothing to roll out yet
		return s, nil
	}
	_, err = s.wait(ctx)
	return s, err
}

// launch starts the program, with more flags.
func (s *server) launch(_ context.Context, dir, path string, flags ...string) (err error) {
	s.log = filepath.Join(dir, "server.log")
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own
	data := filepath.Join(dir, "data")
	args := append([]string{"server", "--data", data, "--listen", "127.0.0.1:0", "--poll", "1h", "--provider-mirror", s.w.mirror}, s.flags...)
	s.cmd = exec.Command(s.w.binary, append(args, flags...)...) //nolint:noctx // stopped by stop, by signal
	s.cmd.Env = s.w.environment(path)
	s.cmd.Stderr = log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if s.url, err = address(bufio.NewScanner(stdout)); err != nil {
		s.stop()
		return fmt.Errorf("%w\nthe server said:\n%s", err, s.said())
	}
	token, err := os.ReadFile(filepath.Join(data, "admin-token"))
	if err != nil {
		s.stop()
		return err
	}
	s.token = strings.TrimSpace(string(token))
	s.api = client.New(s.url, s.token)
	return nil
}

func (s *server) said() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// address reads where the server listens from what it prints first.
func address(lines *bufio.Scanner) (string, error) {
	for lines.Scan() {
		for word := range strings.FieldsSeq(lines.Text()) {
			if strings.HasPrefix(word, "http://") {
				return strings.TrimRight(word, ","), nil
			}
		}
	}
	return "", fmt.Errorf("the server ended before it listened: %w", lines.Err())
}

func (s *server) stop() {
	if s.api != nil {
		s.api.Close()
	}
	_ = s.cmd.Process.Signal(os.Interrupt)
	_ = s.cmd.Wait()
}

func (s *server) git(ctx context.Context, args ...string) error {
	env := append(s.w.environment(""), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.org", "GIT_COMMITTER_NAME=Ana", "GIT_COMMITTER_EMAIL=ana@example.org")
	return command(ctx, s.w.dir, env, "git", args...)
}

func (s *server) commit(ctx context.Context, files map[string]string) error {
	if err := write(s.clone, files); err != nil {
		return err
	}
	if err := s.git(ctx, "-C", s.clone, "add", "-A"); err != nil {
		return err
	}
	return s.git(ctx, "-C", s.clone, "commit", "-q", "-m", "Change")
}

func (s *server) push(ctx context.Context) error {
	return s.git(ctx, "-C", s.clone, "push", "-q", "origin", "main")
}

// deliver pushes what was committed, announces it, and waits for the end of its
// rollout: the time is that from before the push until the server wrote the end down.
func (s *server) deliver(ctx context.Context) (time.Duration, wire.Rollout, error) {
	began := time.Now()
	if err := s.push(ctx); err != nil {
		return 0, wire.Rollout{}, err
	}
	if err := s.announce(ctx); err != nil {
		return 0, wire.Rollout{}, err
	}
	r, err := s.wait(ctx)
	return r.Finished.Sub(began), r, err
}

func (s *server) announce(ctx context.Context) error {
	body := []byte(`{}`)
	mac := hmac.New(sha256.New, []byte(s.project.Webhook.Secret))
	mac.Write(body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.project.Webhook.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Terrace-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the webhook was answered %s", resp.Status)
	}
	return nil
}

// wait waits until a rollout that was not seen before has succeeded.
func (s *server) wait(ctx context.Context) (wire.Rollout, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		rollouts, err := s.api.Rollouts(ctx, s.project.Name, 1)
		if err != nil {
			return wire.Rollout{}, err
		}
		if len(rollouts) == 1 && rollouts[0].ID != s.last && rollouts[0].Status != "running" {
			s.last = rollouts[0].ID
			if rollouts[0].Status != "succeeded" {
				return rollouts[0], fmt.Errorf("the rollout ended as %s: %s", rollouts[0].Status, s.failures(ctx))
			}
			return rollouts[0], nil
		}
		select {
		case <-ctx.Done():
			return wire.Rollout{}, fmt.Errorf("waiting for a rollout of %s: %w", s.project.Name, ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *server) failures(ctx context.Context) string {
	runs, err := s.api.Runs(ctx, s.project.Name, client.RunFilter{Rollout: s.last})
	if err != nil {
		return err.Error()
	}
	var said []string
	for _, r := range runs {
		if r.Error != nil {
			said = append(said, r.Instance+": "+r.Error.Message)
		}
	}
	return strings.Join(said, "; ")
}

// memory is the resident memory of the server's process, in megabytes: as the kernel
// tells it, or ps where there is no /proc.
func (s *server) memory(ctx context.Context) (float64, error) {
	return residentOf(ctx, s.cmd.Process.Pid)
}

func residentOf(ctx context.Context, process int) (float64, error) {
	pid := strconv.Itoa(process)
	if status, err := os.ReadFile(filepath.Join("/proc", pid, "status")); err == nil {
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		return megabytes(rest)
	}
	out, err := exec.CommandContext(ctx, "ps", "-o", "rss=", "-p", pid).Output()
	if err != nil {
		return 0, fmt.Errorf("ps: %w", err)
	}
	return megabytes(string(out))
}

// megabytes reads a number of kilobytes at the start of a text.
func megabytes(text string) (float64, error) {
	var kilobytes float64
	_, err := fmt.Sscan(text, &kilobytes)
	return kilobytes / 1024, err
}
