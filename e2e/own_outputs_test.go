package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// Outputs reach what needs them wherever the state is: inputs of other stacks, Ansible,
// its inventory for people, and verification. Here one stack keeps its state in
// PostgreSQL, with the password in a secret, and the other in a file.
func TestOutputsOfStatesInPostgreSQLAndFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beforehand()
	states := filepath.Join(w.dir, "states")
	w.ownPark("{}", `secrets = ["PG_CONN_STR"]`, `
stack "base" {
  backend = { schema_name = "park_${environment.name}" }
}

stack "top" {
  inputs  = { on = stack.base.said }
  backend = { path = "`+states+`/${environment.name}/${stack.name}.tfstate" }
  ansible {
    playbook = "site.yml"
    inventory = {
      web = [{ name = "here", ansible_connection = "local", ansible_python_interpreter = "/usr/bin/python3", vars = { word = output.told } }]
    }
    inventory "terraform_data" {
      host   = "127.0.0.1"
      name   = resource.name
      groups = ["web"]
      vars   = { ansible_connection = "local", ansible_python_interpreter = "/usr/bin/python3", word = output.told, made_of = self.input }
    }
  }
  verify "command" {
    command = ["test", output.told, "=", "told: first in ${environment.name}"]
  }
}
`)
	w.stack("base", "first", backend("pg"))
	w.stack("top", "top", backend("local")+`
variable "on" {
  type = string
}
output "told" {
  value = "told: ${var.on}"
}
`)
	w.repo.Write("site.yml", `- hosts: web
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ word }}"
        dest: "`+w.dir+`/{{ word | regex_replace('.* ', '') }}"
`)
	first := w.repo.Commit("Two stacks")
	w.secret("PG_CONN_STR", testkit.Postgres(t))
	w.push()
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	for _, environment := range []string{"dev", "production"} {
		if data, err := os.ReadFile(w.file(environment)); err != nil || string(data) != "told: first in "+environment {
			t.Errorf("Ansible wrote %q %v", data, err)
		}
		says(t, "the inventory", w.run("inventory", "top@"+environment), `"told: first in `+environment+`"`, `"made_of": "top in `+environment+`"`)
		if data, err := os.ReadFile(filepath.Join(states, environment, "top.tfstate")); err != nil || readState(t, data).id("it") == "" {
			t.Errorf("the state in the file: %v", err)
		}
	}
	says(t, "status", w.run("status"), "base@dev, base@production is kept by the stack's own backend (pg)", "top@dev, top@production is kept by the stack's own backend (local)")
}
