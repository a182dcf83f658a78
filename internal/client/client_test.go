package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

func serve(t *testing.T, f http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	c := New(s.URL+"/", "t0ken")
	t.Cleanup(c.Close)
	return c
}

func answer(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	var got string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body))
		if r.Header.Get("Authorization") != "Bearer t0ken" || len(body) > 0 && r.Header.Get("Content-Type") != "application/json" {
			answer(w, http.StatusTeapot, "")
		}
	})
	ctx := t.Context()
	for want, call := range map[string]func() error{
		"GET /api/v1/projects":                             func() error { _, err := c.Projects(ctx); return err },
		"GET /api/v1/projects/shop/status?why=true":        func() error { _, err := c.Status(ctx, "shop", true); return err },
		"GET /api/v1/projects/a%2F..%3Fb/status":           func() error { _, err := c.Status(ctx, "a/..?b", false); return err },
		"GET /api/v1/projects/shop/rollouts?limit=5":       func() error { _, err := c.Rollouts(ctx, "shop", 5); return err },
		`POST /api/v1/runs/r-1/approve {"reason":"ok"}`:    func() error { _, err := c.Approve(ctx, "r-1", wire.Ballot{Reason: "ok"}); return err },
		`POST /api/v1/runs/r-1/abandon {"reason":"hangs"}`: func() error { _, err := c.AbandonRun(ctx, "r-1", "hangs"); return err },
		"GET /api/v1/projects/shop/runs?environment=dev&limit=1&stack=web": func() error {
			_, err := c.Runs(ctx, "shop", RunFilter{Environment: "dev", Stack: "web", Limit: 1})
			return err
		},
		"GET /api/v1/projects/shop/states/dev/web/pull?version=3": func() error { _, err := c.PullState(ctx, "shop", "dev", "web", 3); return err },
		"POST /api/v1/projects/shop/states/dev/web/push RAW":      func() error { _, err := c.PushState(ctx, "shop", "dev", "web", []byte("RAW")); return err },
		`PUT /api/v1/projects/shop/secrets/dev/KEY {"value":"v"}`: func() error { return c.SetSecret(ctx, "shop", "dev", "KEY", "v") },
		"DELETE /api/v1/projects/shop/environments/dev/hold":      func() error { return c.Unhold(ctx, "shop", "dev") },
		"DELETE /api/v1/projects/shop/freezes?environment=dev":    func() error { _, err := c.Unfreeze(ctx, "shop", "dev"); return err },
		"DELETE /api/v1/projects/shop/freezes/fz-1":               func() error { _, err := c.LiftFreeze(ctx, "shop", "fz-1"); return err },
		"POST /api/v1/projects/shop/exceptions/x-1/approve {}": func() error {
			_, err := c.ConfirmException(ctx, "shop", "x-1")
			return err
		},
		"GET /api/v1/guardrails?version=3":                         func() error { _, err := c.Guardrails(ctx, 3); return err },
		"GET /api/v1/modules/team/vpc/aws?version=1.0.0":           func() error { _, err := c.Module(ctx, "team/vpc/aws", "1.0.0"); return err },
		"GET /api/v1/modules/team/..%3Fb/aws":                      func() error { _, err := c.Module(ctx, "team/..?b/aws", ""); return err },
		"DELETE /api/v1/modules/team/vpc/aws":                      func() error { return c.RemoveModule(ctx, "team/vpc/aws") },
		"GET /api/v1/runs/r-1/modules/team/vpc/aws/1.0.0-rc.1%2Fx": func() error { _, err := c.RunModule(ctx, "r-1", "team/vpc/aws", "1.0.0-rc.1/x"); return err },
		"GET /api/v1/guardrails/history":                           func() error { _, err := c.GuardrailsHistory(ctx); return err },
		`PUT /api/v1/guardrails {"files":{"a":"b"}}`: func() error {
			_, err := c.SetGuardrails(ctx, wire.SetGuardrails{Files: map[string]string{"a": "b"}})
			return err
		},
		"DELETE /api/v1/projects/shop/exceptions/x-1":       func() error { return c.EndException(ctx, "shop", "x-1") },
		"POST /api/v1/runs/r-1/recovered STATE":             func() error { return c.Recovered(ctx, "r-1", []byte("STATE")) },
		`POST /api/v1/runs/r-1/phase {"status":"planning"}`: func() error { return c.Phase(ctx, "r-1", "planning") },
		"GET /api/v1/events?after=7":                        func() error { _, err := c.Events(ctx, "", 7); return err },
	} {
		if err := call(); err != nil || got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status    int
		body      string
		code      string
		message   string
		permanent bool
	}{
		"ours":        {409, `{"code":"conflict","message":"it is over"}`, "conflict", "it is over", true},
		"huma's":      {422, `{"title":"Unprocessable","detail":"name is too long"}`, "invalid", "name is too long", true},
		"a proxy's":   {502, `<html>`, "unavailable", "502", false},
		"unavailable": {503, `{"code":"unavailable","message":"wait"}`, "unavailable", "wait", false},
		"not found":   {404, ``, "not_found", "is it a Terrace server?", true},
		"token":       {401, `{"code":"unauthenticated","message":"no token"}`, "unauthenticated", "no token", true},
		"too many":    {429, ``, "unavailable", "429", false},
		"odd":         {418, `[1]`, "invalid", "418", true},
	} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, c.status, c.body) })
		_, err := client.Run(t.Context(), "r-1")
		var refused *Error
		if !errors.As(err, &refused) || refused.Status != c.status || refused.Code != c.code || !strings.Contains(refused.Message, c.message) || Permanent(err) != c.permanent {
			t.Errorf("%s: got %#v", name, err)
		}
	}
}

