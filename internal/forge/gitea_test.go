package forge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

const giteaRoot = "/api/v1/repos/acme/infra"

func giteaFake(t testing.TB) (*fake, Client) {
	t.Helper()
	f := newFake(t, "token "+canary)
	return f, open(t, Config{Kind: Gitea, URL: f.URL, Repo: "acme/infra", Token: canary})
}

func TestGiteaPulls(t *testing.T) {
	f, client := giteaFake(t)
	list := "GET " + giteaRoot + "/pulls?base_branch=main&limit=50&page="
	f.on(list+"1&sort=oldest&state=open", answer{file: "gitea/pulls-1.json", header: next(f)})
	f.on(list+"2&sort=oldest&state=open", answer{file: "gitea/pulls-2.json"})
	got, err := client.Pulls(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	page := f.URL + "/acme/infra/pulls/"
	same(t, "pull requests", got, []Pull{
		{Number: 1, Title: "Bigger network", Author: "ana", URL: page + "1", Branch: "bigger-network", Commit: strings.Repeat("1", 40), Target: "main", Ref: "refs/pull/1/head"},
		{Number: 2, Title: "WIP: name", Author: "ben", URL: page + "2", Branch: "name", Commit: strings.Repeat("2", 40), Target: "main", Draft: true, Ref: "refs/pull/2/head"},
		{Number: 4, Title: "Pushed to refs/for", Author: "mallory", URL: page + "4", Branch: "refs/pull/4/head", Commit: strings.Repeat("4", 40), Target: "main", Fork: true, Ref: "refs/pull/4/head"},
		{Number: 5, Title: "From a fork", Author: "mallory", URL: page + "5", Branch: "main", Commit: strings.Repeat("3", 40), Target: "main", Fork: true, Ref: "refs/pull/5/head"},
		{Number: 6, Title: "The fork is gone", Author: "mallory", URL: page + "6", Branch: "main", Commit: strings.Repeat("5", 40), Target: "main", Fork: true, Ref: "refs/pull/6/head"},
	})
}

// TestGiteaIgnoresTheTarget: older versions list the pull requests into all branches.
func TestGiteaIgnoresTheTarget(t *testing.T) {
	f, client := giteaFake(t)
	f.on("GET "+giteaRoot+"/pulls?base_branch=next&limit=50&page=1&sort=oldest&state=open", answer{file: "gitea/pulls-1.json"})
	if got, err := client.Pulls(t.Context(), "next"); err != nil || len(got) != 0 {
		t.Errorf("Pulls() = %+v, %v", got, err)
	}
}

func TestGiteaWrites(t *testing.T) {
	f, client := giteaFake(t)
	f.on("POST "+giteaRoot+"/issues/1/comments", answer{status: http.StatusCreated, file: "gitea/comment.json"})
	if id, err := client.Comment(t.Context(), 1, "", "3 to add"); err != nil || id != "31" {
		t.Fatalf("Comment() = %q, %v", id, err)
	}
	commit := strings.Repeat("1", 40)
	f.on("POST "+giteaRoot+"/statuses/"+commit, answer{status: http.StatusCreated, body: "{}"})
	if err := client.Status(t.Context(), commit, Status{Context: "terrace/production", State: Error, Text: strings.Repeat("x", 300), URL: "https://t.example.com"}); err != nil {
		t.Fatal(err)
	}
	same(t, "the body", f.last(), map[string]string{"state": "error", "context": "terrace/production", "description": strings.Repeat("x", 254) + "…", "target_url": "https://t.example.com"})
	f.on("POST "+giteaRoot+"/issues/9/comments", answer{status: http.StatusInternalServerError, body: `{"message":""}`})
	f.on("GET "+giteaRoot+"/pulls/9", answer{status: http.StatusNotFound, body: `{"message":"not found"}`})
	if _, err := client.Comment(t.Context(), 9, "", "x"); core.CodeOf(err) != core.NotFound {
		t.Errorf("a pull request that is not there: %v", err)
	}
	f.on("POST "+giteaRoot+"/issues/8/comments", answer{status: http.StatusInternalServerError, body: `{"message":""}`})
	f.on("GET "+giteaRoot+"/pulls/8", answer{body: `{"number":8}`})
	if _, err := client.Comment(t.Context(), 8, "", "x"); core.CodeOf(err) != core.Unavailable {
		t.Errorf("a forge that is broken: %v", err)
	}
	gone := strings.Repeat("2", 40)
	f.on("POST "+giteaRoot+"/statuses/"+gone, answer{status: http.StatusInternalServerError, body: `{"message":""}`})
	f.on("GET "+giteaRoot+"/git/commits/"+gone, answer{status: http.StatusNotFound, body: `{"message":"not found"}`})
	if err := client.Status(t.Context(), gone, Status{Context: "x", State: Success}); core.CodeOf(err) != core.NotFound {
		t.Errorf("a commit that is not there: %v", err)
	}
	f.on("GET "+giteaRoot+"/collaborators/ana/permission", answer{body: `{"permission":"owner","role_name":"owner"}`})
	if may, err := client.MayPush(t.Context(), "ana"); err != nil || !may {
		t.Errorf("MayPush() = %v, %v", may, err)
	}
}

func TestGiteaCheck(t *testing.T) {
	scopes := `{"message":"token does not have at least one of required scope(s), required=[write:issue], token scope=read:repository"}`
	for _, test := range []struct {
		name                 string
		repo, comments, pull answer
		code                 core.Code
		says                 string
	}{
		{name: "all is well"},
		{name: "a reader", repo: answer{body: `{"permissions":{"push":false}}`}, code: core.Denied, says: "a collaborator who may write"},
		{name: "archived", repo: answer{body: `{"archived":true,"permissions":{"push":true}}`}, code: core.Denied, says: "archived"},
		{name: "no pull requests", repo: answer{body: `{"has_pull_requests":false,"permissions":{"push":true}}`}, code: core.Denied, says: "switched off"},
		{name: "no scope for comments", comments: answer{status: 403, body: scopes}, code: core.Denied, says: "required=[write:issue], token scope=read:repository"},
		{name: "no scope for statuses", pull: answer{status: 403, body: scopes}, code: core.Denied, says: "scope write:repository"},
		{name: "broken", comments: answer{status: 500}, code: core.Unavailable, says: "500"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, client := giteaFake(t)
			for line, a := range map[string][2]answer{
				"GET " + giteaRoot:                          {test.repo, {file: "gitea/repo.json"}},
				"PATCH " + giteaRoot + "/issues/comments/0": {test.comments, {status: 404, body: `{"message":"comment does not exist"}`}},
				"PATCH " + giteaRoot + "/pulls/0":           {test.pull, {status: 404, body: `{"message":"Not Found"}`}},
			} {
				if a[0].status != 0 || a[0].body != "" {
					f.on(line, a[0])
				}
				f.on(line, a[1])
			}
			err := client.Check(t.Context())
			if core.CodeOf(err) != test.code || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("Check() = %v", err)
			}
		})
	}
}
