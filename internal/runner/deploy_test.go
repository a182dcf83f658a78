package runner

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/wire"
)

// web is a stack with a variable, an output and two resources, one after the other.
const web = `
variable "size" {
  type = string
}

resource "terraform_data" "one" {
  input = var.size
}

resource "terraform_data" "two" {
  input = terraform_data.one.output
}

output "size" {
  value = terraform_data.two.output
}
`

func text(s string) json.RawMessage {
	out, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return out
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": web})
	w.job.Variables["size"] = text("large")
	f := w.start().ends("succeeded")
	if want := []string{"claim", "phase planning", "phase checking", "planned", "applied", "finish"}; !slices.Equal(w.reported(), want) {
		t.Errorf("reported %q, want %q", w.reported(), want)
	}
	if w.planned.Changes != (wire.Changes{Create: 2}) || w.planned.NoChanges || w.planned.Digest == "" || len(w.planned.Plan.Resources) != 2 {
		t.Errorf("the plan is %+v", w.planned)
	}
	if got := w.resources(); len(got) != 2 || w.lock != "" {
		t.Errorf("the state has %q, lock %q", got, w.lock)
	}
	for _, phase := range []string{"prepare", "plan", "check", "apply"} {
		if _, ok := f.Phases[phase]; !ok {
			t.Errorf("the phases are %v", f.Phases)
		}
	}
	for phase, want := range map[string]string{"prepare": "web@dev at commit " + w.job.Source.Commit[:8] + ", with tofu", "apply": "terraform_data.two: Creation complete"} {
		if got := w.log.text(phase); !strings.Contains(got, want) {
			t.Errorf("the log of %s has no %q:\n%s", phase, want, got)
		}
	}

	// The same again: a tree that is kept, and nothing to do.
	w.do(func() {
		w.calls, w.job.Attempt, w.job.LogSeq, w.job.LogOffset = nil, 2, w.log.chunks[len(w.log.chunks)-1].Seq, int64(w.log.size())
	})
	w.start().ends("succeeded")
	if want := []string{"claim", "phase planning", "phase checking", "planned", "finish"}; !slices.Equal(w.reported(), want) || !w.planned.NoChanges {
		t.Errorf("reported %q (no changes: %t), want %q", w.reported(), w.planned.NoChanges, want)
	}

	// And its destruction.
	w.do(func() { w.job.Kind, w.job.Destroy = "destroy", true })
	w.do(func() { w.job.LogSeq, w.job.LogOffset = w.log.chunks[len(w.log.chunks)-1].Seq, int64(w.log.size()) })
	w.start().ends("succeeded")
	if got := w.resources(); len(got) != 0 || w.planned.Changes.Delete != 2 {
		t.Errorf("the state has %q after %+v", got, w.planned.Changes)
	}
}

func TestTheServerDecidesWhatAPlanIsFor(t *testing.T) {
	t.Parallel()
	for _, do := range []string{"wait", "stop"} {
		w := newWorld(t, map[string]string{"stacks/web/main.tf": web})
		w.job.Variables["size"] = text("large")
		w.next = func(wire.Planned) wire.Next { return wire.Next{Do: do, Reason: "somebody has to approve it"} }
		w.start().wait()
		if w.end() != nil || w.writes > 0 || w.proc.Wait() != nil {
			t.Errorf("%s: finished %+v after %d state writes; %s", do, w.end(), w.writes, w.output())
		}
		w.mustHave("somebody has to approve it")
	}
	// A recover run looks and touches nothing.
	w := newWorld(t, map[string]string{"stacks/web/main.tf": web})
	w.job.Variables["size"] = text("large")
	w.job.Kind, w.job.PlanOnly = "recover", true
	w.next = func(wire.Planned) wire.Next { return wire.Next{Do: "after"} }
	w.start().ends("succeeded")
	if w.writes > 0 {
		t.Error("a recover run wrote the state")
	}
	// An answer of another version is never taken for a yes.
	w.do(func() {
		w.next = func(wire.Planned) wire.Next { return wire.Next{Do: "dance"} }
		w.log = shelf{}
	})
	w.start().ends("errored", "dance")
}

