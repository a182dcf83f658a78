package app_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/app"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// token makes a token and a client that uses it.
func token(t *testing.T, a *app.App, admin *client.Client, wanted wire.CreateToken) (string, *client.Client) {
	t.Helper()
	made, err := admin.CreateToken(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(a.URL(), made.Secret)
	t.Cleanup(c.Close)
	return made.Secret, c
}

func code(err error) string {
	var refused *client.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// asked is a route and the role that it says it takes.
type asked struct{ method, path, role string }

// declared reads the routes from the server's own description, and adds those that are not
// in it because they are no JSON.
func declared(t *testing.T, a *app.App) []asked {
	t.Helper()
	_, text := ask(t, http.MethodGet, a.URL()+"/api/openapi.json", "", "")
	var doc struct {
		Paths map[string]map[string]struct {
			Role string `json:"x-terrace-role"`
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	all := []asked{
		{"GET", "/api/v1/runs/{id}/logs/stream", "viewer"}, {"GET", "/api/v1/changes", "viewer"},
		{"GET", "/api/v1/projects/{project}/states/{environment}/{stack}/pull", "developer"},
		{"GET", "/api/v1/projects/{project}/states/{environment}/{stack}/recovered/{entry}", "developer"},
		{"POST", "/api/v1/projects/{project}/states/{environment}/{stack}/push", "operator"},
		{"POST", "/api/v1/projects/{project}/states/{environment}/{stack}/import", "operator"},
		{"GET", "/state/{project}/{environment}/{stack}", "developer"}, {"LOCK", "/state/{project}/{environment}/{stack}", "operator"},
		{"UNLOCK", "/state/{project}/{environment}/{stack}", "developer"}, // giving back what one does not have is nothing
		{"DELETE", "/state/{project}/{environment}/{stack}", "operator"},
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.Role != "" && op.Role != "runner" {
				all = append(all, asked{strings.ToUpper(method), path, op.Role})
			}
		}
	}
	return all
}

// The matrix of roles and routes: each role may use exactly the routes that take it or one
// that it includes, and what it may do in one environment it may not do in another.
func TestRolesAndRoutes(t *testing.T) {
	a, admin := start(t, app.Options{Exe: "/bin/false", Poll: never})
	repo := repository(t, map[string]string{"terrace.hcl": twoEnvironments, "stacks/web/main.tf": ""})
	if _, err := admin.AddProject(t.Context(), wire.AddProject{Name: "p", Repo: repo}); err != nil {
		t.Fatal(err)
	}
	var run, rollout, stage string
	eventually(t, "a run", func() bool {
		runs, err := admin.Runs(t.Context(), "p", client.RunFilter{Environment: "dev", Limit: 1})
		if err != nil || len(runs) == 0 {
			return false
		}
		run, rollout = runs[0].ID, runs[0].Rollout
		ro, err := admin.Rollout(t.Context(), rollout)
		i := slices.IndexFunc(ro.Stages, func(st wire.Stage) bool { return st.Environment == "dev" })
		if err != nil || i < 0 {
			return false
		}
		stage = ro.Stages[i].ID
		return true
	})
	of := func(r asked, environment string) string {
		path, project, id := r.path, "p", "x-none"
		switch {
		case strings.HasPrefix(path, "/api/v1/runs/"):
			id = run
		case strings.HasPrefix(path, "/api/v1/rollouts/"):
			id = rollout
		case strings.HasPrefix(path, "/api/v1/stages/"):
			id = stage
		case r.method == http.MethodDelete && path == "/api/v1/projects/{project}":
			project = "gone" // p has to stay
		}
		path = strings.NewReplacer("{project}", project, "{environment}", environment, "{stack}", "web", "{id}", id, "{entry}", "1").Replace(path)
		return a.URL() + parameter.ReplaceAllString(path, "x")
	}
	roles := []string{"viewer", "developer", "operator", "admin"}
	routes := declared(t, a)
	if len(routes) < 50 {
		t.Fatalf("there are %d routes", len(routes))
	}
	for _, role := range roles {
		everywhere, _ := token(t, a, admin, wire.CreateToken{Name: "e-" + role, Role: role})
		inDev, _ := token(t, a, admin, wire.CreateToken{Name: "d-" + role, Role: role, Project: "p", Environment: "dev"})
		elsewhere, _ := token(t, a, admin, wire.CreateToken{Name: "o-" + role, Role: role, Project: "other"})
		for _, r := range routes {
			if strings.HasSuffix(r.path, "/stream") || r.path == "/api/v1/changes" || strings.Contains(r.path, "/exceptions/{id}") || strings.Contains(r.path, "/replacements/{id}") {
				continue // endless answers, and what is looked up first: below
			}
			// Roles are asked before a body is looked at, but by the state protocol.
			body := "[]"
			if strings.HasPrefix(r.path, "/state/") {
				body = `{"ID":"x"}`
			}
			denied := func(secret, url string) bool {
				status, _ := ask(t, r.method, url, secret, body)
				return status == http.StatusForbidden
			}
			enough := slices.Index(roles, role) >= slices.Index(roles, r.role)
			if denied(everywhere, of(r, "dev")) == enough {
				t.Errorf("%s and %s %s: let in is %v, want %v", role, r.method, r.path, !enough, enough)
			}
			here := strings.Contains(r.path, "{environment}") || strings.HasPrefix(r.path, "/api/v1/runs/") || strings.HasPrefix(r.path, "/api/v1/stages/") || r.role == "viewer"
			here = here && !strings.Contains(r.path, "{sandbox}") // another place, which there is not: below
			if got, want := !denied(inDev, of(r, "dev")), enough && here && r.path != "/api/v1/events"; got != want {
				t.Errorf("%s in dev and %s %s in dev: let in is %v, want %v", role, r.method, r.path, got, want)
			}
			if strings.Contains(r.path, "{environment}") && !denied(inDev, of(r, "production")) {
				t.Errorf("%s in dev may %s %s in production", role, r.method, r.path)
			}
			if (strings.Contains(r.path, "{project}") || strings.Contains(r.path, "/runs/") || strings.Contains(r.path, "/rollouts/") || strings.Contains(r.path, "/stages/")) && !denied(elsewhere, of(r, "dev")) {
				t.Errorf("%s of another project may %s %s", role, r.method, r.path)
			}
		}
		for _, path := range []string{"/api/v1/runs/{id}/logs/stream", "/api/v1/changes?project=p"} {
			if status, body := ask(t, http.MethodGet, of(asked{path: path}, "dev"), elsewhere, ""); status != http.StatusForbidden {
				t.Errorf("%s of another project follows %s: %d %s", role, path, status, body)
			}
		}
	}
}

// Whoever may look at one environment sees nothing of the states and runs of others, nor of
// other projects.
func TestListsLeaveOutWhatMayNotBeSeen(t *testing.T) {
	a, admin := start(t, app.Options{Exe: "/bin/false", Poll: never})
	repo := repository(t, map[string]string{"terrace.hcl": twoEnvironments, "stacks/web/main.tf": ""})
	for _, p := range []string{"p", "q"} {
		if _, err := admin.AddProject(t.Context(), wire.AddProject{Name: p, Repo: repo}); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.PushState(t.Context(), p, "production", "web", []byte(`{"version":4,"serial":1,"lineage":"l","outputs":{},"resources":[]}`)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a run", func() bool {
		runs, err := admin.Runs(t.Context(), "p", client.RunFilter{Limit: 1})
		return err == nil && len(runs) > 0
	})
	_, dev := token(t, a, admin, wire.CreateToken{Name: "dev", Role: "operator", Project: "p", Environment: "dev"})
	_, production := token(t, a, admin, wire.CreateToken{Name: "production", Role: "viewer", Project: "p", Environment: "production"})
	if all, err := dev.Projects(t.Context()); err != nil || len(all) != 1 || all[0].Name != "p" {
		t.Errorf("projects: %+v, %v", all, err)
	}
	if p, err := dev.Project(t.Context(), "p"); err != nil || p.Webhook != nil {
		t.Errorf("the webhook's secret is shown: %+v, %v", p, err)
	}
	if states, err := dev.States(t.Context(), "p"); err != nil || len(states) != 0 {
		t.Errorf("states: %+v, %v", states, err)
	}
	if states, err := production.States(t.Context(), "p"); err != nil || len(states) != 1 {
		t.Errorf("states of production: %+v, %v", states, err)
	}
	if runs, err := production.Runs(t.Context(), "p", client.RunFilter{}); err != nil || len(runs) != 0 {
		t.Errorf("runs: %+v, %v", runs, err)
	}
	if _, err := production.Events(t.Context(), "", 0); code(err) != string(core.Denied) {
		t.Errorf("everybody's events: %v", err)
	}
	if _, err := production.Events(t.Context(), "p", 0); err != nil {
		t.Errorf("the project's events: %v", err)
	}
}

// A browser that a token lets in may do what the token may, for as long.
func TestABrowserHasTheRoleOfItsToken(t *testing.T) {
	a, admin := start(t, app.Options{Exe: "/bin/false"})
	_, viewer := token(t, a, admin, wire.CreateToken{Name: "eve-laptop", User: "eve", Role: "viewer", TTL: "1h"})
	if _, err := viewer.CreateEntry(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := admin.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(t wire.Token) bool { return t.Name == "eve" })
	if i < 0 || all[i].User != "eve" || all[i].Role != "viewer" || all[i].Expires.IsZero() {
		t.Errorf("the browser's token: %+v", all)
	}
	events, err := admin.Events(t.Context(), "", 0)
	if err != nil || events[len(events)-1].By != "user:eve" {
		t.Errorf("events: %+v, %v", events, err)
	}
	_, spaced := token(t, a, admin, wire.CreateToken{Name: "ana's laptop"})
	if _, err := spaced.CreateEntry(t.Context()); err != nil {
		t.Errorf("whose name is no name of a user: %v", err)
	}
}

// entered is a browser that a link lets in, which it asks for with a token.
func entered(t *testing.T, a *app.App, who *client.Client) *client.Client {
	t.Helper()
	link, err := who.CreateEntry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+link.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // which follows nothing
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(resp.Cookies()) != 1 {
		t.Fatalf("the link sets %v", resp.Cookies())
	}
	browser := client.New(a.URL(), resp.Cookies()[0].Value)
	t.Cleanup(browser.Close)
	return browser
}

// Whoever takes a token away takes away what it let in, also at second hand; others of the
// same user stay, and the last admin is not locked out by it.
func TestRevokingEndsBrowsers(t *testing.T) {
	a, admin := start(t, app.Options{Exe: "/bin/false"})
	names := func() (names []string) {
		all, err := admin.Tokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range all {
			names = append(names, token.Name)
		}
		return names
	}
	_, laptop := token(t, a, admin, wire.CreateToken{Name: "eve-laptop", User: "eve", Role: "viewer"})
	token(t, a, admin, wire.CreateToken{Name: "eve-phone", User: "eve", Role: "viewer"})
	browser := entered(t, a, laptop)
	entered(t, a, browser)
	if got := names(); len(got) != 5 {
		t.Fatalf("tokens: %v", got)
	}
	all, err := admin.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := all[slices.IndexFunc(all, func(t wire.Token) bool { return t.Name == "eve-laptop" })].ID
	if err := admin.RevokeToken(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := names(); len(got) != 2 || slices.Contains(got, "eve") || !slices.Contains(got, "eve-phone") {
		t.Errorf("tokens that are left: %v", got)
	}
	if _, err := browser.Projects(t.Context()); code(err) != string(core.Unauthenticated) {
		t.Errorf("the browser of a revoked token: %v", err)
	}
	entered(t, a, admin)
	for _, own := range all {
		if own.Role == "admin" {
			if err := admin.RevokeToken(t.Context(), own.ID); code(err) != string(core.Conflict) {
				t.Errorf("the last admin, whose browser would end with it: %v", err)
			}
		}
	}
}

func TestTokensThatCannotBe(t *testing.T) {
	_, admin := start(t, app.Options{Exe: "/bin/false"})
	for _, wanted := range []wire.CreateToken{
		{Name: ""}, {Name: "x", Role: "owner"}, {Name: "x", Role: "Admin"}, {Name: "x", User: "a b"}, {Name: "x", User: "group:a"}, {Name: "x", Project: "p"},
		{Name: "x", Environment: "dev"}, {Name: "x", Role: "viewer", Project: "../p"}, {Name: "x", Role: "viewer", Environment: "*"}, {Name: "x\x00", Role: "viewer"},
	} {
		if made, err := admin.CreateToken(t.Context(), wanted); code(err) != string(core.Invalid) {
			t.Errorf("%+v: %+v, %v", wanted, made, err)
		}
	}
}

// Roles of users come from the guardrails, at once and without a new token.
func TestRolesOfTheGuardrails(t *testing.T) {
	a, admin := start(t, app.Options{Exe: "/bin/false", Poll: never})
	repo := repository(t, map[string]string{"terrace.hcl": twoEnvironments, "stacks/web/main.tf": ""})
	if _, err := admin.AddProject(t.Context(), wire.AddProject{Name: "p", Repo: repo}); err != nil {
		t.Fatal(err)
	}
	_, ana := token(t, a, admin, wire.CreateToken{Name: "ana"})
	if err := ana.SetSecret(t.Context(), "p", "dev", "KEY", "v"); err != nil {
		t.Errorf("before there are roles everybody is an admin: %v", err)
	}
	set, err := admin.SetGuardrails(t.Context(), wire.SetGuardrails{Files: map[string]string{"guardrails.hcl": "role \"operator\" {\n  members      = [\"user:ana\"]\n  environments = [\"dev\"]\n}\n"}})
	if err != nil || set.Version != 1 {
		t.Fatalf("%+v, %v", set, err)
	}
	if err := ana.Hold(t.Context(), "p", "dev", "x"); err != nil {
		t.Errorf("an operator of dev: %v", err)
	}
	for what, err := range map[string]error{
		"hold production": ana.Hold(t.Context(), "p", "production", "x"),
		"set a secret":    ana.SetSecret(t.Context(), "p", "dev", "KEY", "v"),
		"set guardrails":  func() error { _, err := ana.SetGuardrails(t.Context(), wire.SetGuardrails{}); return err }(),
	} {
		if code(err) != string(core.Denied) || !strings.Contains(err.Error(), "user:ana has the role operator in dev of every project") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if g, err := ana.Guardrails(t.Context(), 0); err != nil || g.Version != 1 || !strings.Contains(g.Files["guardrails.hcl"], "user:ana") {
		t.Errorf("who is bound by them may read them: %+v, %v", g, err)
	}
	// The page of a run's project is for who may look at it; a form takes the same role.
	if status, _ := ask(t, http.MethodGet, a.URL()+"/p/p", ana.Token(), ""); status != http.StatusOK {
		t.Errorf("the board: %d", status)
	}
}

// A server that lets in no admin any more makes a token when it starts: who owns the machine
// owns the server. Otherwise the last one cannot be taken away.
func TestAnAdminIsNeverLockedOut(t *testing.T) {
	data := t.TempDir()
	a, admin := start(t, app.Options{Exe: "/bin/false", Data: data})
	tokens, err := admin.Tokens(t.Context())
	if err != nil || len(tokens) != 1 || tokens[0].Role != "admin" {
		t.Fatalf("%+v, %v", tokens, err)
	}
	if err := admin.RevokeToken(t.Context(), tokens[0].ID); code(err) != string(core.Conflict) || !strings.Contains(err.Error(), "last token") {
		t.Errorf("the last token: %v", err)
	}
	if _, err := admin.CreateToken(t.Context(), wire.CreateToken{Name: "short", Role: "admin", TTL: "1ns"}); err != nil {
		t.Fatal(err)
	}
	if err := admin.RevokeToken(t.Context(), tokens[0].ID); code(err) != string(core.Conflict) {
		t.Errorf("beside one that has expired: %v", err)
	}
	_, other := token(t, a, admin, wire.CreateToken{Name: "other", Role: "admin"})
	if err := admin.RevokeToken(t.Context(), tokens[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Tokens(t.Context()); err != nil {
		t.Error(err)
	}
	file, err := os.ReadFile(filepath.Join(data, "admin-token"))
	if err != nil || strings.TrimSpace(string(file)) != a.Token() {
		t.Errorf("the file of the revoked token: %q, %v", file, err)
	}
}

// Whoever may look at an environment may look at its sandboxes, and a developer of it may do
// everything in their own, and nothing in those of others.
func TestRolesInSandboxes(t *testing.T) {
	a, admin := start(t, app.Options{Exe: "/bin/false", Poll: never})
	repo := repository(t, map[string]string{"terrace.hcl": twoEnvironments, "stacks/web/main.tf": ""})
	if _, err := admin.AddProject(t.Context(), wire.AddProject{Name: "p", Repo: repo}); err != nil {
		t.Fatal(err)
	}
	inDev := func(name, role string) (string, *client.Client) {
		return token(t, a, admin, wire.CreateToken{Name: name, Role: role, Project: "p", Environment: "dev"})
	}
	anaToken, ana := inDev("ana", "developer")
	benToken, ben := inDev("ben", "developer")
	viewToken, viewer := inDev("cleo", "viewer")
	otherToken, _ := token(t, a, admin, wire.CreateToken{Name: "dora", Role: "operator", Project: "p", Environment: "production"})
	if _, err := ana.CreateSandbox(t.Context(), "p", wire.CreateSandbox{Name: "try", Base: "dev"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client.Client{viewer, ben} {
		if all, err := c.Sandboxes(t.Context(), "p"); err != nil || len(all) != 1 {
			t.Errorf("sandboxes: %+v, %v", all, err)
		}
	}
	if _, err := viewer.CreateSandbox(t.Context(), "p", wire.CreateSandbox{Name: "mine", Base: "dev"}); err == nil {
		t.Error("a viewer made a sandbox")
	}
	if _, err := ben.CreateSandbox(t.Context(), "p", wire.CreateSandbox{Name: "his", Base: "production"}); err == nil {
		t.Error("a developer of dev made a sandbox of production")
	}
	for _, c := range []struct {
		method, path, body string
		ana, ben, viewer   bool
	}{
		{"GET", "/api/v1/projects/p/sandboxes/try", "", true, true, true},
		{"GET", "/api/v1/projects/p~try/status", "", true, true, true},
		{"GET", "/api/v1/projects/p/runs?environment=try", "", true, true, true},
		{"POST", "/api/v1/projects/p/sandboxes/try/extend", `{"for":"1h"}`, true, false, false},
		{"POST", "/api/v1/projects/p/sandboxes/try/shell/web", `{}`, true, false, false},
		{"PUT", "/api/v1/projects/p/secrets/try/KEY", `{"value":"x"}`, true, false, false},
		{"PUT", "/api/v1/projects/p/secrets/dev/KEY", `{"value":"x"}`, false, false, false},
		{"PUT", "/api/v1/projects/p/secrets/sandboxes/KEY", `{"value":"x"}`, false, false, false},
		{"POST", "/api/v1/projects/p~try/rollouts", `{}`, true, false, false},
		{"POST", "/api/v1/projects/p/rollouts", `{}`, false, false, false},
		{"GET", "/state/p~try/try/web", "", true, false, false},
		{"LOCK", "/state/p~try/try/web", `{"ID":"x"}`, true, false, false},
		{"DELETE", "/api/v1/projects/p/sandboxes/try", "", true, false, false},
	} {
		for _, who := range []struct {
			name, token string
			may         bool
		}{{"ben", benToken, c.ben}, {"the viewer", viewToken, c.viewer}, {"an operator of production", otherToken, false}, {"ana", anaToken, c.ana}} {
			status, text := ask(t, c.method, a.URL()+c.path, who.token, c.body)
			if got := status != http.StatusForbidden; got != who.may && c.path != "/api/v1/projects/p/runs?environment=try" {
				t.Errorf("%s and %s %s: %d, let in should be %v\n%s", who.name, c.method, c.path, status, who.may, text)
			}
		}
	}
}
