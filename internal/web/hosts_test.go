package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/wire"
)

// What Ansible tells comes from hosts: nothing of it is more than text.
func TestHostsOfARun(t *testing.T) {
	t.Parallel()
	const evil = "<script>alert(1)</script>\x1b[31m\x1b]0;title\x07"
	changes := []wire.TaskChange{{Task: "Write the page " + evil, Place: "roles/web/tasks/main.yml:7", Again: true,
		Diff: "--- before: /srv/page\n+++ after: /srv/page\n@@ -1 +1 @@\n-old " + evil + "\n+new\n same\n"}}
	hosts := []wire.HostResult{
		{Recap: wire.Recap{Host: "web-1", OK: 5, Changed: 1}, Status: "done", Changes: changes},
		{Recap: wire.Recap{Host: "web-2", Failed: 1}, Status: "failed", Message: "no space " + evil},
		{Recap: wire.Recap{Host: "web-3", Unreachable: 1}, Status: "unreachable", Message: "does not answer"},
		{Recap: wire.Recap{Host: "web-4"}, Status: "left"},
	}
	f := shop()
	f.do(func() {
		run := f.runs["r-net-stg"]
		run.Hosts, run.Warnings = hosts, []string{"not idempotent: " + evil}
		run.Ansible = &wire.Foreseen{Hosts: hosts[:1], New: []string{"democloud_server.web[2]"}, Same: 12, Why: "web-3: " + evil}
		run.Drift = &wire.Drift{Hosts: []wire.DriftedHost{{Host: "web-5", Status: "changed", Changes: changes}, {Host: "web-6", Status: "unreachable", Message: evil}}}
		f.runs[run.ID] = run
	})
	_, body := fetch(t, http.MethodGet, serve(t, f)+"/runs/r-net-stg")
	for _, want := range []string{"Provisioning", "unreachable", "does not answer", "not idempotent", "roles/web/tasks/main.yml:7", `<span class="added">+new`, `<span class="head">--- before`,
		"Ansible would change", "12 hosts stay as they are", "democloud_server.web[2]", "will be new", "Not all of it is known", "Hosts that Ansible would change", "web-5", "Could not look at"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(body, "<script>alert") || strings.Contains(body, "\x1b") || strings.Contains(body, "title\x07") {
		t.Error("what hosts say is more than text")
	}
}
