package vault

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token  = "hvs.canary-of-a-token"
	secret = "canary-of-a-secret"
)

// fake answers as the API documents say, and writes down what it was asked.
type fake struct {
	mu     sync.Mutex
	asked  []string
	status int    // of everything, when it is not 0
	says   string // then
	logins int
}

func (f *fake) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req.Method+" "+req.URL.Path+" "+req.Header.Get("X-Vault-Namespace"))
	answer := func(status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	if f.status != 0 {
		answer(f.status, f.says)
		return
	}
	if req.Header.Get("X-Vault-Request") != "true" {
		answer(http.StatusPreconditionFailed, `{"errors":["missing X-Vault-Request"]}`)
		return
	}
	if req.Method == http.MethodPost && req.URL.Path == "/v1/auth/roles/login" {
		var login struct{ RoleID, SecretID string }
		raw := map[string]string{}
		_ = json.NewDecoder(req.Body).Decode(&raw)
		login.RoleID, login.SecretID = raw["role_id"], raw["secret_id"]
		if login.RoleID != "role" || login.SecretID != "sid" {
			answer(http.StatusBadRequest, `{"errors":["invalid role or secret ID"]}`)
			return
		}
		f.logins++
		answer(http.StatusOK, `{"auth":{"client_token":"`+token+`","lease_duration":1200,"renewable":true}}`)
		return
	}
	if req.Header.Get("X-Vault-Token") != token {
		answer(http.StatusForbidden, `{"errors":["1 error occurred: permission denied for `+req.Header.Get("X-Vault-Token")+`"]}`)
		return
	}
	switch req.Method + " " + req.URL.Path {
	case "POST /v1/auth/token/revoke-self":
		w.WriteHeader(http.StatusNoContent)
	case "GET /v1/kv/data/shop/dev":
		answer(http.StatusOK, `{"data":{"data":{"password":"`+secret+`","port":5432,"list":[1,"a"]},"metadata":{"created_time":"2026-11-01T10:00:00Z","deletion_time":"","destroyed":false,"version":3}}}`)
	case "GET /v1/old/shop/dev":
		answer(http.StatusOK, `{"lease_duration":2764800,"data":{"password":"`+secret+`","data":{"x":"y"}}}`)
	case "GET /v1/kv/data/deleted":
		answer(http.StatusNotFound, `{"data":{"data":null,"metadata":{"created_time":"2026-11-01T10:00:00Z","deletion_time":"2026-11-02T10:00:00Z","destroyed":false,"version":4}}}`)
	case "GET /v1/kv/data/large":
		answer(http.StatusOK, strings.Repeat("x", maxAnswer+1))
	case "GET /v1/kv/data/page":
		answer(http.StatusOK, "<html>")
	case "GET /v1/kv/data/away":
		http.Redirect(w, req, "https://evil.example/v1/kv/data/away", http.StatusTemporaryRedirect)
	case "GET /v1/kv/data/here":
		http.Redirect(w, req, "/v1/kv/data/shop/dev", http.StatusTemporaryRedirect)
	case "GET /v1/kv/data/round":
		http.Redirect(w, req, "/v1/kv/data/round", http.StatusTemporaryRedirect)
	case "GET /v1/kv/data/empty":
		answer(http.StatusOK, `{}`)
	default:
		answer(http.StatusNotFound, `{"errors":[]}`)
	}
}

// start serves a fake over TLS, with the server that has its certificate.
func start(t *testing.T) (*fake, Server) {
	t.Helper()
	f := &fake{}
	s := httptest.NewTLSServer(f)
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return f, Server{Name: "main", Address: s.URL, Namespace: "team-a", CA: string(ca)}
}

func open(t *testing.T, s Server, l Login) *Session {
	t.Helper()
	v, err := Open(t.Context(), s, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close(context.Background()) })
	return v
}

func TestRead(t *testing.T) {
	t.Parallel()
	f, s := start(t)
	v := open(t, s, Login{Token: token})
	for place, want := range map[string]string{
		"kv/data/shop/dev#password": secret, "kv/data/shop/dev#port": "5432", "kv/data/shop/dev#list": `[1,"a"]`,
		"old/shop/dev#password": secret, "old/shop/dev#data": `{"x":"y"}`, "kv/data/here#password": secret,
	} {
		path, key, _ := strings.Cut(place, "#")
		if got, err := v.Read(t.Context(), path, key); err != nil || got != want {
			t.Errorf("%s: %q, %v", place, got, err)
		}
	}
	asked := 0
	for _, a := range f.asked {
		if a == "GET /v1/kv/data/shop/dev team-a" {
			asked++
		}
	}
	if asked != 2 { // once, and once by the redirect
		t.Errorf("it was asked %v", f.asked)
	}
}

