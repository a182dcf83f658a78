package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// Whatever is wrong with a request, the answer is a 4xx with a message, nothing
// changes, and the log has one line about it.
func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hills(w)
	commit := w.repo.Commit("Hills")
	w.repo.Push()
	w.add("hills")
	w.through(w.rolloutOf(commit))

	bearer := map[string]string{"Authorization": "Bearer " + w.token, "Content-Type": "application/json"}
	basic := map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("terrace:"+w.token))}
	with := func(header map[string]string, key, value string) map[string]string {
		m := map[string]string{key: value}
		for k, v := range header {
			m[k] = v
		}
		return m
	}
	const state = "/state/hills/production/house"
	current := w.run("state", "pull", "house@production")
	older := strings.Replace(current, `"serial":`, `"serial": -`, 1)
	foreign := strings.Replace(current, `"lineage": "`, `"lineage": "f`, 1)

	cases := []struct {
		name, method, path, body string
		header                   map[string]string
	}{
		{"no token", "GET", "/api/v1/projects", "", nil},
		{"a wrong token", "GET", "/api/v1/projects", "", map[string]string{"Authorization": "Bearer nonsense"}},
		{"a token of the wrong kind", "GET", "/api/v1/projects", "", map[string]string{"Authorization": "Digest " + w.token}},
		{"no such route", "GET", "/api/v1/nothing", "", bearer},
		{"a wrong method", "PATCH", "/api/v1/projects", "{}", bearer},
		{"not JSON", "POST", "/api/v1/projects", "{", bearer},
		{"an empty body", "POST", "/api/v1/projects", "", bearer},
		{"a wrong type", "POST", "/api/v1/projects", `{"name": 7, "repo": []}`, bearer},
		{"an unknown field", "POST", "/api/v1/projects", `{"name": "x", "repo": "` + w.repo.Remote + `", "colour": "red"}`, bearer},
		{"a name that could be a path", "POST", "/api/v1/projects", `{"name": "../x", "repo": "` + w.repo.Remote + `"}`, bearer},
		{"a name that could be an option", "POST", "/api/v1/projects", `{"name": "-x", "repo": "` + w.repo.Remote + `"}`, bearer},
		{"a repository that runs a command", "POST", "/api/v1/projects", `{"name": "x", "repo": "ext::sh -c touch% /tmp/pwned"}`, bearer},
		{"a repository that is an option", "POST", "/api/v1/projects", `{"name": "x", "repo": "--upload-pack=touch /tmp/pwned"}`, bearer},
		{"a repository that is not there", "POST", "/api/v1/projects", `{"name": "x", "repo": "/nonexistent.git"}`, bearer},
		{"a branch that is an option", "POST", "/api/v1/projects", `{"name": "x", "repo": "` + w.repo.Remote + `", "branch": "--exec=x"}`, bearer},
		{"a path that leaves the repository", "POST", "/api/v1/projects", `{"name": "x", "repo": "` + w.repo.Remote + `", "path": "../.."}`, bearer},
		{"a project twice", "POST", "/api/v1/projects", `{"name": "hills", "repo": "` + w.repo.Remote + `"}`, bearer},
		{"no such project", "GET", "/api/v1/projects/valleys/status", "", bearer},
		{"no such rollout", "POST", "/api/v1/rollouts/ro-0/cancel", "{}", bearer},
		{"a rollout that is over", "POST", "/api/v1/rollouts/" + w.rolloutOf(commit).ID + "/cancel", "{}", bearer},
		{"no such commit", "POST", "/api/v1/projects/hills/rollouts", `{"commit": "ffffffff"}`, bearer},
		{"a commit that is an option", "POST", "/api/v1/projects/hills/rollouts", `{"commit": "--all"}`, bearer},
		{"no such run", "GET", "/api/v1/runs/r-0", "", bearer},
		{"a limit that is no number", "GET", "/api/v1/projects/hills/runs?limit=many", "", bearer},
		{"no such environment", "POST", "/api/v1/projects/hills/environments/moon/hold", `{"reason": "x"}`, bearer},
		{"a huge body", "POST", "/api/v1/projects", `{"name": "` + strings.Repeat("x", 3<<20) + `"}`, bearer},
		{"a runner's route with a person's token", "POST", "/api/v1/runs/r-0/heartbeat", "{}", bearer},

		{"state: no token", "GET", state, "", nil},
		{"state: a wrong token", "LOCK", state, `{"ID":"1"}`, map[string]string{"Authorization": "Basic dDp0"}},
		{"state: no such project", "GET", "/state/valleys/production/house", "", basic},
		{"state: no such environment", "POST", "/state/hills/moon/house?ID=x", current, basic},
		{"state: no lock", "POST", state, current, basic},
		{"state: a lock that is not held", "POST", state + "?ID=nobody", current, basic},
		{"state: not JSON", "POST", state + "?ID=nobody", "<state>", basic},
		{"state: truncated", "POST", state + "?ID=nobody", current[:len(current)/2], basic},
		{"state: an older serial", "POST", state + "?ID=nobody", older, basic},
		{"state: a foreign lineage", "POST", state + "?ID=nobody", foreign, basic},
		{"state: a wrong MD5", "POST", state + "?ID=nobody", current, with(basic, "Content-MD5", base64.StdEncoding.EncodeToString(make([]byte, 16)))},
		{"state: an MD5 that is none", "POST", state + "?ID=nobody", current, with(basic, "Content-MD5", "%%%")},
		{"state: a lock that is not JSON", "LOCK", state, "{", basic},
		{"state: unlocking what somebody else would hold", "UNLOCK", state, `{"ID":"nobody"}`, basic},
		{"state: a path outside", "GET", "/state/hills/production/..%2f..%2fx", "", basic},
		{"state: a wrong method", "PATCH", state, "", basic},

		{"webhook: unsigned", "POST", "/hooks/hills", "{}", nil},
		{"webhook: signed with something else", "POST", "/hooks/hills", "{}", map[string]string{"X-Terrace-Signature": signature("guess", []byte("{}"))}},
		{"webhook: a signature of another body", "POST", "/hooks/hills", "{ }", map[string]string{"X-Terrace-Signature": signature(w.hook.Secret, []byte("{}"))}},
		{"webhook: a signature that is none", "POST", "/hooks/hills", "{}", map[string]string{"X-Terrace-Signature": "sha256=zz"}},
		{"webhook: no such project", "POST", "/hooks/valleys", "{}", map[string]string{"X-Terrace-Signature": signature(w.hook.Secret, []byte("{}"))}},
		{"webhook: a huge body", "POST", "/hooks/hills", strings.Repeat("x", 2<<20), nil},
	}
	for _, tc := range cases {
		before, logged := w.snapshot(), len(w.log())
		resp, text := w.send(tc.method, w.url+tc.path, []byte(tc.body), tc.header)
		if resp.StatusCode < 400 || resp.StatusCode > 499 {
			t.Errorf("%s: answered %s\n%s", tc.name, resp.Status, text)
		}
		if !message(text) {
			t.Errorf("%s: %s without a message: %q", tc.name, resp.Status, text)
		}
		if after := w.snapshot(); after != before {
			t.Errorf("%s: something changed:\n%s\n%s", tc.name, before, after)
		}
		// The line is written when the request is over, which the client may see first.
		testkit.Eventually(t, 5*time.Second, "a line of the log", func() bool { return len(w.log()) > logged })
		if said := w.log()[logged:]; strings.Count(said, "\n") != 1 || strings.Contains(said, "level=ERROR") {
			t.Errorf("%s: the log has not one line about it:\n%s", tc.name, said)
		}
		if strings.Contains(w.log()[logged:]+text, w.token) {
			t.Errorf("%s: the token is in the log or the answer", tc.name)
		}
	}
}

// message reports whether an answer says something to a person.
func message(text string) bool {
	var m struct{ Message string }
	return json.Unmarshal([]byte(text), &m) == nil && len(m.Message) > 10
}

// snapshot is all that a person can see of the server.
func (w *world) snapshot() string {
	w.Helper()
	bearer := map[string]string{"Authorization": "Bearer " + w.token}
	var b strings.Builder
	for _, path := range []string{
		"/api/v1/projects", "/api/v1/projects/hills/status", "/api/v1/projects/hills/rollouts", "/api/v1/projects/hills/states", "/api/v1/events?after=0&limit=1000",
		"/api/v1/projects/hills/states/production/house",
	} {
		resp, text := w.send(http.MethodGet, w.url+path, nil, bearer)
		if resp.StatusCode != http.StatusOK {
			w.Fatalf("GET %s: %s %s", path, resp.Status, text)
		}
		b.WriteString(text)
	}
	return b.String()
}
