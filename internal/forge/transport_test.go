package forge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// each kind's client of a server.
func clients(t testing.TB, url string) map[string]Client {
	t.Helper()
	all := map[string]Client{}
	for kind, repo := range map[string]string{GitHub: "acme/infra", GitLab: "acme/platform/infra", Gitea: "acme/infra"} {
		all[kind] = open(t, Config{Kind: kind, URL: url, Repo: repo, Token: canary})
	}
	return all
}

func serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// methods are all that ask the forge.
func methods(c Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Pulls":   func(ctx context.Context) error { _, err := c.Pulls(ctx, "main"); return err },
		"Comment": func(ctx context.Context) error { _, err := c.Comment(ctx, 7, "", "x"); return err },
		"Edit":    func(ctx context.Context) error { _, err := c.Comment(ctx, 7, "9", "x"); return err },
		"Status": func(ctx context.Context) error {
			return c.Status(ctx, strings.Repeat("a", 40), Status{Context: "x", State: Success})
		},
		"MayPush": func(ctx context.Context) error { _, err := c.MayPush(ctx, "ana"); return err },
		"Check":   c.Check,
	}
}

// TestRefusals: whatever a forge answers with, each method returns an error with the right code, and never the token, which the
// forge repeats here.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		status int
		header map[string]string
		code   core.Code
		wait   time.Duration
	}{
		{status: 400, code: core.Invalid},
		{status: 401, code: core.Denied},
		{status: 403, code: core.Denied},
		{status: 403, header: map[string]string{"Retry-After": "30"}, code: core.Unavailable, wait: 30 * time.Second},
		{status: 403, header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795860120", "Date": "Sat, 28 Nov 2026 10:00:00 GMT"}, code: core.Unavailable, wait: 2 * time.Minute},
		{status: 409, code: core.Invalid},
		{status: 422, code: core.Invalid},
		{status: 423, code: core.Denied},
		{status: 429, code: core.Unavailable, wait: time.Minute},
		{status: 429, header: map[string]string{"Retry-After": "Sat, 28 Nov 2026 10:00:20 GMT", "Date": "Sat, 28 Nov 2026 10:00:00 GMT"}, code: core.Unavailable, wait: 20 * time.Second},
		{status: 429, header: map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "1795860030", "Date": "Sat, 28 Nov 2026 10:00:00 GMT"}, code: core.Unavailable, wait: 30 * time.Second},
		{status: 429, header: map[string]string{"Retry-After": "99999999999"}, code: core.Unavailable, wait: time.Hour},
		{status: 429, header: map[string]string{"Retry-After": "0"}, code: core.Unavailable, wait: time.Second},
		{status: 429, header: map[string]string{"Retry-After": "-5"}, code: core.Unavailable, wait: time.Minute},
		{status: 500, code: core.Unavailable},
		{status: 502, code: core.Unavailable},
		{status: 503, code: core.Unavailable},
		{status: 503, header: map[string]string{"Retry-After": "5"}, code: core.Unavailable, wait: 5 * time.Second},
	} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			for name, value := range test.header {
				w.Header().Set(name, value)
			}
			w.WriteHeader(test.status)
			fmt.Fprintf(w, `{"message":{"base":["you sent %s"]},"error":"a\nb \u001b[31m"}`, r.Header.Get("Authorization"))
		})
		for kind, client := range clients(t, url) {
			for name, call := range methods(client) {
				err := call(t.Context())
				wait, waits := Wait(err)
				if core.CodeOf(err) != test.code || wait != test.wait || waits != (test.wait != 0) {
					t.Errorf("%s %s: %d %v: %v, code %s, wait %s", kind, name, test.status, test.header, err, core.CodeOf(err), wait)
				}
				noCanary(t, err)
				if strings.ContainsAny(err.Error(), "\n\x1b") || !strings.Contains(err.Error(), strconv.Itoa(test.status)) {
					t.Errorf("%s %s: %q", kind, name, err)
				}
			}
		}
	}
}

