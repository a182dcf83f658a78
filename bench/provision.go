package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// hosts of (f): all are names of one real sshd, which both sides reach over SSH. dbHosts of
// them have the role that changes.
const (
	allHosts = 50
	dbHosts  = 5
)

// site is the playbook of (f). Each role does what roles do: folders, files, a template, a
// line in a file, a command that only asks.
func site(round int) map[string]string {
	const tasks = `- name: Folders
  ansible.builtin.file: {path: "{{ root }}/{{ inventory_hostname }}/{{ item }}", state: directory, mode: "0755"}
  loop: [etc, data]
- name: Settings
  ansible.builtin.template: {src: settings.j2, dest: "{{ root }}/{{ inventory_hostname }}/etc/settings", mode: "0644"}
- name: Data
  ansible.builtin.copy: {content: "{{ inventory_hostname }}\n", dest: "{{ root }}/{{ inventory_hostname }}/data/name", mode: "0644"}
- name: A line
  ansible.builtin.lineinfile: {path: "{{ root }}/{{ inventory_hostname }}/etc/settings.d", line: "name = {{ inventory_hostname }}", create: true, mode: "0644"}
- name: Ask
  ansible.builtin.command: "true"
  changed_when: false
- name: Look
  ansible.builtin.stat: {path: "{{ root }}/{{ inventory_hostname }}/etc/settings"}
`
	return map[string]string{
		"ansible/site.yml":                        "- hosts: web\n  roles: [web]\n- hosts: db\n  roles: [db]\n",
		"ansible/roles/web/tasks/main.yml":        tasks,
		"ansible/roles/web/templates/settings.j2": "web on {{ ansible_facts.nodename }}\n",
		"ansible/roles/db/tasks/main.yml":         tasks,
		"ansible/roles/db/templates/settings.j2":  fmt.Sprintf("db on {{ ansible_facts.nodename }}, version %d\n", round),
	}
}

// provision is (f).
func (w *world) provision(ctx context.Context, rounds int) (out []result, err error) {
	k := &kit{ctx: ctx, say: w.sayf}
	defer k.close()
	err = k.within(func() error {
		out, err = w.provisionOver(ctx, testkit.SSHD(k), rounds)
		return err
	})
	return out, err
}

