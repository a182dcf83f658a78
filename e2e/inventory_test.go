package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Hosts are made of resources: the playbook runs on them, an empty group stops it, a change
// of one host concerns that one alone, and people's own Ansible has the same hosts.
func TestHostsMadeOfResources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	configured := func(optional string) {
		w.park("", "", `stack "web" {
  ansible {
    playbook  = "site.yml"
    inventory = { canary = output.canaries }
    check     = true
    `+optional+`
    inventory "terraform_data" {
      where  = try(self.input.role, "") != ""
      host   = self.input.address
      name   = self.input.name
      groups = [self.input.role, "all_of_${environment.name}"]
      vars   = { ansible_connection = "local", ansible_python_interpreter = "/usr/bin/python3", word = self.input.word, key = resource.key, token = self.input.token }
    }
  }
}
`)
	}
	servers := func(word string) {
		w.stack("web", "first", `resource "terraform_data" "server" {
  for_each = { one = "first", two = "`+word+`" }
  input = {
    name    = "${each.key}-${var.place}"
    role    = "web"
    address = "127.0.0.1"
    word    = each.value
    token   = sensitive("canary-${each.key}-token")
  }
}

output "canaries" {
  value = []
}
`)
	}
	w.repo.Write("site.yml", `- hosts: web
  gather_facts: false
  tasks:
    - name: Write {{ token }}
      ansible.builtin.lineinfile:
        path: "`+w.dir+`/page-{{ inventory_hostname }}"
        line: "{{ word }} of {{ key }} at {{ ansible_host }}"
        create: true
`)
	page := func(host string) string {
		data, err := os.ReadFile(w.file("page-" + host))
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	configured("")
	servers("second")
	first := w.repo.Commit("A group without hosts")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "failed", "dev failed", "production waiting")
	says(t, "the run", w.run("run", "show", w.runAt("web@dev", "failed").ID), `Group "canary" has no hosts`, "terrace.hcl:", `optional = ["canary"]`)

	configured(`optional  = ["canary"]`)
	second := w.repo.Commit("It may be empty")
	w.push()
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	if one, two := page("one-dev"), page("two-production"); one != "first of one at 127.0.0.1\n" || two != "second of two at 127.0.0.1\n" {
		t.Errorf("the pages are %q and %q", one, two)
	}

	t.Log("people's own Ansible")
	script := w.file("inventory.sh")
	if err := os.WriteFile(script, []byte(w.run("inventory", "web@dev", "--script")), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ansible-inventory", "-i", script, "--list")
	cmd.Env = append([]string{"TERRACE_URL=" + w.url, "TERRACE_TOKEN=" + w.token}, w.env...)
	cmd.Env = append(cmd.Env, "LC_ALL=C.UTF-8", "PATH="+filepath.Dir(plain)+string(os.PathListSeparator)+os.Getenv("PATH"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ansible-inventory: %v\n%s", err, said.String())
	}
	var listed struct {
		Web  struct{ Hosts []string } `json:"web"`
		All  struct{ Hosts []string } `json:"all_of_dev"`
		Meta struct {
			HostVars map[string]map[string]any `json:"hostvars"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(out, &listed); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	both := []string{"one-dev", "two-dev"}
	slices.Sort(listed.All.Hosts)
	slices.Sort(listed.Web.Hosts)
	if vars := listed.Meta.HostVars["two-dev"]; !slices.Equal(listed.All.Hosts, both) || !slices.Equal(listed.Web.Hosts, both) || vars["word"] != "second" || vars["ansible_host"] != "127.0.0.1" || vars["key"] != "two" {
		t.Errorf("ansible-inventory lists %s", out)
	}
	says(t, "one host", w.run("inventory", "web@dev", "--host", "one-dev"), `"word": "first"`)

	t.Log("what changes one host concerns that one, and is known before the apply")
	servers("third")
	third := w.repo.Commit("Another word")
	w.push()
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	type shown struct {
		Hosts []struct {
			Host, Status string
			Changed      int
		}
		Ansible struct {
			Hosts []struct{ Host string }
			New   []string
			Same  int
			Why   string
		}
	}
	at := w.runAt("web@dev", "succeeded")
	r := ask[shown](w, "run", "show", at.ID)
	if len(r.Hosts) != 1 || r.Hosts[0].Host != "two-dev" || r.Hosts[0].Changed != 1 {
		t.Errorf("Ansible ran on %+v", r.Hosts)
	}
	if a := r.Ansible; len(a.Hosts) != 1 || a.Hosts[0].Host != "two-dev" || a.Same != 1 || len(a.New) != 0 || a.Why != "" {
		t.Errorf("with the plan was told %+v", a)
	}
	if page("two-dev") != "second of two at 127.0.0.1\nthird of two at 127.0.0.1\n" {
		t.Errorf("the page is %q", page("two-dev"))
	}
	if text := w.run("run", "logs", at.ID); strings.Contains(text, "canary-two-token") || !strings.Contains(text, "Write") {
		t.Errorf("a sensitive attribute is in the log, or nothing is:\n%s", text)
	}
}