// An AppRole makes a token for the session, which is revoked after it.
func TestAppRole(t *testing.T) {
	t.Parallel()
	f, s := start(t)
	v, err := Open(t.Context(), s, Login{Mount: "roles", RoleID: "role", SecretID: "sid"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Read(t.Context(), "kv/data/shop/dev", "password"); err != nil || got != secret {
		t.Errorf("%q, %v", got, err)
	}
	v.Close(t.Context())
	if last := f.asked[len(f.asked)-1]; last != "POST /v1/auth/token/revoke-self team-a" || f.logins != 1 {
		t.Errorf("it was asked %v", f.asked)
	}
	_, err = Open(t.Context(), s, Login{Mount: "roles", RoleID: "role", SecretID: "no"})
	if core.CodeOf(err) != core.Conflict || !strings.Contains(core.MessageOf(err), "refuses the AppRole (status 400") || !strings.Contains(core.MessageOf(err), "store a new secret id") {
		t.Errorf("a wrong secret id: %v", err)
	}
}

// Each way in which nothing can be had says what to do, and no error shows a token.
func TestErrors(t *testing.T) {
	t.Parallel()
	f, s := start(t)
	for _, c := range []struct {
		token, place string
		status       int
		answer       string
		code         core.Code
		says         string
	}{
		{token, "kv/data/none#x", 0, "", core.Conflict, "has nothing at kv/data/none (status 404)"},
		{token, "kv/data/shop/dev#none", 0, "", core.Conflict, `has no value "none"`},
		{token, "kv/data/deleted#x", 0, "", core.Conflict, "the newest version of kv/data/deleted"},
		{token, "kv/data/empty#x", 0, "", core.Conflict, "has no values"},
		{token, "kv/data/large#x", 0, "", core.Conflict, "more than 1048576 bytes"},
		{token, "kv/data/page#x", 0, "", core.Conflict, "is no JSON"},
		{token, "kv/data/away#x", 0, "", core.Conflict, "sends its callers to https://evil.example, and a token goes nowhere else"},
		{token, "kv/data/round#x", 0, "", core.Conflict, "sends its callers"},
		{"hvs.wrong", "kv/data/shop/dev#x", 0, "", core.Conflict, "refuses kv/data/shop/dev (status 403"},
		{token, "kv/data/x#x", 503, `{"errors":["Vault is sealed"]}`, core.Unavailable, `the vault "main" is sealed`},
		{token, "kv/data/x#x", 500, `{"errors":["internal error"]}`, core.Unavailable, `cannot answer now (status 500: "internal error")`},
		{token, "kv/data/x#x", 429, ``, core.Unavailable, "cannot answer now (status 429)"},
		{token, "kv/data/x#x", 400, `{"errors":["bad\n\u001b[31m"]}`, core.Conflict, "does not understand the request"},
		{token, "../sys/seal#x", 0, "", core.Invalid, "is not the path of a secret"},
		{token, "sys/raw/core#x", 0, "", core.Invalid, "is an interface of the vault"},
		{token, "kv/data/a?x=y#x", 0, "", core.Invalid, "is not the path of a secret"},
	} {
		f.mu.Lock()
		f.status, f.says = c.status, c.answer
		f.mu.Unlock()
		path, key, _ := strings.Cut(c.place, "#")
		_, err := open(t, s, Login{Token: c.token}).Read(t.Context(), path, key)
		if core.CodeOf(err) != c.code || !strings.Contains(core.MessageOf(err), c.says) {
			t.Errorf("%s: %s %v, want %q", c.place, core.CodeOf(err), err, c.says)
		}
		if text := fmt.Sprint(err); strings.Contains(text, c.token) || strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("%s: the error shows too much: %q", c.place, text)
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if _, err := open(t, Server{Name: "main", Address: gone.URL}, Login{Token: token}).Read(t.Context(), "kv/x", "x"); core.CodeOf(err) != core.Unavailable || !strings.Contains(core.MessageOf(err), "does not answer") {
		t.Errorf("nobody there: %v", err)
	}
	s.CA = ""
	if _, err := open(t, s, Login{Token: token}).Read(t.Context(), "kv/data/shop/dev", "x"); core.CodeOf(err) != core.Unavailable || !strings.Contains(core.MessageOf(err), "certificate") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	s.CA = "none"
	if _, err := Open(t.Context(), s, Login{Token: token}); core.CodeOf(err) != core.Invalid {
		t.Errorf("no certificate: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, Server{Name: "main", Address: gone.URL}, Login{Token: token}).Read(ctx, "kv/x", "x"); core.CodeOf(err) != core.Unavailable {
		t.Errorf("nobody waits any more: %v", err)
	}
}
