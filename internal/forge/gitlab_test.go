package forge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

const gitlabRoot = "/api/v4/projects/acme%2Fplatform%2Finfra"

func gitlabFake(t testing.TB) (*fake, Client) {
	t.Helper()
	f := newFake(t, "Bearer "+canary)
	return f, open(t, Config{Kind: GitLab, URL: f.URL, Repo: "acme/platform/infra", Token: canary})
}

func TestGitLabPulls(t *testing.T) {
	f, client := gitlabFake(t)
	list := "GET " + gitlabRoot + "/merge_requests?order_by=created_at&page="
	f.on(list+"1&per_page=50&sort=asc&state=opened&target_branch=main", answer{file: "gitlab/pulls-1.json", header: next(f)})
	f.on(list+"2&per_page=50&sort=asc&state=opened&target_branch=main", answer{file: "gitlab/pulls-2.json"})
	got, err := client.Pulls(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	page := f.URL + "/acme/platform/infra/-/merge_requests/"
	same(t, "merge requests", got, []Pull{
		{Number: 3, Title: "Bigger network", Author: "ana", URL: page + "3", Branch: "bigger-network", Commit: strings.Repeat("8", 40), Target: "main", Ref: "refs/merge-requests/3/head"},
		{Number: 4, Title: "Draft: new name", Author: "ben", URL: page + "4", Branch: "name", Commit: strings.Repeat("9", 40), Target: "main", Draft: true, Ref: "refs/merge-requests/4/head"},
		{Number: 5, Title: "The fork is gone", Author: "ghost", URL: page + "5", Branch: "main", Commit: strings.Repeat("b", 40), Target: "main", Fork: true, Ref: "refs/merge-requests/5/head"},
		{Number: 6, Title: "From a fork", Author: "mallory", URL: page + "6", Branch: "main", Commit: strings.Repeat("a", 40), Target: "main", Fork: true, Ref: "refs/merge-requests/6/head"},
	})
}

func TestGitLabComment(t *testing.T) {
	f, client := gitlabFake(t)
	f.on("POST "+gitlabRoot+"/merge_requests/3/notes", answer{status: http.StatusCreated, file: "gitlab/note.json"})
	id, err := client.Comment(t.Context(), 3, "", "3 to add")
	if err != nil || id != "302" {
		t.Fatalf("Comment() = %q, %v", id, err)
	}
	same(t, "the body", f.last(), map[string]string{"body": "3 to add"})
	f.on("PUT "+gitlabRoot+"/merge_requests/3/notes/302", answer{file: "gitlab/note.json"})
	if again, err := client.Comment(t.Context(), 3, id, "nothing"); err != nil || again != id {
		t.Fatalf("Comment() = %q, %v", again, err)
	}
	f.on("PUT "+gitlabRoot+"/merge_requests/3/notes/5", answer{status: http.StatusNotFound, body: `{"message":"404 Note Not Found"}`})
	if _, err := client.Comment(t.Context(), 3, "5", "x"); core.CodeOf(err) != core.NotFound {
		t.Errorf("a deleted note: %v", err)
	}
	if _, err := client.Comment(t.Context(), 3, "302?x", "x"); core.CodeOf(err) != core.Invalid {
		t.Error(err)
	}
}

func TestGitLabStatus(t *testing.T) {
	f, client := gitlabFake(t)
	commit := strings.Repeat("8", 40)
	line := "POST " + gitlabRoot + "/statuses/" + commit
	set := func(state string) error {
		return client.Status(t.Context(), commit, Status{Context: "terrace/production", State: state, Text: strings.Repeat("x", 300)})
	}
	for _, test := range []struct{ state, sent string }{{Pending, "running"}, {Success, "success"}, {Failure, "failed"}, {Error, "failed"}} {
		f.on(line, answer{status: http.StatusCreated, file: "gitlab/status.json"})
		if err := set(test.state); err != nil {
			t.Fatal(err)
		}
		same(t, "the body", f.last(), map[string]string{"state": test.sent, "name": "terrace/production", "description": strings.Repeat("x", 254) + "…"})
	}
	f, client = gitlabFake(t)
	f.on(line, answer{status: http.StatusBadRequest, body: `{"message":"Cannot transition status via :run from :running (Reason(s): Status cannot transition via \"run\")"}`})
	if err := set(Pending); err != nil {
		t.Errorf("the same status twice: %v", err)
	}
	if err := set(Success); core.CodeOf(err) != core.Invalid {
		t.Errorf("another status that is refused: %v", err)
	}
}

// TestGitLabStatusOfAFork: the project has no branch with the commit, and GitLab asks for one.
func TestGitLabStatusOfAFork(t *testing.T) {
	f, client := gitlabFake(t)
	commit := strings.Repeat("a", 40)
	line := "POST " + gitlabRoot + "/statuses/" + commit
	f.on(line, answer{status: http.StatusNotFound, body: `{"message":"404 References for commit Not Found"}`})
	f.on(line, answer{status: http.StatusCreated, file: "gitlab/status.json"})
	f.on("GET "+gitlabRoot+"/repository/commits/"+commit+"/merge_requests?page=1&per_page=50&state=opened", answer{file: "gitlab/pulls-2.json"})
	if err := client.Status(t.Context(), commit, Status{Context: "terrace/production", State: Success}); err != nil {
		t.Fatal(err)
	}
	same(t, "the body", f.last(), map[string]string{"state": "success", "name": "terrace/production", "description": "", "ref": "main"})

	other := strings.Repeat("c", 40)
	f.on("POST "+gitlabRoot+"/statuses/"+other, answer{status: http.StatusNotFound, body: `{"message":"404 References for commit Not Found"}`})
	f.on("GET "+gitlabRoot+"/repository/commits/"+other+"/merge_requests?page=1&per_page=50&state=opened", answer{file: "gitlab/pulls-2.json"})
	if err := client.Status(t.Context(), other, Status{Context: "x", State: Success}); core.CodeOf(err) != core.NotFound {
		t.Errorf("a commit of no merge request: %v", err)
	}
}

func TestGitLabMayPush(t *testing.T) {
	for _, test := range []struct {
		name   string
		member answer
		may    bool
		code   core.Code
	}{
		{"a developer", answer{file: "gitlab/member.json"}, true, ""},
		{"a reporter", answer{body: `{"access_level":20,"state":"active"}`}, false, ""},
		{"blocked", answer{body: `{"access_level":40,"state":"blocked"}`}, false, ""},
		{"no member", answer{status: http.StatusNotFound, body: `{"message":"404 Not found"}`}, false, ""},
		{"broken", answer{status: http.StatusBadGateway}, false, core.Unavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, client := gitlabFake(t)
			f.on("GET /api/v4/users?username=ana", answer{file: "gitlab/users.json"})
			f.on("GET "+gitlabRoot+"/members/all/17", test.member)
			if may, err := client.MayPush(t.Context(), "ana"); may != test.may || core.CodeOf(err) != test.code {
				t.Errorf("MayPush() = %v, %v", may, err)
			}
		})
	}
	f, client := gitlabFake(t)
	f.on("GET /api/v4/users?username=an", answer{file: "gitlab/users.json"})
	f.on("GET /api/v4/users?username=nobody", answer{body: "[]"})
	for _, user := range []string{"an", "nobody", "", "..", "ana&x"} {
		if may, err := client.MayPush(t.Context(), user); may || err != nil {
			t.Errorf("MayPush(%q) = %v, %v", user, may, err)
		}
	}
}

