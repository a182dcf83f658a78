package forge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

const githubRoot = "/api/v3/repos/acme/infra"

func githubFake(t testing.TB) (*fake, Client) {
	t.Helper()
	f := newFake(t, "Bearer "+canary)
	return f, open(t, Config{Kind: GitHub, URL: f.URL, Repo: "acme/infra", Token: canary})
}

func TestGitHubPulls(t *testing.T) {
	f, client := githubFake(t)
	list := "GET " + githubRoot + "/pulls?base=main&direction=asc&page="
	f.on(list+"1&per_page=100&sort=created&state=open", answer{file: "github/pulls-1.json", header: next(f)})
	f.on(list+"2&per_page=100&sort=created&state=open", answer{file: "github/pulls-2.json"})
	got, err := client.Pulls(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	page := f.URL + "/acme/infra/pull/"
	same(t, "pull requests", got, []Pull{
		{Number: 7, Title: "Bigger network", Author: "ana", URL: page + "7", Branch: "bigger-network", Commit: "6dcb09b5b57875f334f61aebed695e2e4193db5e", Target: "main", Ref: "refs/pull/7/head"},
		{Number: 9, Title: "The fork is gone", Author: "ghost", URL: page + "9", Branch: "patch-1", Commit: "bbcd538c8e72b8c175046e27cc8f907076331401", Target: "main", Fork: true, Ref: "refs/pull/9/head"},
		{Number: 12, Title: "chore(deps): update hcl to v2 now", Author: "renovate[bot]", URL: page + "12", Branch: "renovate/hcl", Commit: "aa218f56b14c9653891f9e74264a383fa43fefbd", Target: "main", Draft: true, Ref: "refs/pull/12/head"},
		{Number: 15, Title: "From a fork", Author: "mallory", URL: page + "15", Branch: "main", Commit: "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d", Target: "main", Fork: true, Ref: "refs/pull/15/head"},
	})
}

func TestGitHubComment(t *testing.T) {
	f, client := githubFake(t)
	f.on("POST "+githubRoot+"/issues/7/comments", answer{status: http.StatusCreated, file: "github/comment.json"})
	id, err := client.Comment(t.Context(), 7, "", "**3 to add** <b>")
	if err != nil || id != "1825411327" {
		t.Fatalf("Comment() = %q, %v", id, err)
	}
	same(t, "the body", f.last(), map[string]string{"body": "**3 to add** <b>"})
	f.on("PATCH "+githubRoot+"/issues/comments/1825411327", answer{file: "github/comment.json"})
	if again, err := client.Comment(t.Context(), 7, id, "nothing to do"); err != nil || again != id {
		t.Fatalf("Comment() = %q, %v", again, err)
	}
	same(t, "the body", f.last(), map[string]string{"body": "nothing to do"})
	f.on("PATCH "+githubRoot+"/issues/comments/5", answer{status: http.StatusNotFound, body: `{"message":"Not Found","status":"404"}`})
	if _, err := client.Comment(t.Context(), 7, "5", "x"); core.CodeOf(err) != core.NotFound {
		t.Errorf("a deleted comment: %v", err)
	}
	asked := len(f.lines())
	for _, test := range []struct {
		pull     int64
		id, text string
	}{{0, "", "x"}, {7, "5/../../9", "x"}, {7, "", " \n"}, {7, "", strings.Repeat("ä", 65537)}} {
		if _, err := client.Comment(t.Context(), test.pull, test.id, test.text); core.CodeOf(err) != core.Invalid {
			t.Errorf("Comment(%d, %q): %v", test.pull, test.id, err)
		}
	}
	if len(f.lines()) != asked {
		t.Error("what is wrong was sent all the same")
	}
	if _, err := client.Comment(t.Context(), 7, "1825411327", strings.Repeat("ä", client.CommentLimit())); err != nil {
		t.Errorf("the longest comment: %v", err)
	}
}

func TestGitHubStatus(t *testing.T) {
	f, client := githubFake(t)
	const commit = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
	f.on("POST "+githubRoot+"/statuses/"+commit, answer{status: http.StatusCreated, file: "github/status.json"})
	s := Status{Context: "terrace/production", State: Failure, Text: "2 to destroy:\n" + strings.Repeat("ü", 200), URL: "https://terrace.example.com/x"}
	if err := client.Status(t.Context(), commit, s); err != nil {
		t.Fatal(err)
	}
	same(t, "the body", f.last(), map[string]string{"state": "failure", "context": "terrace/production", "target_url": "https://terrace.example.com/x",
		"description": "2 to destroy: " + strings.Repeat("ü", 125) + "…"})
	for _, test := range []struct {
		commit string
		s      Status
	}{{"main", s}, {"../../" + commit, s}, {commit, Status{Context: "x", State: "great"}}, {commit, Status{State: Success}}} {
		if err := client.Status(t.Context(), test.commit, test.s); core.CodeOf(err) != core.Invalid {
			t.Errorf("Status(%q, %+v): %v", test.commit, test.s, err)
		}
	}
	other := strings.Repeat("1", 40)
	f.on("POST "+githubRoot+"/statuses/"+other, answer{status: http.StatusUnprocessableEntity, body: `{"message":"No commit found for SHA: 1111"}`})
	if err := client.Status(t.Context(), other, s); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "No commit found") {
		t.Errorf("a commit that is not there: %v", err)
	}
}