// TestRecoverStoresWhatIsThere: a difference that the engine does not list, as that of an
// output here and of a deposed object that is gone, is stored. What cannot be told is not:
// null would take the place of what the plan is going to make.
func TestRecoverStoresWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": "resource \"terraform_data\" \"one\" {}\n"})
	w.start().ends("succeeded")
	w.commit(map[string]string{"stacks/web/more.tf": "output \"one\" {\n  value = terraform_data.one.id\n}\n"})
	w.job.Kind, w.job.PlanOnly = "recover", true
	w.next = func(wire.Planned) wire.Next { return wire.Next{Do: "after"} }
	before := w.writes
	w.start().ends("succeeded")
	if w.writes != before+1 {
		t.Errorf("what is there and not in the state was written %d times", w.writes-before)
	}
	w.commit(map[string]string{"stacks/web/more.tf": `
resource "terraform_data" "two" {}
output "two" {
  value = terraform_data.two.id
}
`})
	before = w.writes
	w.start().ends("succeeded")
	if w.writes != before {
		t.Error("an output of what is not there was stored")
	}
}

// TestRecoverWhereTheCodeDoesNotHoldForWhatIsThere: an engine that was killed had destroyed
// every server, so that an output of the first of them cannot be told of what is there. The
// plan that makes them again is the way out; without one, nothing would store what was found.
func TestRecoverWhereTheCodeDoesNotHoldForWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": `
resource "terraform_data" "web" {
  count = 1
}
output "first" {
  value = terraform_data.web[0].id
}
`})
	w.job.Kind, w.job.PlanOnly = "recover", true
	creates := false
	w.next = func(p wire.Planned) wire.Next {
		creates = p.Changes.Create == 1 && !p.NoChanges
		return wire.Next{Do: "after"}
	}
	w.start().ends("succeeded")
	w.mustHave("Invalid index")
	if !creates || w.writes > 0 {
		t.Errorf("the server was told of what is missing: %v; %d writes", creates, w.writes)
	}
	// What is wrong with the code itself is wrong with the plan as well.
	w = newWorld(t, map[string]string{"stacks/web/main.tf": "output \"first\" {\n  value = [][0]\n}\n"})
	w.job.Kind, w.job.PlanOnly = "recover", true
	w.start().ends("failed", "stacks/web/main.tf:2")
}

func TestCodeThatDoesNotHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": "resource \"terraform_data\" \"one\" {\n  input = var.none\n}\n"})
	w.start().ends("failed", "stacks/web/main.tf:2", "undeclared input variable")
	w = newWorld(t, map[string]string{"stacks/web/main.tf": "resource {\n"})
	w.start().ends("failed", "main.tf")
	w = newWorld(t, map[string]string{"stacks/web/main.tf": web})
	w.job.Source.Path = "stacks/db"
	w.start().ends("failed", "stacks/db")
	w = newWorld(t, map[string]string{"stacks/web/main.tf": web})
	w.job.Engine.Version = "not a version"
	w.start().ends("failed", "not a version")
}

// halting is a stack whose second resource does what a script says.
func halting(script string) map[string]string {
	return map[string]string{"stacks/web/main.tf": fmt.Sprintf(`
