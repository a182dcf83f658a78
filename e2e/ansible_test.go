package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// A playbook reaches a real SSH server with a key that only the server of secrets has;
// it runs again when something of it changed, and only then.
func TestPlaybookOverSSH(t *testing.T) {
	t.Parallel()
	sshd := testkit.SSHD(t)
	w := newWorld(t)
	w.repo.Write("terrace.hcl", fmt.Sprintf(`project "park" {
  stacks = ["stacks/*"]
}

environment "dev" {
  secrets   = ["SSH_KEY"]
  variables = { place = environment.name }
}

stack "one" {
  ansible {
    playbook  = "site.yml"
    inventory = {
      web = [{ name = "web1", host = "127.0.0.1", ansible_port = %d, ansible_user = "%s", ansible_python_interpreter = "/usr/bin/python3" }]
    }
    variables = { said = output.said }
    secrets   = ["SSH_KEY"]
  }
}
`, sshd.Port, sshd.User))
	w.stack("one", "first", "")
	playbook := func(word, more string) {
		w.repo.Write("site.yml", `- name: Site
  hosts: web
  gather_facts: false
  tasks:
    - name: Write the page
      ansible.builtin.copy:
        content: "`+word+` {{ said }}\n"
        dest: `+w.file("page")+`
        mode: "0644"
`+more)
	}
	page := func() string {
		data, err := os.ReadFile(w.file("page"))
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	playbook("welcome,", "")
	w.repo.Write("README.md", "one\n")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "failed", "dev failed")
	cmd := exec.CommandContext(t.Context(), plain, "secret", "set", "dev", "SSH_KEY")
	cmd.Env = append([]string{"TERRACE_URL=" + w.url, "TERRACE_TOKEN=" + w.token}, w.env...)
	cmd.Stdin = strings.NewReader(sshd.Key)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("secret set: %v\n%s", err, out)
	}
	w.run("rollout", "start", "--wait")
	if got := page(); got != "welcome, first in dev\n" {
		t.Errorf("the page is %q", got)
	}
	type shown struct {
		Changes struct{ Create, Update, Replace, Delete int }
		Recap   []struct {
			Host                         string
			OK, Changed, Failed, Skipped int
			Unreachable                  int
		}
		Phases map[string]int64
	}
	r := ask[shown](w, "run", "show", w.runAt("one@dev", "succeeded").ID)
	if len(r.Recap) != 1 || r.Recap[0].Host != "web1" || r.Recap[0].Changed != 1 || r.Recap[0].Failed != 0 || r.Changes.Create != 1 {
		t.Errorf("run show has %+v", r)
	}

	t.Log("a README starts nothing")
	w.repo.Write("README.md", "two\n")
	second := w.repo.Commit("Say more")
	w.push()
	w.wants(w.ends(second), "succeeded", "dev succeeded")
	if runs := w.runsOf(w.of(second)); len(runs) > 0 {
		t.Errorf("a README started %v", instances(runs))
	}

	t.Log("a playbook alone changes no infrastructure")
	playbook("hello,", "")
	third := w.repo.Commit("Another page")
	w.push()
	w.wants(w.ends(third), "succeeded", "dev succeeded")
	if got := page(); got != "hello, first in dev\n" {
		t.Errorf("the page is %q", got)
	}
	r = ask[shown](w, "run", "show", w.runAt("one@dev", "succeeded").ID)
	if len(r.Recap) != 1 || r.Recap[0].Changed != 1 || r.Changes != (struct{ Create, Update, Replace, Delete int }{}) || r.Phases["apply"] != 0 {
		t.Errorf("run show has %+v", r)
	}

	t.Log("a failure names task and host")
	playbook("hello,", "    - name: Ask for the impossible\n      ansible.builtin.command: \"false\"\n")
	fourth := w.repo.Commit("A task that fails")
	w.push()
	w.wants(w.ends(fourth), "failed", "dev failed")
	failed := w.runAt("one@dev", "failed")
	says(t, "run show", w.run("run", "show", failed.ID), "Ask for the impossible", "web1", "site.yml")
	says(t, "status", w.run("status"), "Ask for the impossible", "web1")

	t.Log("the fix provisions again")
	playbook("bye,", "")
	fifth := w.repo.Commit("Without it")
	w.push()
	w.wants(w.ends(fifth), "succeeded", "dev succeeded")
	if got := page(); got != "bye, first in dev\n" {
		t.Errorf("the page is %q", got)
	}
	for _, r := range get[[]run](w, "runs") {
		if text := w.run("run", "logs", r.ID); strings.Contains(text, "PRIVATE KEY") {
			t.Error("the key is in a log")
		}
	}
}
