package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// ranOn is the part of a run's machine output about its hosts.
type ranOn struct {
	Hosts []struct {
		Host, Status string
		Changed      int
		Changes      []struct{ Task, Place, Diff string }
	}
	Ansible *struct {
		Hosts []struct {
			Host    string
			Changed int
			Changes []struct{ Task, Diff string }
		}
		New  []string
		Same int
		Why  string
	}
}

// names are the hosts that the run came to, with how it ended there.
func (r ranOn) names() (out []string) {
	for _, h := range r.Hosts {
		out = append(out, h.Host+" "+h.Status)
	}
	return out
}

// fleetWorld is a stack whose playbook writes a page on each of three hosts.
type fleetWorld struct {
	*world
	*testkit.Fleet
}

// configure writes the configuration; words are what each host says.
func (f fleetWorld) configure(words ...string) {
	f.world.Helper()
	var hosts []string
	for i, word := range words {
		vars := f.Hosts[i].Vars()
		vars["word"] = word
		text, err := json.Marshal(map[string]any{"name": f.Hosts[i].Name, "vars": vars})
		if err != nil {
			f.Fatal(err)
		}
		hosts = append(hosts, string(text))
	}
	f.repo.Write("terrace.hcl", fmt.Sprintf(`project "park" {
  stacks = ["stacks/*"]
}

environment "production" {
  secrets   = ["SSH_KEY"]
  variables = { place = environment.name }
  approval {}
}

stack "one" {
  ansible {
    playbook  = "site.yml"
    check     = true
    secrets   = ["SSH_KEY"]
    inventory = {
      web = [
        %s,
      ]
    }
  }
}
`, strings.Join(hosts, ",\n        ")))
}

func (f fleetWorld) playbook(greeting string) {
	f.repo.Write("site.yml", `- name: Site
  hosts: web
  gather_facts: false
  tasks:
    - name: Write the page
      ansible.builtin.copy:
        content: "`+greeting+`, {{ word }}\n"
        dest: "{{ root }}/page"
        mode: "0644"
    - name: Start the site
      ansible.builtin.command: test ! -e {{ root }}/broken
      changed_when: false
`)
}

// at is a file of a host.
func (f fleetWorld) at(host, file string) string { return filepath.Join(f.Host(host).Root, file) }

// ran is the newest run, which has to have come to these hosts and no others.
func (f fleetWorld) ran(status string, hosts ...string) ranOn {
	f.world.Helper()
	r := ask[ranOn](f.world, "run", "show", f.runAt("one@production", status).ID)
	if !slices.Equal(r.names(), hosts) {
		f.Errorf("Ansible ran on %q, want %q", r.names(), hosts)
	}
	return r
}

// Rule 9: Ansible runs on hosts that are not as the release wants them, and on no others,
// whatever the reason is. What it would do is part of what is approved.
func TestAnsibleRunsWhereSomethingChanged(t *testing.T) {
	t.Parallel()
	f := fleetWorld{newWorld(t), testkit.NewFleet(t, "web-1", "web-2", "web-3")}
	f.configure("one", "two", "three")
	f.playbook("Welcome")
	f.stack("one", "first", "")
	first := f.repo.Commit("Three hosts")
	f.repo.Push()
	bob := f.as("bob")
	f.add("park")
	f.wants(f.ends(first), "failed", "production failed") // the key is not there
	cmd := exec.CommandContext(t.Context(), plain, "secret", "set", "production", "SSH_KEY")
	cmd.Env = append([]string{"TERRACE_URL=" + f.url, "TERRACE_TOKEN=" + f.token}, f.env...)
	cmd.Stdin = strings.NewReader(f.Key)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("secret set: %v\n%s", err, out)
	}
	f.run("rollout", "start")

	t.Log("an approval is for the plan and for what Ansible would do")
	waits := f.waiting("one@production")
	before := ask[ranOn](f.world, "run", "show", waits.Run)
	if before.Ansible == nil || len(before.Ansible.Hosts) != 3 || before.Ansible.Hosts[0].Changed != 1 || !strings.Contains(before.Ansible.Hosts[1].Changes[0].Diff, "+Welcome, two") {
		t.Errorf("foreseen is %+v", before.Ansible)
	}
	says(t, "run show --diff", f.run("run", "show", waits.Run, "--diff"), "Ansible would change", "web-3: Write the page", "+Welcome, three")
	if _, err := os.Stat(f.at("web-1", "page")); err == nil {
		t.Error("check mode changed something")
	}
	says(t, "approving", bob.run("approve", waits.Run), "Approved")
	f.wants(f.ends(first), "succeeded", "production succeeded")
	f.ran("succeeded", "web-1 done", "web-2 done", "web-3 done")
	says(t, "hosts list", f.run("hosts", "list", "one@production"), "web-1", "up_to_date", "SHA256:")

	t.Log("what one host says changes")
	f.configure("one", "zwei", "three")
	second := f.repo.Commit("Another word")
	f.push()
	f.wants(f.ends(second), "succeeded", "production succeeded")
	r := f.ran("succeeded", "web-2 done")
	if r.Ansible == nil || r.Ansible.Same != 2 {
		t.Errorf("foreseen is %+v", r.Ansible)
	}

	t.Log("one fails; a retry goes to that one alone (rule 18)")
	if err := os.WriteFile(f.at("web-3", "broken"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.playbook("Hello")
	third := f.repo.Commit("Another greeting")
	f.push()
	f.wants(f.ends(third), "failed", "production failed")
	f.ran("failed", "web-1 done", "web-2 done", "web-3 failed")
	says(t, "hosts list", f.run("hosts", "list", "one@production"), "behind")
	if err := os.Remove(f.at("web-3", "broken")); err != nil {
		t.Fatal(err)
	}
	f.run("rollout", "start", "--wait")
	f.ran("succeeded", "web-3 done")

	t.Log("somebody changes a file by hand")
	if err := os.WriteFile(f.at("web-2", "page"), []byte("Hello, nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said, stderr, code := f.try("drift", "one@production", "--wait")
	if code != 1 {
		t.Errorf("drift --wait: exit %d\n%s", code, stderr)
	}
	says(t, "drift", said, "one@production: drifted: 1 hosts", "~ host web-2", "Write the page", "-Hello, nobody", "+Hello, zwei")
	f.run("drift", "fix", "one@production", "--yes", "--wait")
	f.ran("succeeded", "web-2 done")
	if page, err := os.ReadFile(f.at("web-2", "page")); err != nil || string(page) != "Hello, zwei\n" {
		t.Errorf("the page is %q, %v", page, err)
	}
	says(t, "drift", f.run("drift", "one@production", "--wait"), "one@production: none")

	t.Log("everywhere, because somebody says so")
	f.run("rollout", "start", "--all", "--wait")
	if r := f.ran("succeeded", "web-1 done", "web-2 done", "web-3 done"); r.Hosts[0].Changed != 0 {
		t.Errorf("a second time something changed: %+v", r.Hosts)
	}
	says(t, "rollout show", f.run("rollout", "show", f.of(third).ID), "on all hosts")

	f.run("hosts", "forget", "one@production", "web-1")
	says(t, "forgetting what is not known", f.refused("hosts", "forget", "one@production", "web-1"), "no key of a host web-1")
	says(t, "the audit log", f.run("events"), "host.forgotten", "drift.found")
}
