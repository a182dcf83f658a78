package faults

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

func init() {
	register(row{number: 20, fault: "kill in Ansible, in verification", run: killedAfterApply})
}

// The infrastructure is there, and the runner dies while Ansible configures it, or while
// it is verified. The release is not verified then: nothing enters the next environment
// until it is.
func killedAfterApply(t *trial) {
	w := newWorld(t, func(w *world) {
		w.inWeb = fmt.Sprintf(`
  ansible {
    playbook  = "site.yml"
    inventory = { here = [{ name = "here", host = "127.0.0.1", ansible_connection = "local" }] }
    variables = { place = environment.name, generation = stack.base.generation, hook = %q }
  }

  verify "command" {
    command = ["sh", %q, environment.name, "verify"]
    within  = "60s"
  }
`, w.file("play.sh"), w.file("verify.sh"))
		w.playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.command: sh {{ hook }} {{ place }} {{ generation }}\n      changed_when: true\n"
		w.script("play.sh", "true")
		w.script("verify.sh", "true")
	})
	for range t.times(1, 2) {
		for _, in := range []struct{ script, status, ends string }{
			{"play.sh", "provisioning", "unknown"},
			{"verify.sh", "verifying", "errored"},
		} {
			at := t.rng.IntN(len(environments))
			environment := environments[at]
			instance := "web@" + environment
			seq := w.watch.last()
			gate := w.gateIn(in.script, environment)
			commit := w.commit()
			run := w.watch.became(seq, instance, in.status)
			w.reached(gate)
			w.signal(w.runner(run), syscall.SIGKILL)
			t.injected("kill -9 of the runner of %s while %s is %s", run, instance, in.status)
			w.watch.became(seq, instance, in.ends)
			after := w.watch.last()
			w.passes(settledWithin)
			for _, e := range w.watch.since(seq) {
				t.wants(e.Kind != "stage.succeeded" || e.On != environment, "%s is verified although its runner was killed while it was %s", environment, in.status)
				if at+1 < len(environments) {
					t.wants(e.Kind != "stage.entered" || e.On != environments[at+1], "%s was entered although %s is not verified", environments[at+1], environment)
				}
			}
			w.goOn(in.script, gate)
			did := w.settle(commit)
			t.wants(did.recovered+did.again > 0 && did.recovered+did.again <= 2, "it took %+v to go on%s", did, tell(w.watch.since(after)))
			w.check()
		}
	}
	w.checkAll()
}

// settledWithin is longer than a server takes to do what comes next.
const settledWithin = 2 * time.Second

// gateIn is gate in another script.
func (w *world) gateIn(script, environment string) gate {
	w.Helper()
	w.gates++
	g := gate{w.file("began-" + itoa(w.gates)), w.file("go-" + itoa(w.gates))}
	w.script(script, strings.Join([]string{
		`[ "$1" = ` + environment + ` ] || exit 0`, `echo $$ >> ` + g.began, `while [ ! -e ` + g.goOn + ` ]; do sleep 0.02; done`}, "\n"))
	return g
}

// goOn lets go what waits at a gate of a script, and who comes there later.
func (w *world) goOn(script string, g gate) {
	w.Helper()
	w.script(script, "true")
	w.script(strings.TrimPrefix(g.goOn, w.dir+"/"), "")
}
