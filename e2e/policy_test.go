package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ruled writes a project with policies: one stack that says a word, judged by a text of
// Rego ("" for none).
func (w *world) ruled(word, rego, more string) string {
	w.Helper()
	w.park("", "", "")
	if rego == "" {
		w.repo.Remove("policies")
	} else {
		park := w.repo.Read("terrace.hcl")
		w.repo.Write("terrace.hcl", strings.Replace(park, `stacks = ["stacks/*"]`, "stacks = [\"stacks/*\"]\n  policies = [\"policies/*.rego\"]", 1))
		w.repo.Write("policies/words.rego", rego)
	}
	w.stack("one", word, more)
	commit := w.repo.Commit(word)
	w.repo.Push()
	return commit
}

// rude denies a word, and warns of another.
const rude = `package main

deny contains {"msg": msg, "resource": r.address, "word": r.change.after.input} if {
	some r in input.resource_changes
	contains(r.change.after.input, "rude")
	msg := sprintf("%s must not say %q (release %d of %s)", [r.address, r.change.after.input, input.terrace.release.number, input.terrace.instance])
}

warn_shouting contains msg if {
	some r in input.resource_changes
	contains(r.change.after.input, "LOUD")
	msg := sprintf("%s shouts", [r.address])
}
`

type checked struct {
	Checks []struct {
		Name, Verdict, Message, From, Rule, File, Resource string
		Details                                            map[string]any
	}
}

// Rule 12: a policy that denies stops the plan with what, where and by which rule; a
// warning passes and is shown.
func TestPoliciesJudge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.ruled("LOUD hello", rude, "")
	w.add("park")
	r := w.ends(first)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	for _, run := range w.runsOf(r) {
		says(t, "run show", w.run("run", "show", run.ID), "terraform_data.it shouts", "main.warn_shouting in policies/words.rego:9", "terrace.hcl of release 1")
	}
	kept := w.run("state", "pull", "one@dev")

	second := w.ruled("something rude", rude, "")
	w.push()
	r = w.ends(second)
	w.wants(r, "failed", "dev failed", "production waiting")
	runs := w.runsOf(r)
	if len(runs) != 1 || runs[0].Error == nil {
		t.Fatalf("runs %+v", runs)
	}
	says(t, "the denial", runs[0].Error.Message, `one@dev: terraform_data.it must not say "something rude in dev" (release 2 of one@dev)`,
		"main.deny in policies/words.rego:3", "terrace.hcl of release 2")
	says(t, "the log", w.run("run", "logs", runs[0].ID), "policies: deny: one@dev: terraform_data.it must not say")
	shown := ask[checked](w, "run", "show", runs[0].ID)
	if len(shown.Checks) != 1 {
		t.Fatalf("checks %+v", shown.Checks)
	}
	if c := shown.Checks[0]; c.Verdict != "deny" || c.Rule != "main.deny" || c.File != "policies/words.rego:3" || c.Resource != "terraform_data.it" || c.From != "terrace.hcl of release 2" || c.Details["word"] != "something rude in dev" {
		t.Errorf("check %+v", c)
	}
	if w.run("state", "pull", "one@dev") != kept {
		t.Error("the state was changed")
	}

	third := w.ruled("something nice", rude, "")
	w.push()
	r = w.ends(third)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	if c := ask[checked](w, "run", "show", w.runsOf(r)[0].ID).Checks; len(c) != 1 || c[0].Verdict != "pass" {
		t.Errorf("checks %+v", c)
	}
}

// Rule 28: a commit that takes a policy away, or weakens it, still meets it once.
func TestPolicyIsTakenAwayInTwoSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.ruled("hello", rude, "")
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	for name, weaker := range map[string]string{"gone": "", "weaker": strings.Replace(rude, `"rude")`, `"very rude")`, 1)} {
		commit := w.ruled("rude and "+name, weaker, "")
		w.push()
		r := w.ends(commit)
		w.wants(r, "failed", "dev failed", "production waiting")
		says(t, "the denial", w.runsOf(r)[0].Error.Message, "must not say", "which is there now")
	}

	t.Log("alone, it is there without a run, and gone for the next release")
	alone := w.ruled("hello", "", "")
	w.push()
	w.wants(w.ends(alone), "succeeded", "dev succeeded", "production succeeded")
	last := w.ruled("rude at last", "", "")
	w.push()
	w.wants(w.ends(last), "succeeded", "dev succeeded", "production succeeded")
}

