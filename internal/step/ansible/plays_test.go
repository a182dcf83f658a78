package ansible

import "testing"

// Which hosts are done, for Ansible itself: what results_test.go assumes of its events is
// so here.
func TestWhichHostsAreDone(t *testing.T) {
	t.Parallel()
	const (
		play = "- hosts: web\n  connection: local\n  gather_facts: false\n"
		good = "    - ansible.builtin.command: \"true\"\n      changed_when: false\n"
		bad  = "    - ansible.builtin.command: \"false\"\n      when: inventory_hostname == 'h-1'\n"
	)
	for _, c := range []struct {
		name, playbook, want string
	}{
		{"a failure keeps nobody else back", play + "  tasks:\n" + bad + good, "h-1 failed, h-2 done, h-3 done, h-4 done"},
		{"serial", play + "  serial: 2\n  tasks:\n" + good + bad + good, "h-1 failed, h-2 done, h-3 done, h-4 done"},
		{"serial and max_fail_percentage", play + "  serial: 2\n  max_fail_percentage: 10\n  tasks:\n" + good + bad + good, "h-1 failed, h-2 left, h-3 left, h-4 left"},
		{"a second batch breaks off", play + "  serial: 2\n  max_fail_percentage: 10\n  order: reverse_inventory\n  tasks:\n" + good + bad + good,
			"h-1 failed, h-2 left, h-3 done, h-4 done"},
		{"any_errors_fatal", play + "  any_errors_fatal: true\n  tasks:\n" + bad + good, "h-1 failed, h-2 left, h-3 left, h-4 left"},
		{"a batch that fails whole stops the others", play + "  serial: 1\n  tasks:\n" + bad + good, "h-1 failed, h-2 left, h-3 left, h-4 left"},
		{"rescued and ignored", play + "  tasks:\n    - ansible.builtin.command: \"false\"\n      ignore_errors: true\n    - block:\n        - ansible.builtin.command: \"false\"\n" +
			"      rescue:\n        - ansible.builtin.command: \"true\"\n    - ansible.builtin.command: \"false\"\n      when: inventory_hostname == 'h-4'\n",
			"h-1 done, h-2 done, h-3 done, h-4 failed"},
		{"end_host and end_play", play + "  tasks:\n    - ansible.builtin.meta: end_host\n      when: inventory_hostname == 'h-2'\n" + bad + "    - ansible.builtin.meta: end_play\n" +
			"    - ansible.builtin.command: \"false\"\n", "h-1 failed, h-2 done, h-3 done, h-4 done"},
		{"clear_host_errors", play + "  tasks:\n" + bad + "    - ansible.builtin.meta: clear_host_errors\n" + good, "h-1 done, h-2 done, h-3 done, h-4 done"},
		{"a later play is for some, one before it was broken off", play + "  any_errors_fatal: true\n  tasks:\n" + bad + "- hosts: h-3\n  connection: local\n  gather_facts: false\n  tasks:\n" + good,
			"h-1 failed, h-2 left, h-3 left, h-4 left"},
		{"an imported playbook, and a failure in the play after it", "- import_playbook: first.yml\n- hosts: \"{{ later }}\"\n  connection: local\n  gather_facts: false\n  vars: {later: x}\n  tasks:\n" + bad,
			"h-1 failed, h-2 done, h-3 done, h-4 done"},
		{"run_once", play + "  tasks:\n    - ansible.builtin.command: \"false\"\n      run_once: true\n", "h-1 failed, h-2 left, h-3 left, h-4 left"},
		{"the free strategy", play + "  strategy: free\n  tasks:\n" + bad + good, "h-1 failed, h-2 done, h-3 done, h-4 done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.playbook).local("h-1", "h-2", "h-3", "h-4")
			b.o.Provision.Variables["later"] = text("h-1:h-2")
			b.write("ansible/first.yml", play+"  tasks:\n"+good)
			done, _ := b.run()
			b.wants(done, c.want)
		})
	}
}

// Only the hosts of the limit are touched, and plays of the machine itself are.
func TestLimit(t *testing.T) {
	t.Parallel()
	const write = "  connection: local\n  gather_facts: false\n  tasks:\n    - ansible.builtin.copy: {dest: '{{ out }}/{{ inventory_hostname }}', content: x}\n"
	b := newBench(t, "- hosts: localhost\n"+write+"- hosts: web\n"+write).local("h-1", "h-2", "h.3-(x)")
	b.o.Provision.Limit = []string{"h-1", "h.3-(x)"}
	b.wants(b.succeeds(), "h-1 done, h.3-(x) done")
	for name, there := range map[string]bool{"localhost": true, "h-1": true, "h-2": false, "h.3-(x)": true} {
		if got := b.written(name) == "x"; got != there {
			t.Errorf("%s was touched: %t", name, got)
		}
	}
}