resource "terraform_data" "one" {}
resource "terraform_data" "two" {
  depends_on = [terraform_data.one]
  provisioner "local-exec" {
    command = %q
  }
}
resource "terraform_data" "three" {
  depends_on = [terraform_data.two]
}
`, script)}
}

func TestAPartialApplySaysWhatItDid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting("echo no space left; exit 3"))
	w.start().ends("failed", "exit status 3", "main.tf", "created terraform_data.one", "left: terraform_data.three (create), terraform_data.two (create)")
	if got := w.resources(); !slices.Contains(got, "terraform_data.one") {
		t.Errorf("the state has %q", got)
	}
	w.mustHave("no space left")
}

const blocks = "echo $$ >OUT/starting; mv OUT/starting OUT/started; while ! test -e OUT/go; do sleep 0.1; done"

func TestCancellingAnApplyKeepsWhatWasDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting(blocks))
	w.start()
	w.read("started")
	w.do(func() { w.beat.Cancel = true })
	w.ends("cancelled", "cancelled while applying", "created terraform_data.one", "left: terraform_data.three (create), terraform_data.two (create)")
	if got := w.resources(); !slices.Contains(got, "terraform_data.one") || w.lock != "" {
		t.Errorf("the state has %q, lock %q", got, w.lock)
	}
}

func TestASignalInApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting(blocks))
	w.start()
	w.read("started")
	w.terminate()
	w.ends("failed", "told to end while applying", "created terraform_data.one")

	// The same signal is how the server says that somebody cancelled the run.
	w = newWorld(t, halting(blocks))
	w.heartbeat = time.Hour
	w.start()
	w.read("started")
	w.do(func() { w.beat.Cancel = true })
	w.terminate()
	w.ends("cancelled", "cancelled while applying")
}

func TestAnEngineThatIsKilledLeavesAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting(blocks))
	w.start()
	shell, err := strconv.Atoi(strings.TrimSpace(w.read("started")))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", shell))
	if err != nil {
		t.Fatal(err)
	}
	var engine int
	for line := range strings.Lines(string(stat)) {
		if _, err := fmt.Sscanf(line, "PPid:\t%d", &engine); err == nil {
			break
		}
	}
	start, err := process.StartTime(shell)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(engine, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.ends("unknown", "terrace run recover r-1", "created terraform_data.one")
	if process.Alive(shell, start) {
		t.Error("what the engine started lives on: a second writer")
	}
}

func TestAStateThatCannotBeStoredIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": web})
	w.job.Variables["size"] = text("large")
	w.keepState = func() int { return http.StatusConflict } // a 500 is tried again, for minutes
	w.start().ends("unknown", "recovery slot", "created terraform_data.one, terraform_data.two", "terrace run recover r-1")
	if !json.Valid(w.recovered) || !strings.Contains(string(w.recovered), "large") || w.state != nil {
		t.Errorf("recovered %.100q, stored %.100q", w.recovered, w.state)
	}
}

func TestTheServerGoesAwayWhileItIsApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting(blocks+"; touch OUT/done"))
	w.start()
	w.read("started")
	w.away()
	w.write("go", "")
	w.read("done") // from here on, everything has to wait for the server
	w.back()
	w.ends("succeeded")
	if got := w.resources(); len(got) != 3 {
		t.Errorf("the state has %q", got)
	}
}

// A runner whose run was given to somebody else stops what it does, and says nothing.
func TestAReplacedRunnerStopsItsEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting(blocks))
	w.start()
	w.read("started")
	w.do(func() {
		w.refuse["heartbeat"] = &client.Error{Status: 409, Code: "conflict", Message: "attempt 2 of r-1 took over"}
	})
	w.wait()
	if w.end() != nil || w.proc.Wait() == nil || w.lock != "" {
		t.Errorf("it was finished with %+v, lock %q", w.end(), w.lock)
	}
}

func TestACheckoutIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": ""})
	w.job.Kind, w.job.VerifyEvery = "verify", "10ms"
	w.job.Verify = []wire.Verify{{Kind: "command", Command: []string{"ls", "stacks/web/main.tf"}, Within: "1m"}}
	w.beat.Stop = true
	away := w.repo + ".away"
	if err := os.Rename(w.repo, away); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.until("the first try", func() bool { return strings.Contains(w.log.text("prepare"), "in try 1 of 3") })
	if err := os.Rename(away, w.repo); err != nil {
		t.Fatal(err)
	}
	w.ends("succeeded")
}

func TestProgressOfReplacements(t *testing.T) {
	t.Parallel()
	p := newProgress(io.Discard)
	for _, line := range []string{"a.one: Destruction complete after 1s", "a.two: Creation complete after 2s [id=x]", "a.three[\"x: y\"]: Creation complete after 0s",
		"a.two (deposed object 0a1b2c3d): Destruction complete after 0s", "a.four: Modifications complete after 0s", "a.five: Creating...", "a.six: Creation complete after 0s"} {
		if _, err := fmt.Fprintln(p, line); err != nil {
			t.Fatal(err)
		}
	}
	var plan wire.Plan
	for _, r := range [][2]string{{"a.one", "replace"}, {"a.two", "replace"}, {`a.three["x: y"]`, "create"}, {"a.four", "update"}, {"a.five", "create"}, {"a.six", "replace"}, {"a.no", "no-op"}} {
		plan.Resources = append(plan.Resources, wire.ResourceChange{Address: r[0], Action: r[1]})
	}
	want := `created a.three["x: y"]; updated a.four; replaced a.two; left: a.one (deleted, not yet created anew), a.five (create), a.six (created anew; the old one is still there)`
	if got := p.partial(plan); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if got := newProgress(io.Discard).partial(wire.Plan{}); got != "nothing was changed" {
		t.Errorf("got %q", got)
	}
}

func TestProvisionAndVerify(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	t.Cleanup(site.Close)
	w := newWorld(t, map[string]string{
		"stacks/web/main.tf": web,
		"site.yml": "- hosts: web\n  connection: local\n  gather_facts: false\n  tasks:\n    - name: Install page\n" +
			"      ansible.builtin.copy: {dest: 'OUT/{{ inventory_hostname }}', content: '{{ page }} {{ token }}'}\n",
		"smoke.sh": "#!/bin/sh\ntest \"$TOKEN\" = s3cr3t-value && echo smoke with $TOKEN\n",
	})
	w.job.Variables["size"] = text("large")
	w.job.Secrets["TOKEN"] = "s3cr3t-value"
	checks := []wire.Verify{{Kind: "http", URL: site.URL, Within: "10s"}, {Kind: "command", Command: []string{"./smoke.sh"}, Within: "1m"}}
	provision := &wire.Provision{Digest: "d", Playbook: "site.yml", Hosts: []string{"web-1"}, Secrets: []string{"TOKEN"}, Within: "10s",
		Inventory: json.RawMessage(`{"web":{"hosts":["web-1"]}}`), Variables: map[string]json.RawMessage{"page": text("hello")}}
	w.after = wire.After{Status: "provisioning", Provision: provision, Mask: []string{"hello-masked"}}
	w.then = wire.After{Status: "verifying", Verify: checks}
	f := w.start().ends("succeeded")
	if want := []string{"claim", "phase planning", "phase checking", "planned", "applied", "provisioned", "finish"}; !slices.Equal(w.reported(), want) {
		t.Errorf("reported %q, want %q", w.reported(), want)
	}
	if got := w.read("web-1"); got != "hello s3cr3t-value" {
		t.Errorf("the host has %q", got)
	}
	if len(f.Recap) != 1 || f.Recap[0].Changed != 1 || len(f.Verified) != 2 || f.Verified[1].Verdict != "pass" {
		t.Errorf("it was finished with %+v", f)
	}
	if got := w.log.text("verify"); !strings.Contains(got, "smoke with ***") {
		t.Errorf("the log of verify is\n%s", got)
	}

	// A host that says no.
	w.do(func() {
		w.log, w.finished = shelf{}, nil
		provision.Inventory, provision.Hosts = json.RawMessage(`{"web":{"hosts":["../no/such/folder"]}}`), []string{"../no/such/folder"}
	})
	f = w.start().ends("failed", `task "Install page" (site.yml:5) failed on host ../no/such/folder`)
	if p := f.Provisioned; p == nil || len(p.Hosts) != 1 || p.Hosts[0].Status != "failed" || len(p.Recap) != 1 {
		t.Errorf("how far Ansible came is told as %+v", p)
	}
}

// A secret that the stack prints, plans and fails with is nowhere in what the server
// gets, and the server's own environment is nowhere in the run.
func TestNothingLeavesUnmasked(t *testing.T) {
	t.Parallel()
	const secret, variable = "s3cr3t-of-the-environment", "s3nsitive-variable"
	w := newWorld(t, map[string]string{"stacks/web/main.tf": `
