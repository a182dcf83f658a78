package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// tone is how a state looks. Every state has a word as well; the word is what counts.
type tone string

const (
	good    tone = "good"    // done
	busy    tone = "busy"    // going on
	waits   tone = "waits"   // for a person or its turn
	warn    tone = "warn"    // needs attention some day
	bad     tone = "bad"     // the user's code or infrastructure said no
	broken  tone = "broken"  // Terrace or the machine could not
	unknown tone = "unknown" // nobody knows
	quiet   tone = "quiet"   // nothing to say
)

func stateTone(state string) tone {
	switch state {
	case "up_to_date", "succeeded":
		return good
	case "running", "preparing", "planning", "checking", "applying", "provisioning", "verifying", "building", "baking":
		return busy
	case "waiting", "awaiting_approval":
		return waits
	case "behind", "held", drifted:
		return warn
	case "failed":
		return bad
	case "errored":
		return broken
	case "unknown":
		return unknown
	}
	return quiet // never, queued, cancelled, superseded
}

// states of an instance, in the order in which a person wants to choose from them.
var states = []string{"failed", "errored", "unknown", "running", "waiting", "held", "behind", drifted, "up_to_date", "never"}

// drifted is no state of its own: what runs, fails or is up to date may have drifted besides.
const drifted = "drifted"

func stateWord(state string) string {
	switch state {
	case "never":
		return "not deployed"
	}
	return strings.ReplaceAll(state, "_", " ")
}

// phases of a run, in order, with the status in which each happens.
var phases = []struct{ Status, Word string }{
	{"preparing", "prepare"}, {"planning", "plan"}, {"checking", "check"}, {phaseBefore, phaseBefore}, {"applying", "apply"}, {"provisioning", "provision"}, {"verifying", "verify"}, {"building", "build"},
}

// phaseIndex is how far a run is, -1 before its first phase.
func phaseIndex(status string) int {
	if status == string(core.RunAwaitingApproval) {
		status = string(core.RunChecking)
	}
	for i, p := range phases {
		if p.Status == status || p.Word == status { // a run's status, or a phase of its log
			return i
		}
	}
	return -1
}

func shortCommit(r wire.Release) string { return core.ShortCommit(r.Commit) }

func releaseName(r wire.Release) string { return "#" + strconv.FormatInt(r.Number, 10) }

// ago tells an age in one unit. The page's script tells it anew as time goes by, in
// the same words.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

// span tells how long something took.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
}

// took is span of a beginning and an end, "" when either is missing.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	return span(to.Sub(from))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func changesWords(c wire.Changes) []changeWord {
	return []changeWord{{"create", "+", c.Create, "to create"}, {"update", "~", c.Update, "to update"}, {"replace", "±", c.Replace, "to replace"}, {"delete", "−", c.Delete, "to destroy"}}
}

type changeWord struct {
	Action, Sign string
	Count        int
	Words        string
}

// parseSpan reads a Go duration and tells it as span does; anything else stays.
func parseSpan(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return text
	}
	return span(d.Round(time.Second))
}

func plainCount(n int) string { return strconv.Itoa(n) }

// phaseBefore is a phase of those runs only that touch something stateful. Until it is
// over, the plan is being judged.
const phaseBefore = "before_change"

func verdict(ok bool) string {
	if ok {
		return "pass"
	}
	return "fail"
}

func verdictTone(verdict string) tone {
	switch verdict {
	case "pass":
		return good
	case "warn", "inconclusive":
		return warn
	}
	return bad
}

// stepText is what a phase of a run's timeline says below its name.
func stepText(st step) string {
	word := ""
	switch st.State {
	case "done", "todo":
	default:
		word = stateWord(st.State)
	}
	if word != "" && st.Took != "" {
		return word + " · " + st.Took
	}
	return word + st.Took
}

// authorName leaves out an author's address.
func authorName(author string) string {
	if name, _, ok := strings.Cut(author, " <"); ok && name != "" {
		return name
	}
	return author
}

// waitsFor is what keeps a rollout: what its first stage that is not over waits for,
// "" when that one just goes on.
func waitsFor(ro wire.Rollout) string {
	for _, st := range ro.Stages {
		if ro.Finished.IsZero() && !core.StageStatus(st.Status).Terminal() {
			return st.WaitsFor
		}
	}
	return ""
}

// waitsForWords is what a stage waits for, as a sentence. In a rollout that is over
// it waits no more.
func waitsForWords(j journey, st wire.Stage) string {
	if core.StageStatus(st.Status).Terminal() || j.over() {
		return strings.ToUpper(st.WaitsFor[:1]) + st.WaitsFor[1:]
	}
	return "Waits for " + st.WaitsFor
}

// stageWord is a stage's state; what still waits in a rollout that is over never
// entered its environment.
func stageWord(over bool, st wire.Stage) (tone, string) {
	if over && st.Status == string(core.StageWaiting) {
		return quiet, "never entered"
	}
	return stateTone(st.Status), stateWord(st.Status)
}

// boxState is the word for how a sandbox stands among those of instances, for its colour.
func boxState(status string) string {
	switch status {
	case "ready":
		return "up_to_date"
	case "new", "ending":
		return "running"
	}
	return status
}