func (w *world) provisionOver(ctx context.Context, sshd *testkit.SSHServer, rounds int) ([]result, error) {
	lock, err := w.lockFile(ctx)
	if err != nil {
		return nil, err
	}
	// Ansible, which writes down each of its starts.
	ansible, err := exec.LookPath("ansible-playbook")
	if err != nil {
		return nil, fmt.Errorf("Ansible is not installed; run: scripts/deps: %w", err)
	}
	path := filepath.Join(w.dir, "counted-f")
	starts := filepath.Join(path, "starts")
	if err := write(path, map[string]string{"starts": "", "ansible-playbook": fmt.Sprintf("#!/bin/sh\necho start >>'%s'\nexec '%s' \"$@\"\n", starts, ansible)}); err != nil {
		return nil, err
	}
	if err := os.Chmod(filepath.Join(path, "ansible-playbook"), 0o755); err != nil { //nolint:gosec // a program
		return nil, err
	}
	count := func() (int, error) {
		data, err := os.ReadFile(starts)
		return strings.Count(string(data), "\n"), err
	}
	rawRoot, root := filepath.Join(w.dir, "raw-hosts"), filepath.Join(w.dir, "hosts")
	hcl := func(v int) string {
		return fmt.Sprintf(`project "f" {
  stacks = ["stacks/*"]
}

environment "dev" {
  variables = { v = "%d" }
  secrets   = ["SSH_KEY"]
}

stack "one" {
  ansible {
    playbook  = "ansible/site.yml"
    secrets   = ["SSH_KEY"]
    variables = { root = %q }
    inventory = {
      web = [for i in range(%d) : { name = format("web-%%02d", i), host = "127.0.0.1", ansible_port = %d, ansible_user = %q, ansible_python_interpreter = "/usr/bin/python3" }]
      db  = [for i in range(%d) : { name = format("db-%%02d", i), host = "127.0.0.1", ansible_port = %[4]d, ansible_user = %[5]q, ansible_python_interpreter = "/usr/bin/python3" }]
    }
  }
}
`, v, root, allHosts-dbHosts, sshd.Port, sshd.User, dbHosts)
	}
	raw := filepath.Join(w.dir, "raw-f")
	if err := write(raw, rawSite(sshd, rawRoot)); err != nil {
		return nil, err
	}
	s, err := w.start(ctx, "f", path+string(os.PathListSeparator)+filepath.Dir(w.engine), map[string]string{"terrace.hcl": "project \"f\" {}\n\nenvironment \"dev\" {}\n"})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := s.api.SetSecret(ctx, s.project.Name, "dev", "SSH_KEY", sshd.Key); err != nil {
		return nil, err
	}
	files := site(-1)
	files["terrace.hcl"] = hcl(0)
	files["stacks/one/main.tf"], files["stacks/one/.terraform.lock.hcl"] = stack, lock
	if err := s.commit(ctx, files); err != nil {
		return nil, err
	}
	if _, _, err := s.deliver(ctx); err != nil {
		return nil, err
	}
	if n, err := count(); err != nil || n == 0 {
		return nil, fmt.Errorf("Ansible, which counts its starts, was not used: %w", err)
	}

	// Infrastructure changes, and nothing of what the playbook is given.
	var started []float64
	for round := range rounds {
		before, err := count()
		if err != nil {
			return nil, err
		}
		if err := s.commit(ctx, map[string]string{"terrace.hcl": hcl(round + 1)}); err != nil {
			return nil, err
		}
		_, rollout, err := s.deliver(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.ran(ctx, rollout.ID, 1); err != nil {
			return nil, err
		}
		after, err := count()
		if err != nil {
			return nil, err
		}
		started = append(started, float64(after-before))
	}

	var whole []float64
	rawTimes, terraceTimes, err := alternate(rounds,
		func(round int) (time.Duration, error) {
			if err := write(raw, site(round)); err != nil {
				return 0, err
			}
			began := time.Now()
			env := w.environment("", "LC_ALL=C.UTF-8", "ANSIBLE_CONFIG="+filepath.Join(raw, "ansible.cfg"), "ANSIBLE_HOME="+filepath.Join(w.dir, "raw-ansible"))
			err := command(ctx, raw, env, ansible, "-i", "inventory.yml", "--limit", "db", "ansible/site.yml")
			return time.Since(began), err
		},
		func(round int) (time.Duration, error) {
			if err := s.commit(ctx, site(round)); err != nil {
				return 0, err
			}
			took, rollout, err := s.deliver(ctx)
			if err != nil {
				return 0, err
			}
			if round > 0 {
				whole = append(whole, took.Seconds())
			}
			return s.provisioned(ctx, rollout.ID, dbHosts)
		})
	if err != nil {
		return nil, err
	}
	all := compared("f", "the same, push to through", rawTimes, whole, 0)
	all.Reached = true
	return []result{
		absolute("f", fmt.Sprintf("%d hosts, nothing new for them: starts of Ansible", allHosts), "", started, 0),
		compared("f", fmt.Sprintf("one changed role for %d of %d hosts, its phase", dbHosts, allHosts), rawTimes, terraceTimes, 1.1),
		all,
	}, nil
}

// rawSite is what people have who run ansible-playbook themselves, with the settings that
// one looks up first when it is slow.
func rawSite(sshd *testkit.SSHServer, root string) map[string]string {
	var inventory strings.Builder
	inventory.WriteString("all:\n  vars:\n")
	_, _ = fmt.Fprintf(&inventory, "    {ansible_host: 127.0.0.1, ansible_port: %d, ansible_user: %s, ansible_python_interpreter: /usr/bin/python3, ansible_ssh_private_key_file: %s, root: %s}\n",
		sshd.Port, sshd.User, sshd.KeyFile, root)
	inventory.WriteString("  children:\n")
	for group, n := range map[string]int{"web": allHosts - dbHosts, "db": dbHosts} {
		_, _ = fmt.Fprintf(&inventory, "    %s:\n      hosts:\n", group)
		for i := range n {
			_, _ = fmt.Fprintf(&inventory, "        %s-%02d: {}\n", group, i)
		}
	}
	return map[string]string{
		"inventory.yml": inventory.String(), "known_hosts": sshd.KnownHosts + "\n",
		"ansible.cfg": "[defaults]\nforks = 10\n[ssh_connection]\npipelining = True\nssh_args = -F /dev/null -C -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=known_hosts\n",
	}
}

// provisioned returns how long Ansible took in a rollout's only run, which has to have run
// on so many hosts.
func (s *server) provisioned(ctx context.Context, rollout string, hosts int) (time.Duration, error) {
	runs, err := s.api.Runs(ctx, s.project.Name, client.RunFilter{Rollout: rollout, Limit: 2})
	if err != nil {
		return 0, err
	}
	if len(runs) != 1 {
		return 0, fmt.Errorf("%d runs, where one should provision", len(runs))
	}
	run, err := s.api.Run(ctx, runs[0].ID)
	if err != nil {
		return 0, err
	}
	changed := 0
	for _, h := range run.Recap {
		if h.Changed > 0 {
			changed++
		}
	}
	if changed != hosts || len(run.Recap) != hosts {
		return 0, fmt.Errorf("Ansible ran on %d hosts and changed %d, where it should be %d", len(run.Recap), changed, hosts)
	}
	return time.Duration(run.Phases["provision"]) * time.Millisecond, nil
}
