package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// The repository of a world: base and web, wired by an output, in three environments, or in
// the first two in what every test run does.
// Each commit is a new generation, which changes base's record in place and replaces
// web's servers, in every environment. A stack in an environment has a tenant of its own
// in the cloud, so that every line of the cloud's journal names its instance.
const project = "world"

var (
	environments = []string{"dev", "staging", "production"}
	upstream     = map[string][]string{"staging": {"dev"}, "production": {"staging"}}
	stacks       = []string{"base", "web"}
	servers      = map[string]int{"dev": 1, "staging": 2, "production": 2}
)

// tenant is the name of an instance in the cloud.
func tenant(stack, environment string) string { return environment + "-" + stack }

// instanceOf is the instance of a tenant.
func instanceOf(tenant string) string {
	environment, stack, _ := strings.Cut(tenant, "-")
	return core.InstanceName(stack, environment)
}

// configuration writes terrace.hcl.
func (w *world) configuration() {
	w.Helper()
	var hcl strings.Builder
	_, _ = fmt.Fprintf(&hcl, "project %q {\n  engine = \"tofu\"\n  stacks = [\"stacks/*\"]\n}\n", project)
	for _, e := range environments {
		after := ""
		if len(upstream[e]) > 0 {
			after = fmt.Sprintf("after = [%q]", upstream[e][0])
		}
		_, _ = fmt.Fprintf(&hcl, `
environment %q {
  %s
  secrets = [%q]
  variables = {
    cloud   = %q
    place   = environment.name
    servers = %d
    hook    = %q
  }
  %s
}
`, e, after, secretName, w.cloud.URL(), servers[e], w.file("hook.sh"), w.inEnvironment[e])
	}
	if w.generations > 0 {
		hcl.WriteString(`
stack "web" {
  inputs = {
    generation = stack.base.generation
  }

  verify "http" {
    url    = "${output.url}/"
    status = 200
    within = "30s"
  }
` + w.inWeb + `
}
`)
	}
	w.repo.Write("terrace.hcl", hcl.String())
}

// generation writes the files of a generation.
func (w *world) generation(n int) {
	w.configuration()
	if err := os.RemoveAll(filepath.Join(w.repo.Dir, "stacks", aside)); err != nil {
		w.Fatal(err)
	}
	for _, stack := range append([]string{aside}, stacks...) {
		if stack == aside && !w.spare {
			continue
		}
		w.repo.Write("stacks/"+stack+"/.terraform.lock.hcl", w.lockFile)
		constraint := 0
		if w.freshInit {
			constraint = n
		}
		w.repo.Write("stacks/"+stack+"/versions.tf", fmt.Sprintf(`terraform {
  required_version = ">= 1.0.%d"
  required_providers {
    democloud = {
      source  = "terrace-cd/democloud"
      version = "1.0.0"
    }
  }
}

variable "cloud" {
  type = string
}

variable "place" {
  type = string
}

provider "democloud" {
  endpoint = var.cloud
  tenant   = "${var.place}-%s"
}
`, constraint, stack))
	}
	if w.spare {
		w.repo.Write("stacks/"+aside+"/main.tf", "resource \"democloud_dns_record\" \"spare\" {\n  name  = \"spare.example\"\n  type  = \"TXT\"\n  value = \"spare\"\n}\n")
	}
	if w.playbook != "" {
		w.repo.Write("site.yml", fmt.Sprintf("# generation %d\n%s", n, w.playbook))
	}
	w.repo.Write("stacks/base/main.tf", fmt.Sprintf(`variable "canary" {
  type      = string
  default   = "" # it comes from a secret
  sensitive = true
}

resource "democloud_network" "main" {
  name = "main"
  cidr = "10.0.0.0/16"
}

resource "democloud_dns_record" "generation" {
  name  = "generation.example"
  type  = "TXT"
  value = "g%d"
}

resource "terraform_data" "secret" {
  input = var.canary
}

output "generation" {
  value = democloud_dns_record.generation.value
}

output "secret" {
  value     = terraform_data.secret.output
  sensitive = true
}
`, n))
	w.repo.Write("stacks/web/main.tf", `variable "generation" {
  type = string
}

variable "servers" {
  type = number
}

variable "hook" {
  type = string
}

resource "democloud_server" "web" {
  count = var.servers
  name  = "web-${count.index + 1}"
  image = var.generation

  lifecycle {
    create_before_destroy = true
  }
}

resource "terraform_data" "hook" {
  depends_on       = [democloud_server.web]
  triggers_replace = [var.generation]

  provisioner "local-exec" {
    command = "sh '${var.hook}' ${var.place} ${var.generation}"
  }
}

output "url" {
  value = democloud_server.web[0].url
}
`)
}

// commit makes and pushes the next generation, and returns its commit.
func (w *world) commit() string {
	w.Helper()
	w.generations++
	w.generation(w.generations)
	commit := w.repo.Commit(fmt.Sprintf("Generation %d", w.generations))
	w.repo.Push()
	w.pushed = append(w.pushed, commit)
	return commit
}

// file is a file in the world's folder.
func (w *world) file(name string) string { return filepath.Join(w.dir, name) }