func TestATokenNeverFollowsARedirect(t *testing.T) {
	t.Parallel()
	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { leaked.Store(true) }))
	t.Cleanup(other.Close)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if err := c.Finish(t.Context(), "r-1", wire.Finish{}); err == nil || !strings.Contains(err.Error(), other.URL) {
		t.Errorf("got %v", err)
	}
	if leaked.Load() {
		t.Error("the redirect was followed")
	}
}

func TestPeopleHearAtOnceThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = New(address, "").Projects(t.Context())
	for _, want := range []string{address, "connection refused", "terrace server", "TERRACE_URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if _, err := New("::", "").Projects(t.Context()); err == nil {
		t.Error("an address that is none was taken")
	}
	var gone *Unreachable
	if _, err = New("http://name.invalid", "").Projects(t.Context()); !errors.As(err, &gone) || !strings.Contains(err.Error(), "does not resolve") {
		t.Errorf("got %v", err)
	}
}

func TestARunnerInsists(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	var bodies [3]string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1) - 1
		body, _ := io.ReadAll(r.Body)
		bodies[min(i, 2)] = string(body)
		switch i {
		case 0:
			panic(http.ErrAbortHandler) // the reply is lost
		case 1:
			answer(w, 503, `{"code":"unavailable"}`)
		default:
			answer(w, 200, `{"do":"apply"}`)
		}
	})
	next, err := c.Planned(t.Context(), "r-1", wire.Planned{Digest: "d"})
	if err != nil || next.Do != "apply" || n.Load() != 3 || bodies[0] != bodies[2] || bodies[0] == "" {
		t.Errorf("got %+v (%v) after %d tries of %q", next, err, n.Load(), bodies)
	}

	// A definite no is final.
	n.Store(0)
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		answer(w, 409, `{"code":"conflict","message":"attempt 2 took over"}`)
	})
	if err := c.Finish(t.Context(), "r-1", wire.Finish{}); !Permanent(err) || n.Load() != 1 {
		t.Errorf("got %v after %d tries", err, n.Load())
	}

	// And so is the end of the context, which says what was in the way.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 500, `{"message":"no disk"}`) })
	if err := c.Finish(ctx, "r-1", wire.Finish{}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("got %v", err)
	}
}

func TestFollowingALogThroughABrokenConnection(t *testing.T) {
	t.Parallel()
	event := func(w http.ResponseWriter, seq int64) {
		text, _ := json.Marshal(wire.LogChunk{Seq: seq, Text: fmt.Sprintf("line %d\n", seq)})
		_, _ = fmt.Fprintf(w, ": still here\nid: %d\nevent: log\ndata: %s\n\n", seq, text)
	}
	var asked []url.Values
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query())
		w.Header().Set("Content-Type", "text/event-stream")
		switch len(asked) {
		case 1:
			event(w, 1)
			event(w, 2)
			_, _ = io.WriteString(w, "event: log\ndata: {\"seq\":3,") // broken off
		case 2:
			answer(w, 503, "")
		default:
			event(w, 2) // said again
			event(w, 3)
			_, _ = io.WriteString(w, "event: end\ndata: {}\n\n")
		}
	})
	var got strings.Builder
	if err := c.FollowLogs(t.Context(), "r-1", 0, func(chunk wire.LogChunk) error {
		got.WriteString(chunk.Text)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got.String() != "line 1\nline 2\nline 3\n" || len(asked) != 3 || asked[2].Get("after") != "2" {
		t.Errorf("got %q after %v", got.String(), asked)
	}
	stop := errors.New("enough")
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) { event(w, 1) })
	if err := c.FollowLogs(t.Context(), "r-1", 0, func(wire.LogChunk) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 404, `{"code":"not_found","message":"no run r-1"}`)
	})
	if err := c.FollowLogs(t.Context(), "r-1", 0, nil); !Permanent(err) {
		t.Errorf("got %v", err)
	}
}