// A policy that cannot judge lets nothing pass, and is mended by a commit of its own.
func TestBrokenPolicyLetsNothingPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.ruled("hello", rude, "")
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	t.Log("nothing has to run for a release that breaks its policy, so it is there")
	broken := w.ruled("hello", "package main\n\ndeny contains msg if {\n", "")
	w.push()
	w.wants(w.ends(broken), "succeeded", "dev succeeded", "production succeeded")
	next := w.ruled("good day", rude, "")
	w.push()
	r := w.ends(next)
	w.wants(r, "failed", "dev failed", "production waiting")
	says(t, "the denial", w.runsOf(r)[0].Error.Message, "one@dev: nothing is applied that a policy could not judge", "release 2, which is there now", "policies/words.rego:4: unexpected eof token", "a commit that changes nothing else")

	mended := w.ruled("hello", rude, "")
	w.push()
	w.wants(w.ends(mended), "succeeded", "dev succeeded", "production succeeded")
	again := w.ruled("good evening", rude, "")
	w.push()
	w.wants(w.ends(again), "succeeded", "dev succeeded", "production succeeded")

	t.Log("a pattern without a policy is no configuration")
	w.repo.Remove("policies/words.rego")
	w.repo.Commit("No policy")
	w.repo.Push()
	w.push()
	w.eventually("the release is invalid", func() bool {
		_, reason := w.cell("one@dev")
		return strings.Contains(w.run("status", "--json")+reason, "matches no policy")
	})
}

// What a policy prints of a secret is masked wherever it is kept or shown.
func TestPoliciesTellNoSecrets(t *testing.T) {
	t.Parallel()
	const canary = "canary-of-a-policy-4711"
	w := newWorld(t)
	// In a file of variables, which the server does not look through: it is in the commit
	// and has to be nowhere else.
	w.repo.Write("stacks/one/terraform.tfvars", "token = \""+canary+"\"\n")
	commit := w.ruled("hello", `package main

deny contains {"msg": sprintf("the password is %s", [p]), "resource": p, "encoded": base64.encode(p), p: json.marshal(input)} if {
	some r in input.resource_changes
	p := r.change.after.input
	r.name == "password"
}

deny contains json.marshal(input) if true

warn contains sprintf("%d", [to_number(input.variables.token.value)])
`, `variable "token" {
  type      = string
  sensitive = true
}

resource "terraform_data" "password" {
  input = var.token
}
`)
	w.add("park")
	r := w.ends(commit)
	w.wants(r, "failed", "dev failed", "production waiting")
	id := w.runsOf(r)[0].ID
	says(t, "the denial", w.runsOf(r)[0].Error.Message, "the password is ***")
	canaries := map[string]string{"the secret": canary, "the secret in base64": "Y2FuYXJ5LW9mLWEtcG9saWN5"}
	for _, words := range [][]string{{"run", "show", id}, {"run", "show", id, "--json"}, {"run", "logs", id}, {"run", "logs", id, "--json"}, {"run", "plan", id, "--json"}, {"status", "--json"}, {"events", "--json"}, {"rollout", "list", "--json"}} {
		text := w.run(words...)
		for what, c := range canaries {
			if strings.Contains(text, c) {
				t.Errorf("%s is in terrace %s", what, strings.Join(words, " "))
			}
		}
	}
	_, page := w.send("GET", w.url+"/runs/"+id, nil, map[string]string{"Authorization": "Bearer " + w.token})
	if strings.Contains(page, canary) || !strings.Contains(page, "the password is") {
		t.Errorf("the page of the run: %s", page)
	}
	w.stop(15)
	w.files(canaries, canary)
	w.start()
}

// Rule 12: policies and allow blocks of the guardrails judge whatever a repository plans,
// and one that does not compile is not stored.
func TestRule12_PoliciesOfTheGuardrails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.ruled("hello", "", "")
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	rails := func(text, rego string) string {
		for name, text := range map[string]string{"guardrails.hcl": text, "words.rego": rego} {
			if err := os.MkdirAll(w.file("rails"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(w.file("rails"), name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return w.file("rails")
	}
	const words = "policy \"words\" {\n  files        = [\"*.rego\"]\n  environments = [\"prod*\"]\n}\n"
	w.denied([]string{"words.rego:4: unexpected eof"}, "guardrails", "set", rails(words, "package main\n\ndeny contains \"no\" if {\n"), "--yes")
	w.run("guardrails", "set", rails(words, rude), "--yes")
	r := w.ends(w.ruledAndPushed("something rude"))
	w.wants(r, "failed", "dev succeeded", "production failed")
	says(t, "the denial", w.runAt("one@production", "failed").Error.Message, `one@production: terraform_data.it must not say "something rude in production"`, `the guardrails (policy "words")`)

	w.run("guardrails", "set", rails(words+"allow {\n  engines = [\"terraform\"]\n}\n", rude), "--yes")
	r = w.ends(w.ruledAndPushed("something nice"))
	w.wants(r, "failed", "dev failed", "production waiting")
	says(t, "the denial", w.runAt("one@dev", "failed").Error.Message, "would be planned with tofu", "the guardrails (allow)")
}

// ruledAndPushed is a commit without policies of its own.
func (w *world) ruledAndPushed(word string) string {
	w.Helper()
	commit := w.ruled(word, "", "")
	w.push()
	return commit
}
