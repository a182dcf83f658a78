package cli

import (
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/wire"
)

func TestHostsAreShown(t *testing.T) {
	hosts := []wire.HostResult{
		{Recap: wire.Recap{Host: "web-1", OK: 5, Changed: 1}, Status: "done", Changes: []wire.TaskChange{{Task: "Write the page", Place: "site.yml:7", Diff: "-old\n+new\x1b[31m\r\n", Again: true}}},
		{Recap: wire.Recap{Host: "web-2", Failed: 1}, Status: "failed", Message: "no space\nat all"},
	}
	var out strings.Builder
	printForeseen(&out, wire.Foreseen{Hosts: hosts, New: []string{"web[2]"}, Same: 3, Why: "web-2 said no"}, true)
	want := `What Ansible would do is not known, or not all: web-2 said no
Ansible would change:
HOST   STATUS  OK  CHANGED  FAILED  SKIPPED
web-1  done    5   1        0       0
web-2  failed  0   0        1       0        no space
  web-1: Write the page  (site.yml:7)  not idempotent: it changed something the second time, too
    -old
    +new
web[2] will be new
3 hosts stay as they are
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	printHosts(&out, hosts, false)
	if strings.Contains(out.String(), "+new") {
		t.Errorf("without --diff:\n%s", out.String())
	}
	out.Reset()
	printDifferences(&out, wire.Drift{Hosts: []wire.DriftedHost{{Host: "web-3", Status: "unreachable", Message: "no route"}, {Host: "web-1", Status: "changed", Changes: hosts[0].Changes}}}, true)
	want = `could not look at web-3: no route
~ host web-1  (Ansible would change it)
  web-1: Write the page  (site.yml:7)  not idempotent: it changed something the second time, too
    -old
    +new
`
	if out.String() != want {
		t.Errorf("drift:\n%s\nwant\n%s", out.String(), want)
	}
}