func TestGitLabLogin(t *testing.T) {
	_, client := gitlabFake(t)
	if login, err := client.Login(t.Context()); err != nil || login != (Login{User: "oauth2", Password: canary}) {
		t.Errorf("Login() = %+v, %v", login, err)
	}
}

func TestGitLabCheck(t *testing.T) {
	for _, test := range []struct {
		name           string
		project, token answer
		code           core.Code
		says           string
	}{
		{name: "all is well"},
		{name: "a role in the group", project: answer{body: `{"permissions":{"project_access":null,"group_access":{"access_level":40}}}`}},
		{name: "an application's token", token: answer{status: 404, body: `{"message":"404 Not Found"}`}},
		{name: "a reporter", project: answer{body: `{"permissions":{"project_access":{"access_level":20}}}`}, code: core.Denied, says: "role Developer"},
		{name: "a stranger", project: answer{body: `{"permissions":{"project_access":null,"group_access":null}}`}, code: core.Denied, says: "/acme/platform/infra/-/settings/access_tokens"},
		{name: "archived", project: answer{body: `{"archived":true}`}, code: core.Denied, says: "archived"},
		{name: "no merge requests", project: answer{body: `{"merge_requests_enabled":false}`}, code: core.Denied, says: "switched off"},
		{name: "a reader's token", token: answer{body: `{"scopes":["read_api","read_repository"]}`}, code: core.Denied, says: "the scopes read_api, read_repository; it needs api"},
		{name: "revoked", project: answer{status: 401, body: `{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}`}, code: core.Denied, says: "Token was revoked"},
		{name: "not there", project: answer{status: 404, body: `{"message":"404 Project Not Found"}`}, code: core.NotFound, says: "the token may not see it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, client := gitlabFake(t)
			if test.project.status != 0 || test.project.body != "" {
				f.on("GET "+gitlabRoot, test.project)
			}
			if test.token.status != 0 || test.token.body != "" {
				f.on("GET /api/v4/personal_access_tokens/self", test.token)
			}
			f.on("GET "+gitlabRoot, answer{file: "gitlab/project.json"})
			f.on("GET /api/v4/personal_access_tokens/self", answer{file: "gitlab/token.json"})
			err := client.Check(t.Context())
			noCanary(t, err)
			if core.CodeOf(err) != test.code || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("Check() = %v", err)
			}
		})
	}
}
