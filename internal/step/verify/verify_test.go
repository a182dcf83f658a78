package verify

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// closed is an address where nothing listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return "http://" + l.Addr().String()
}

// gives fails unless the check gives that verdict, with message in what it says. One that
// does not pass is asked for as long as it may take, which is short, unless the machine is
// too busy for its answer to come at all.
func gives(t *testing.T, v wire.Verify, o Options, verdict, message string) wire.Probe {
	t.Helper()
	var p wire.Probe
	for _, v.Within = range []string{"500ms", "5s", "1m"} {
		p = Run(t.Context(), v, o)
		if p.Verdict == verdict && strings.Contains(p.Message, message) {
			return p
		}
		if p.Verdict != Inconclusive {
			break // more time makes no other answer of it
		}
	}
	t.Errorf("got %+v, want %s, %q", p, verdict, message)
	return p
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	status := func(code int, text string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = fmt.Fprint(w, text)
		})
	}
	redirect := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
	})
	hang := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	hangUp := serve(t, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	t.Cleanup(secure.Close)
	for name, c := range map[string]struct {
		url     string
		status  int
		verdict string
		message string
	}{
		"as expected":            {status(200, "ok"), 0, Pass, "answered 200"},
		"expected 404":           {status(404, "x"), 404, Pass, "answered 404"},
		"wrong status":           {status(503, "starting\nup"), 200, Fail, "answered 503, expected 200: starting (tried for"},
		"control characters":     {status(500, "\x1b]8;;javascript:x\x07a"), 200, Fail, "expected 200: ]8;;javascript:xa"},
		"redirect not followed":  {redirect, 200, Fail, `redirects to "http://169.254.169.254/latest"`},
		"redirect expected":      {redirect, 302, Pass, "answered 302"},
		"refused":                {closed(t), 200, Fail, "connection refused"},
		"closed without answer":  {hangUp, 200, Fail, "closed without an answer"},
		"no answer":              {hang, 200, Inconclusive, "no answer in time"},
		"no such name":           {"http://name.invalid/", 200, Inconclusive, "does not resolve"},
		"certificate":            {secure.URL, 200, Fail, "certificate"},
		"not http":               {"file:///etc/passwd", 200, Fail, "not an http"},
		"garbage":                {"http://[", 200, Fail, "not an http"},
		"a password in the name": {"http://u:secret@127.0.0.1:1/", 200, Fail, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := gives(t, wire.Verify{Kind: "http", URL: c.url, Status: c.status}, Options{}, c.verdict, c.message)
			if strings.Contains(p.Name, "secret") {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestHTTPIsAskedUntilItWorks(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) < 3 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	if p := Run(t.Context(), wire.Verify{Kind: "http", URL: url, Within: "1m"}, Options{}); p.Verdict != Pass || p.Tries != 3 {
		t.Errorf("got %+v", p)
	}
}

// The time between tries grows, the last answer before the time is up counts, and a try
// that the end cuts short says less than the one before it.
func TestHowOftenACheckIsAsked(t *testing.T) {
	t.Parallel()
	no, unknown := answer{definite: true, message: "no"}, answer{message: "unknown"}
	for name, c := range map[string]struct {
		answers []answer // of each try; the one after them never comes
		within  time.Duration
		want    wire.Probe
	}{
		"nothing at all":          {nil, time.Minute, wire.Probe{Verdict: Inconclusive, Message: "nothing (tried for 1m0s)", Tries: 1}},
		"no, and then nothing":    {[]answer{no}, time.Minute, wire.Probe{Verdict: Fail, Message: "no (tried for 1m0s)", Tries: 1}},
		"unknown, and then no":    {[]answer{unknown, no}, time.Minute, wire.Probe{Verdict: Fail, Message: "no (tried for 1m0s)", Tries: 2}},
		"no, and then unknown":    {[]answer{no, unknown}, time.Minute, wire.Probe{Verdict: Inconclusive, Message: "unknown (tried for 1m0s)", Tries: 2}},
		"at 0, 100, 300, 700 ms":  {[]answer{no, no, no, no}, 1400 * time.Millisecond, wire.Probe{Verdict: Fail, Message: "no (tried for 1.4s)", Tries: 4}},
		"and every two seconds":   {slices.Repeat([]answer{no}, 100), 20 * time.Second, wire.Probe{Verdict: Fail, Message: "no (tried for 20s)", Tries: 14}},
		"until one is what it is": {[]answer{no, unknown, {pass: true, definite: true, message: "yes"}}, time.Hour, wire.Probe{Verdict: Pass, Message: "yes", Tries: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				got := askUntil(t.Context(), "check", c.within, func(ctx context.Context) answer {
					if tries++; tries > len(c.answers) {
						<-ctx.Done()
						return answer{message: "nothing"}
					}
					return c.answers[tries-1]
				})
				c.want.Name = "check"
				if got != c.want {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
			})
		})
	}
}

func TestStopping(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError); cancel() })
	if p := Run(ctx, wire.Verify{Kind: "http", URL: url, Within: "1h"}, Options{}); p.Verdict != Inconclusive {
		t.Errorf("got %+v", p)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := filepath.Join(dir, "smoke.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"in $PWD with $TOKEN and $*\"\necho broken >&2\nexit $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		command []string
		verdict string
		message string
	}{
		"pass":           {[]string{"./smoke.sh", "0"}, Pass, "exit 0"},
		"no dot needed":  {[]string{"../" + filepath.Base(dir) + "/smoke.sh", "0"}, Pass, "exit 0"},
		"fail":           {[]string{"./smoke.sh", "3"}, Fail, "exit 3: broken"},
		"does not know":  {[]string{"./smoke.sh", "75"}, Inconclusive, "exit 75"},
		"killed":         {[]string{"sh", "-c", "kill -9 $$"}, Inconclusive, "killed"},
		"never ends":     {[]string{"sh", "-c", "sleep 600"}, Inconclusive, "still running after 1s"},
		"not there":      {[]string{"./nothing.sh"}, Fail, "cannot be started"},
		"not executable": {[]string{"./data"}, Fail, "cannot be started"},
		"empty":          {nil, Fail, "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within := "1m"
			if name == "never ends" {
				within = "1s"
			}
			p := Run(t.Context(), wire.Verify{Kind: "command", Command: c.command, Within: within},
				Options{Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH"), "TOKEN=t"}})
			if p.Verdict != c.verdict || !strings.Contains(p.Message, c.message) {
				t.Errorf("got %+v, want %s, %q", p, c.verdict, c.message)
			}
		})
	}
	var log bytes.Buffer
	Run(t.Context(), wire.Verify{Kind: "command", Command: []string{"./smoke.sh", "0", "$(id);"}, Within: "30s"},
		Options{Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH"), "TOKEN=t"}, Output: &log})
	if want := "in " + dir + " with t and 0 $(id);\n"; !strings.Contains(log.String(), want) {
		t.Errorf("the log is %q, want %q in it", log.String(), want)
	}
}

func TestNothingOfACommandIsLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := Run(t.Context(), wire.Verify{Kind: "command", Command: []string{"sh", "-c", "sleep 600 & echo $! >pid; wait"}, Within: "5s"},
		Options{Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH")}})
	if p.Verdict != Inconclusive {
		t.Errorf("got %+v", p)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; {
		// A zombie until its new parent looks, which may take a moment.
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a child of the command lives on")
		}
	}
}

func TestAnUnknownKindNeverPasses(t *testing.T) {
	t.Parallel()
	if p := Run(t.Context(), wire.Verify{Kind: "metric"}, Options{}); p.Verdict != Inconclusive {
		t.Errorf("got %+v", p)
	}
}
