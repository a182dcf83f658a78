package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	other := strings.ReplaceAll(current, "built at", "stands at")
	older := regexp.MustCompile(`"serial": *\d+`).ReplaceAllString(other, `"serial":0`)
	foreign := regexp.MustCompile(`"lineage": *"`).ReplaceAllString(other, `"lineage":"f`)
	if other == current || older == other || foreign == other {
		t.Fatalf("the state is not what this test knows:\n%s", current)
	}

	cases := []struct {
		name, method, path, body string
		header                   map[string]string
		kept                     bool // a whole state, refused for good reasons, goes to the recovery slot
	}{
		{"no token", "GET", "/api/v1/projects", "", nil, false},
		{"a wrong token", "GET", "/api/v1/projects", "", map[string]string{"Authorization": "Bearer nonsense"}, false},
		{"a token of the wrong kind", "GET", "/api/v1/projects", "", map[string]string{"Authorization": "Digest " + w.token}, false},
		{"no such route", "GET", "/api/v1/nothing", "", bearer, false},
		{"a wrong method", "PATCH", "/api/v1/projects", "{}", bearer, false},
		{"not JSON", "POST", "/api/v1/projects", "{", bearer, false},
		{"an empty body", "POST", "/api/v1/projects", "", bearer, false},
		{"a wrong type", "POST", "/api/v1/projects", `{"name": 7, "repo": []}`, bearer, false},
		{"an unknown field", "POST", "/api/v1/projects", `{"name": "x", "repo": "` + w.repo.Remote + `", "colour": "red"}`, bearer, false},
		{"a name that could be a path", "POST", "/api/v1/projects", `{"name": "../x", "repo": "` + w.repo.Remote + `"}`, bearer, false},
		{"a name that could be an option", "POST", "/api/v1/projects", `{"name": "-x", "repo": "` + w.repo.Remote + `"}`, bearer, false},
		{"a repository that runs a command", "POST", "/api/v1/projects", `{"name": "x", "repo": "ext::sh -c touch% /tmp/pwned"}`, bearer, false},
		{"a repository that is an option", "POST", "/api/v1/projects", `{"name": "x", "repo": "--upload-pack=touch /tmp/pwned"}`, bearer, false},
		{"a repository that is not there", "POST", "/api/v1/projects", `{"name": "x", "repo": "/nonexistent.git"}`, bearer, false},
		{"a branch that is an option", "POST", "/api/v1/projects", `{"name": "x", "repo": "` + w.repo.Remote + `", "branch": "--exec=x"}`, bearer, false},
		{"a path that leaves the repository", "POST", "/api/v1/projects", `{"name": "x", "repo": "` + w.repo.Remote + `", "path": "../.."}`, bearer, false},
		{"a project twice", "POST", "/api/v1/projects", `{"name": "hills", "repo": "` + w.repo.Remote + `"}`, bearer, false},
		{"no such project", "GET", "/api/v1/projects/valleys/status", "", bearer, false},
		{"no such rollout", "POST", "/api/v1/rollouts/ro-0/cancel", "{}", bearer, false},
		{"a rollout that is over", "POST", "/api/v1/rollouts/" + w.rolloutOf(commit).ID + "/cancel", "{}", bearer, false},
		{"no such commit", "POST", "/api/v1/projects/hills/rollouts", `{"commit": "ffffffff"}`, bearer, false},
		{"a commit that is an option", "POST", "/api/v1/projects/hills/rollouts", `{"commit": "--all"}`, bearer, false},
		{"no such run", "GET", "/api/v1/runs/r-0", "", bearer, false},
		{"a limit that is no number", "GET", "/api/v1/projects/hills/runs?limit=many", "", bearer, false},
		{"no such environment", "POST", "/api/v1/projects/hills/environments/moon/hold", `{"reason": "x"}`, bearer, false},
		{"a huge body", "POST", "/api/v1/projects", `{"name": "` + strings.Repeat("x", 3<<20) + `"}`, bearer, false},
		{"a runner's route with a person's token", "POST", "/api/v1/runs/r-0/heartbeat", "{}", bearer, false},

		{"state: no token", "GET", state, "", nil, false},
		{"state: a wrong token", "LOCK", state, `{"ID":"1"}`, map[string]string{"Authorization": "Basic dDp0"}, false},
		{"state: no such project", "GET", "/state/valleys/production/house", "", basic, false},
		{"state: no such environment", "POST", "/state/hills/moon/house?ID=x", other, basic, true},
		{"state: no lock", "POST", state, other, basic, true},
		{"state: a lock that is not held", "POST", state + "?ID=nobody", other, basic, true},
		{"state: not JSON", "POST", state + "?ID=nobody", "<state>", basic, false},
		{"state: truncated", "POST", state + "?ID=nobody", other[:len(other)/2], basic, false},
		{"state: an older serial", "POST", state + "?ID=nobody", older, basic, true},
		{"state: a foreign lineage", "POST", state + "?ID=nobody", foreign, basic, true},
		{"state: a wrong MD5", "POST", state + "?ID=nobody", other, with(basic, "Content-MD5", base64.StdEncoding.EncodeToString(make([]byte, 16))), false},
		{"state: an MD5 that is none", "POST", state + "?ID=nobody", other, with(basic, "Content-MD5", "%%%"), false},
		{"state: a lock that is not JSON", "LOCK", state, "{", basic, false},
		{"state: a lock that somebody has", "LOCK", state, `{"ID":"late"}`, basic, false},
		{"state: unlocking what somebody else has", "UNLOCK", state, `{"ID":"nobody"}`, basic, false},
		{"state: a path outside", "GET", "/state/hills/production/..%2f..%2fx", "", basic, false},
		{"state: a wrong method", "PATCH", state, "", basic, false},

		{"webhook: unsigned", "POST", "/hooks/hills", "{}", nil, false},
		{"webhook: signed with something else", "POST", "/hooks/hills", "{}", map[string]string{"X-Terrace-Signature": signature("guess", []byte("{}"))}, false},
		{"webhook: a signature of another body", "POST", "/hooks/hills", "{ }", map[string]string{"X-Terrace-Signature": signature(w.hook.Secret, []byte("{}"))}, false},
		{"webhook: a signature that is none", "POST", "/hooks/hills", "{}", map[string]string{"X-Terrace-Signature": "sha256=zz"}, false},
		{"webhook: no such project", "POST", "/hooks/valleys", "{}", map[string]string{"X-Terrace-Signature": signature(w.hook.Secret, []byte("{}"))}, false},
		{"webhook: a huge body", "POST", "/hooks/hills", strings.Repeat("x", 2<<20), nil, false},
	}
	if resp, text := w.send("LOCK", w.url+state, []byte(`{"ID":"held","Who":"ana@laptop"}`), basic); resp.StatusCode != http.StatusOK {
		t.Fatalf("the lock was answered %s %s", resp.Status, text)
	}
	before := w.snapshot()
	for _, tc := range cases {
		logged := len(w.log())
		resp, text := w.send(tc.method, w.url+tc.path, []byte(tc.body), tc.header)
		if resp.StatusCode < 400 || resp.StatusCode > 499 {
			t.Errorf("%s: answered %s\n%s", tc.name, resp.Status, text)
		}
		if !message(text) && !(resp.StatusCode == http.StatusLocked && strings.Contains(text, "ana@laptop")) {
			t.Errorf("%s: %s without a message: %q", tc.name, resp.Status, text)
		}
		after := w.snapshot()
		if diff := cmp.Diff(before, after); diff != "" && !tc.kept {
			t.Errorf("%s: something changed:\n%s", tc.name, diff)
		}
		before = after
		// The line is written when the request is over, which the client may see first.
		testkit.Eventually(t, 5*time.Second, "a line of the log", func() bool { return len(w.log()) > logged })
		if said := w.log()[logged:]; strings.Count(said, "\n") != 1 || strings.Contains(said, "level=ERROR") {
			t.Errorf("%s: the log has not one line about it:\n%s", tc.name, said)
		}
		if strings.Contains(w.log()[logged:]+text, w.token) {
			t.Errorf("%s: the token is in the log or the answer", tc.name)
		}
	}
	if w.run("state", "pull", "house@production") != current || strings.Count(w.run("state", "versions", "house@production"), "\n") != 2 {
		t.Error("the state in production changed")
	}
}

// message reports whether an answer says something to a person.
func message(text string) bool {
	var m struct{ Message string }
	return json.Unmarshal([]byte(text), &m) == nil && len(m.Message) > 10
}

// snapshot is all that a person can see of the server.
func (w *world) snapshot() map[string]string {
	w.Helper()
	bearer := map[string]string{"Authorization": "Bearer " + w.token}
	seen := map[string]string{}
	for _, path := range []string{
		"/api/v1/projects", "/api/v1/projects/hills/status", "/api/v1/projects/hills/rollouts", "/api/v1/projects/hills/states", "/api/v1/events?after=0&limit=1000",
		"/api/v1/projects/hills/states/production/house",
	} {
		resp, text := w.send(http.MethodGet, w.url+path, nil, bearer)
		if resp.StatusCode != http.StatusOK {
			w.Fatalf("GET %s: %s %s", path, resp.Status, text)
		}
		seen[path] = text
	}
	return seen
}
