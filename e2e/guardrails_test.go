package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// rails stores guardrails.
func (w *world) rails(text string) {
	w.Helper()
	if err := os.WriteFile(w.file("guardrails.hcl"), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	w.run("guardrails", "set", w.file("guardrails.hcl"), "--yes")
}

// with is the same world for who has a token that was made with these flags.
func (w *world) with(name string, flags ...string) *world {
	w.Helper()
	other := *w
	other.token = ask[struct{ Secret string }](w, append([]string{"token", "create", name}, flags...)...).Secret
	return &other
}

// denied fails unless a command is refused and says all words.
func (w *world) denied(words []string, args ...string) {
	w.Helper()
	stdout, stderr, code := w.try(args...)
	if code != 1 {
		w.Errorf("terrace %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	says(w.T, "terrace "+strings.Join(args, " "), stderr, words...)
}

const protectsAll = "stack \"*\" {\n  stateful = [\"terraform_data.database\"]\n}\n"

// Rule 28: no commit weakens the guardrails, whatever it writes, and however many it takes.
// An exception needs a second person where they say so.
func TestGuardrailsAreNotWeakened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	says(t, "the empty state", w.run("guardrails", "show"), "There are no guardrails", "terrace guardrails set")
	first := w.protected("small", database, "")
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	w.rails(protectsAll)
	for _, protection := range []string{"", "stateful = []", `stateful = ["terraform_data.another"]`} {
		w.repo.Write("note", protection)
		commit := w.protected("small", renamed, protection)
		w.push()
		r := w.ends(commit)
		w.wants(r, "failed", "dev failed", "production waiting")
		says(t, "the denial", w.runsOf(r)[0].Error.Message, "shop@dev would destroy terraform_data.database", `stateful = ["terraform_data.database"] in the guardrails (stack "*")`)
	}

	w.rails(protectsAll + "exceptions {\n  second_person = true\n  max           = \"1h\"\n}\n")
	w.denied([]string{"the guardrails let an exception in dev of park last 1h0m0s at most"}, "except", "shop@dev", "terraform_data.database", "--reason", "x", "--for", "2h")
	made := w.run("except", "shop@dev", "terraform_data.database", "--reason", "the orders are archived", "--for", "1h")
	says(t, "the exception", made, "lets nothing yet", "terrace except approve x-")
	id, _, _ := strings.Cut(made, " ")
	w.run("rollout", "start")
	newest := ask[[]rollout](w, "rollout", "list")[0].Release.Commit
	r := w.ends(newest)
	w.wants(r, "failed", "dev failed", "production waiting")
	says(t, "the denial", w.runsOf(r)[0].Error.Message, "The exception "+id+", which user:admin made", "terrace except approve "+id)
	w.denied([]string{"another operator has to confirm it"}, "except", "approve", id)
	w.with("eve", "--role", "viewer").denied([]string{"this takes the role operator in dev of park"}, "except", "approve", id)
	w.with("ben", "--role", "operator", "--environment", "dev").run("except", "approve", id)
	w.run("rollout", "start")
	w.wants(w.ends(newest), "failed", "dev succeeded", "production failed") // the exception was for dev
	says(t, "the audit log", w.run("events"), "guardrails.set", "exception.confirmed", "exception.used")
	says(t, "the history", w.run("guardrails", "history"), "VERSION", "user:admin")
}

// Rule 28: a window of the guardrails holds whatever window a commit opens, and a change of
// the guardrails is heard of at once.
func TestGuardrailsWakeWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := func(ahead int) string {
		return fmt.Sprintf("%q", strings.ToLower(((time.Now().UTC().Weekday() + time.Weekday(ahead)) % 7).String()[:3]))
	}
	w.rails("environment \"prod*\" {\n  window {\n    days = [" + day(3) + "]\n  }\n}\n")
	w.park("", "window {\n    days = ["+day(6)+", "+day(0)+", "+day(1)+"]\n  }", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("A window that is open")
	w.repo.Push()
	w.add("park")
	w.awaits(first, "to wait for a window", func(r rollout) bool {
		_, why := r.stage("production")
		return strings.Contains(why, "the window of production")
	})
	w.rails("")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
}

// Who may do what: on the command line, in the state protocol, and by the guardrails.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	viewer, developer := w.with("eve", "--role", "viewer"), w.with("dan", "--role", "developer")
	staging := w.with("ben", "--role", "operator", "--environment", "dev", "--project", "park")

	viewer.run("status")
	viewer.run("state", "show", "web@production")
	viewer.denied([]string{"this takes the role developer in production of park, and user:eve has the role viewer everywhere"}, "state", "pull", "web@production")
	viewer.denied([]string{"the role operator"}, "hold", "dev")
	viewer.denied([]string{"the role admin for the whole server"}, "token", "list")
	viewer.denied([]string{"the role admin"}, "secret", "set", "dev", "KEY")
	developer.run("state", "pull", "web@production")
	staging.run("hold", "dev", "--reason", "x")
	staging.run("unhold", "dev")
	staging.denied([]string{"this takes the role operator in production of park", "user:ben has the role operator in dev of park", "terrace token create NAME --role operator --project park --environment production"}, "hold", "production")
	staging.denied([]string{"in every environment of park"}, "rollout", "start")
	staging.denied([]string{"in production of park"}, "run", "logs", w.runOf("web@production"))

	// Engines are refused as well, whatever they send.
	address := w.url + "/state/park/production/web"
	for who, want := range map[*world]map[string]int{
		viewer:    {http.MethodGet: 403, "LOCK": 403, http.MethodPost: 403, http.MethodDelete: 403},
		developer: {http.MethodGet: 200, "LOCK": 403, http.MethodDelete: 403},
		staging:   {http.MethodGet: 403, "LOCK": 403, http.MethodPost: 403, http.MethodDelete: 403},
	} {
		for method, status := range want {
			resp, text := w.send(method, address, []byte(`{"ID":"x"}`), map[string]string{"Authorization": "Bearer " + who.token})
			if resp.StatusCode != status {
				t.Errorf("%s with another role: %s %s, want %d", method, resp.Status, text, status)
			}
		}
	}

	// Without a role of its own, a token does what the guardrails say today.
	ana := w.with("ana")
	ana.run("token", "list")
	w.rails("role \"operator\" {\n  members      = [\"user:ana\"]\n  environments = [\"dev\"]\n}\n")
	ana.denied([]string{"user:ana has the role operator in dev of every project"}, "token", "list")
	ana.run("hold", "dev", "--reason", "x")
	ana.denied([]string{"this takes the role admin"}, "guardrails", "set", w.file("guardrails.hcl"), "--yes", "--if-version", "0")
	w.denied([]string{"the guardrails are at version 1, which user:admin set, and not at 0"}, "guardrails", "set", w.file("guardrails.hcl"), "--yes", "--if-version", "0")
	if err := os.WriteFile(w.file("guardrails.hcl"), []byte("role \"operater\" {\n  members = [\"ana\"]\n}\nenvironments \"x\" {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.denied([]string{`Unknown kind of role "operater"`, `Did you mean "operator"?`, `Unknown block "environments"`, "does not hold, and nothing was stored"}, "guardrails", "set", w.file("guardrails.hcl"), "--yes")
}

// runOf is the newest run of an instance.
func (w *world) runOf(instance string) string {
	w.Helper()
	for _, r := range ask[[]run](w, "run", "list") {
		if r.Instance == instance {
			return r.ID
		}
	}
	w.Fatalf("%s has no run", instance)
	return ""
}