func TestGitHubMayPush(t *testing.T) {
	f, client := githubFake(t)
	f.on("GET "+githubRoot+"/collaborators/ana/permission", answer{file: "github/permission.json"})
	f.on("GET "+githubRoot+"/collaborators/ben/permission", answer{body: `{"permission":"read","role_name":"triage"}`})
	f.on("GET "+githubRoot+"/collaborators/nobody/permission", answer{status: http.StatusNotFound, body: `{"message":"nobody is not a user"}`})
	for user, want := range map[string]bool{"ana": true, "ben": false, "nobody": false, "": false, "..": false, "a/b": false, "ana?x": false, "ana\n": false} {
		if may, err := client.MayPush(t.Context(), user); err != nil || may != want {
			t.Errorf("MayPush(%q) = %v, %v", user, may, err)
		}
	}
	f.on("GET "+githubRoot+"/collaborators/cy/permission", answer{status: http.StatusForbidden, body: `{"message":"Must have push access to view collaborator permission."}`})
	if may, err := client.MayPush(t.Context(), "cy"); may || core.CodeOf(err) != core.Denied {
		t.Errorf("MayPush() = %v, %v", may, err)
	}
}

func TestGitHubLogin(t *testing.T) {
	_, client := githubFake(t)
	login, err := client.Login(t.Context())
	if err != nil || login != (Login{User: "x-access-token", Password: canary}) {
		t.Errorf("Login() = %+v, %v", login, err)
	}
}

func TestGitHubCheck(t *testing.T) {
	zeros := "POST " + githubRoot + "/statuses/" + strings.Repeat("0", 40)
	for _, test := range []struct {
		name string
		set  func(*fake)
		code core.Code
		says string
	}{
		{"all is well", nil, "", ""},
		{"a classic token", func(f *fake) {
			f.on("GET "+githubRoot, answer{file: "github/repo.json", header: map[string]string{"X-OAuth-Scopes": "read:org, repo"}})
		}, "", ""},
		{"a classic token for public repositories", func(f *fake) {
			f.on("GET "+githubRoot, answer{file: "github/repo.json", header: map[string]string{"X-OAuth-Scopes": "public_repo"}})
		}, core.Denied, "it needs repo"},
		{"revoked", func(f *fake) {
			f.on("GET "+githubRoot, answer{status: 401, body: `{"message":"Bad credentials ` + canary + `"}`})
		}, core.Denied, "expired or was revoked"},
		{"not there", func(f *fake) { f.on("GET "+githubRoot, answer{status: 404, body: `{"message":"Not Found"}`}) }, core.NotFound, "the token may not see it"},
		{"archived", func(f *fake) { f.on("GET "+githubRoot, answer{body: `{"archived":true,"permissions":{"push":true}}`}) }, core.Denied, "archived"},
		{"a reader", func(f *fake) { f.on("GET "+githubRoot, answer{body: `{"permissions":{"push":false}}`}) }, core.Denied, "role write"},
		{"no pull requests", func(f *fake) {
			f.on("GET "+githubRoot+"/pulls?per_page=1", answer{status: 403, body: `{"message":"Resource not accessible by personal access token"}`,
				header: map[string]string{"X-Accepted-GitHub-Permissions": "pull_requests=read"}})
		}, core.Denied, "which takes pull_requests=read"},
		{"no statuses", func(f *fake) {
			f.on(zeros, answer{status: 403, body: `{"message":"Resource not accessible by personal access token"}`, header: map[string]string{"X-Accepted-GitHub-Permissions": "statuses=write"}})
		}, core.Denied, "can't set statuses of commits (403 Resource not accessible by personal access token), which takes statuses=write"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, client := githubFake(t)
			if test.set != nil {
				test.set(f)
			}
			f.on("GET "+githubRoot, answer{file: "github/repo.json"})
			f.on("GET "+githubRoot+"/pulls?per_page=1", answer{body: "[]"})
			f.on(zeros, answer{status: http.StatusUnprocessableEntity, body: `{"message":"No commit found for SHA"}`})
			f.on("PATCH "+githubRoot+"/issues/comments/0", answer{status: http.StatusNotFound, body: `{"message":"Not Found"}`})
			err := client.Check(t.Context())
			noCanary(t, err)
			if core.CodeOf(err) != test.code || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("Check() = %v", err)
			}
		})
	}
}
