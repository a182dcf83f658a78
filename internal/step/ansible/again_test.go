package ansible

import (
	"slices"
	"strings"
	"testing"
)

func TestASecondRunShowsWhatIsNotIdempotent(t *testing.T) {
	t.Parallel()
	b := newBench(t, local+`
    - name: Once
      ansible.builtin.copy: {dest: "{{ out }}/{{ inventory_hostname }}", content: x}
    - name: Every time
      ansible.builtin.lineinfile: {path: "{{ out }}/{{ inventory_hostname }}", line: "{{ lookup('pipe', 'date +%N') }}"}
      when: inventory_hostname != 'h-1'
      notify: Tell
  handlers:
    - name: Tell
      ansible.builtin.command: "true"
`).local("h-1", "h-2", "h-3", "h-4")
	b.o.Provision.Twice = true
	b.o.Provision.Limit = []string{"h-1", "h-2", "h-3"}
	done := b.succeeds()
	b.wants(done, "h-1 done, h-2 done, h-3 done")
	want := []string{
		`not idempotent: task "Once" (ansible/site.yml:6) changes hosts h-2, h-3 every time`,
		`not idempotent: task "Every time" (ansible/site.yml:8) changes hosts h-2, h-3 every time`,
	}
	if !slices.Equal(done.Warnings, want) {
		t.Errorf("warned is %q", done.Warnings)
	}
	for _, h := range done.Hosts {
		for _, c := range h.Changes {
			if again := h.Host != "h-1"; c.Again != again {
				t.Errorf("%s: %+v", h.Host, c)
			}
			if c.Task == "Every time" && !strings.Contains(c.Diff, "\n+") {
				t.Errorf("the difference is %q", c.Diff)
			}
		}
	}
	if n := len(done.Hosts[0].Changes); n != 1 {
		t.Errorf("h-1 was changed by %d tasks", n)
	}

	// What is idempotent is no news.
	b.write("ansible/site.yml", local+"    - ansible.builtin.copy: {dest: '{{ out }}/{{ inventory_hostname }}', content: y}\n")
	if done = b.succeeds(); len(done.Warnings) > 0 || done.Hosts[0].Changes[0].Again {
		t.Errorf("%+v", done)
	}
	b.log.b.Reset()
	if b.succeeds(); strings.Count(b.log.String(), "PLAY [web]") != 1 {
		t.Errorf("nothing was changed, and it ran again:\n%s", b.log)
	}

	// A run that goes well only once.
	b.write("ansible/site.yml", local+"    - name: Make it\n      ansible.builtin.command: mkdir {{ out }}/only-once\n      when: inventory_hostname == 'h-1'\n")
	b.wants(b.fails(`did not when it was run again: task "Make it" (ansible/site.yml:5) failed on host h-1`), "h-1 failed, h-2 done, h-3 done")
}