variable "password" {
  type      = string
  sensitive = true
}
variable "copied" {
  type = string
}
resource "terraform_data" "one" {
  input = { password = var.password, copied = var.copied }
  provisioner "local-exec" {
    command = "env > OUT/env; echo $CLOUD_TOKEN; printf %s \"$CLOUD_TOKEN\" | base64; echo also $CLOUD_TOKEN >&2; exit 1"
  }
}
`})
	w.job.Secrets["CLOUD_TOKEN"] = secret
	w.job.Variables["password"], w.job.Variables["copied"] = text(variable), text(secret)
	f := w.start().ends("failed")
	env := w.read("env")
	if !strings.Contains(env, "CLOUD_TOKEN="+secret) || strings.Contains(env, "CANARY") {
		t.Errorf("the stack sees the environment\n%s", env)
	}
	heard, err := json.Marshal([]any{w.planned, f, w.log.text("")})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, variable, runToken, "czNjcjN0LW9mLXRoZS1lbnZpcm9ubWVud"} {
		if strings.Contains(string(heard), s) {
			t.Errorf("%q got out: %s", s, heard)
		}
	}
	left := 0
	_ = filepath.WalkDir(w.work, func(file string, d os.DirEntry, err error) error { // what is kept on the machine
		if err == nil && d.Type().IsRegular() {
			left++
			if text, err := os.ReadFile(file); err == nil && (strings.Contains(string(text), secret) || strings.Contains(string(text), runToken)) {
				t.Errorf("a secret is left in %s", file)
			}
		}
		return nil
	})
	if left == 0 {
		t.Error("nothing is kept")
	}
}

// The engine ends, and its state is spooled, while the server is away: everything is
// delivered in order when it is back, exactly once.
func TestStatesAreSpooledWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting(blocks+"; touch OUT/done"))
	w.start()
	w.read("started")
	w.away()
	w.write("go", "")
	w.read("done")
	w.spooled(2) // the state, and the UNLOCK after it
	w.back()
	w.ends("succeeded")
	if w.writes != 1 || w.lock != "" || len(w.resources()) != 3 {
		t.Errorf("%d writes, lock %q, resources %q", w.writes, w.lock, w.resources())
	}
}

// spooled waits until so many requests are on the runner's disk.
func (w *world) spooled(want int) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "states")
	w.until("a spooled state", func() bool {
		files, err := os.ReadDir(dir)
		if err != nil {
			return false
		}
		n := 0
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".write") {
				n++
				content, err := os.ReadFile(filepath.Join(dir, f.Name()))
				if err == nil && strings.Contains(string(content), "lineage") {
					w.t.Error("a state is spooled in clear")
				}
			}
		}
		return n == want
	})
}

// What the server refuses of what the engine was promised makes the outcome unknown.
func TestASpooledStateThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting(blocks+"; touch OUT/done"))
	w.start()
	w.read("started")
	w.away()
	w.write("go", "")
	w.read("done")
	w.spooled(2)
	w.do(func() { w.keepState = func() int { return http.StatusConflict } })
	w.back()
	w.ends("unknown", "refused a state that reached it late (409)")
}

// A runner that is killed with undelivered states, log and end leaves them to others.
func TestAKilledRunnerLeavesItsSpool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halting(blocks+"; touch OUT/done"))
	w.start()
	w.read("started")
	w.away()
	w.write("go", "")
	w.read("done")
	w.spooled(2)
	if err := w.proc.Kill(); err != nil {
		t.Fatal(err)
	}
	left, err := spool.Read(w.dir)
	if err != nil || string(left.Wrapped) != "wrapped" || left.States != 2 {
		t.Fatalf("left %+v, %v", left, err)
	}
	queue, err := left.Queue(make([]byte, spool.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if e, ok, err := queue.First(); err != nil || !ok || e.Method != http.MethodPost || e.Lock != w.lock || !strings.Contains(string(e.Body), "lineage") {
		t.Errorf("first %.200q, %t, %v", e, ok, err)
	}
	_, _, end := w.log.end()
	var rest strings.Builder
	for {
		_, text, err := left.Log.Read(end, 100)
		if err != nil {
			t.Fatal(err)
		}
		if text == "" {
			break
		}
		rest.WriteString(text)
		end += int64(len(text))
	}
	whole := w.log.text("") + rest.String() // the server may have had its beginning
	for _, line := range []string{"terraform_data.one: Plan to create\n", "terraform_data.three: Creation complete"} {
		if strings.Count(whole, line) != 1 {
			t.Errorf("%q is not once in the log:\n%s", line, whole)
		}
	}
}