// TestSecondaryLimit: GitHub says this one in words only.
func TestSecondaryLimit(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`)
	})
	_, err := clients(t, url)[GitHub].Pulls(t.Context(), "main")
	if wait, ok := Wait(err); !ok || wait != time.Minute || core.CodeOf(err) != core.Unavailable {
		t.Errorf("%v: wait %s, %v", err, wait, ok)
	}
	if _, ok := Wait(errors.New("something else")); ok {
		t.Error("any error asks to wait")
	}
}

// TestBrokenAnswers: what is cut off, endless, or not of the API at all is an outage and never half a list.
func TestBrokenAnswers(t *testing.T) {
	pulls := string(recorded(t, "github/pulls-1.json"))
	for name, body := range map[string]string{
		"empty":         "",
		"a page":        "<html>Sign in</html>",
		"cut off":       pulls[:len(pulls)/2],
		"cut at an end": strings.TrimSpace(pulls)[:len(strings.TrimSpace(pulls))-1],
		"an object":     `{"id": "seven"}`,
		"a number":      "7",
		"null":          "null",
		"other types":   `[{"number":"seven","iid":"seven"}]`,
		"deep":          strings.Repeat("[", 100_000),
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		for kind, client := range clients(t, url) {
			if got, err := client.Pulls(t.Context(), "main"); core.CodeOf(err) != core.Unavailable || !strings.Contains(err.Error(), "cut off, or none of the API") {
				t.Errorf("%s, %s: Pulls() = %v, %v", kind, name, got, err)
			}
			if _, err := client.Comment(t.Context(), 7, "", "x"); core.CodeOf(err) != core.Unavailable {
				t.Errorf("%s, %s: Comment(): %v", kind, name, err)
			}
		}
	}
}

// TestEndless: a forge that always has another page is left.
func TestEndless(t *testing.T) {
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Link", `<x>; rel="next"`)
		_, _ = io.WriteString(w, `[{}]`)
	})
	if _, err := clients(t, url)[Gitea].Pulls(t.Context(), "main"); core.CodeOf(err) != core.Invalid || asked.Load() != mostPages {
		t.Errorf("after %d pages: %v", asked.Load(), err)
	}
}

// TestHangs: a forge that takes a request and says nothing, or half an answer, is left when the context ends.
func TestHangs(t *testing.T) {
	for name, begins := range map[string]string{"nothing": "", "half": `[{"number":7`} {
		t.Run(name, func(t *testing.T) {
			came := make(chan struct{}, 100)
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, begins)
				if begins != "" {
					w.(http.Flusher).Flush()
				}
				came <- struct{}{}
				<-r.Context().Done()
			})
			for kind, client := range clients(t, url) {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { _, err := client.Pulls(ctx, "main"); done <- err }()
				<-came
				cancel()
				if err := <-done; core.CodeOf(err) != core.Unavailable || !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for kind, client := range clients(t, url) {
		for name, call := range methods(client) {
			err := call(t.Context())
			noCanary(t, err)
			if core.CodeOf(err) != core.Unavailable || !strings.Contains(err.Error(), "can't be reached") {
				t.Errorf("%s %s: %v", kind, name, err)
			}
		}
	}
}

// TestRedirects: a token goes to nobody but the forge that it was given for, and what writes is not turned into what reads.
func TestRedirects(t *testing.T) {
	other := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") })
	away := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other+r.URL.Path+"?secret=1", http.StatusTemporaryRedirect)
	})
	for kind, client := range clients(t, away) {
		for name, call := range methods(client) {
			err := call(t.Context())
			noCanary(t, err)
			if core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "sends on to "+other+",") {
				t.Errorf("%s %s: %v", kind, name, err)
			}
		}
	}
	// A repository that was renamed: GitHub sends on within itself, with 307 for what writes.
	var written atomic.Int64
	renamed := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/v3/repositories/1/") {
			body, err := io.ReadAll(r.Body)
			if r.Header.Get("Authorization") != "Bearer "+canary || err != nil || r.Method == http.MethodPost && string(body) != `{"body":"x"}` {
				t.Errorf("%s %s: %s, %v", r.Method, r.URL, body, err)
			}
			if r.Method == http.MethodPost {
				written.Add(1)
				_, _ = io.WriteString(w, `{"id":5}`)
				return
			}
			_, _ = io.WriteString(w, `[]`)
			return
		}
		code := http.StatusMovedPermanently
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/7/comments") {
			code = http.StatusTemporaryRedirect
		}
		http.Redirect(w, r, strings.Replace(r.URL.Path, "/repos/acme/infra/", "/repositories/1/", 1), code)
	})
	client := clients(t, renamed)[GitHub]
	if _, err := client.Pulls(t.Context(), "main"); err != nil {
		t.Error(err)
	}
	if id, err := client.Comment(t.Context(), 7, "", "x"); err != nil || id != "5" || written.Load() != 1 {
		t.Errorf("Comment() = %q, %v", id, err)
	}
	if _, err := client.Comment(t.Context(), 8, "", "x"); core.CodeOf(err) != core.Invalid || written.Load() != 1 {
		t.Errorf("a POST that would become a GET: %v", err)
	}
	circle := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
	if _, err := clients(t, circle)[Gitea].Pulls(t.Context(), "main"); core.CodeOf(err) != core.Invalid {
		t.Errorf("a circle: %v", err)
	}
}

// TestTexts: what strangers write is one line, without what hides or reverses it.
func TestTexts(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                      "plain",
		"a\n\tb":                     "a  b",
		"x\u202egnp.exe\u0000\u200b": "xgnp.exe",
		"\xff\xfe":                   "",
		strings.Repeat("ä", 20):      "äääääääää…",
	} {
		if got := line(in, 10); got != want {
			t.Errorf("line(%q) = %q", in, got)
		}
	}
	if got := prose("a\r\nb\x00\tc", 10); got != "a\nb\tc" {
		t.Errorf("prose() = %q", got)
	}
}
