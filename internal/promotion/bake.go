package promotion

import (
	"fmt"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// baking reports whether everything in a stage is done and only time has to pass.
func baking(st *Stage) bool { return st.Status == core.StageBaking }

// waitsForAnswer is rule 16: an inconclusive verification is never a pass. It pauses
// the stage, which keeps its lease, until it is asked again.
func waitsForAnswer(p place, in *Instance) string {
	return fmt.Sprintf(forAnswer+"%s, which was inconclusive%s: terrace rollout start --commit %d asks again",
		core.InstanceName(in.Stack, p.st.Config.Name), because(in.Run), p.number())
}

func because(r *Run) string {
	line, _, _ := strings.Cut(r.Message, "\n")
	if line == "" {
		return ""
	}
	return " (" + strings.TrimRight(line, ".") + ")"
}

// bake is rule 17. Verification goes on, as one verify run ("watch") for each instance
// that has something to ask. One that fails fails the stage, even in the last moment,
// so the stage ends only after every watch has. One that could not be asked or
// answered is started again after a pause and the bake does not end before it could.
//
// Stage.Baked is what a monotonic clock measured while the server ran; neither the
// wall clock nor the time in which nobody looked adds to it.
func (d *decider) bake(p place) {
	var live, fallen, unanswered []Instance
	for _, in := range p.st.Instances {
		switch {
		case !in.Verify || in.Removed:
		case in.Watch == nil:
			if p.st.Baked < p.st.Config.Bake {
				d.watch(p, in)
			}
		case !in.Watch.Status.Terminal():
			live = append(live, in)
		case in.Watch.Code == core.CodeInconclusive || in.Watch.Status == core.RunErrored:
			unanswered = append(unanswered, in)
		case in.Watch.Status == core.RunFailed:
			fallen = append(fallen, in)
		case p.st.Baked < p.st.Config.Bake:
			d.watchAgain(p, in) // it ended before its time
		}
	}
	over := p.st.Baked >= p.st.Config.Bake
	switch {
	case len(fallen) > 0 && len(live) == 0:
		d.endStage(p, core.StageFailed)
		return
	case len(fallen) > 0:
		stopWatches(d, live)
		d.set(p, core.StageBaking, fmt.Sprintf("nothing: verification of %s failed during the bake", core.InstanceName(fallen[0].Stack, p.st.Config.Name)))
		return
	case over && len(live)+len(unanswered) == 0:
		d.endStage(p, core.StageSucceeded)
		return
	}
	for _, in := range unanswered {
		d.watchAgain(p, in)
	}
	if over {
		for _, in := range live {
			// One that has not begun to ask proves nothing: it is let come so far.
			if in.Watch.Status == core.RunVerifying {
				stopWatches(d, []Instance{in})
			}
		}
	}
	waits := waitsForBake(p)
	if len(unanswered) > 0 {
		waits = fmt.Sprintf("verification of %s, which could not be answered%s and is asked again",
			core.InstanceName(unanswered[0].Stack, p.st.Config.Name), because(unanswered[0].Watch))
	}
	d.set(p, core.StageBaking, waits)
}

// waitsForBake leaves out how much is left: that changes all the time, and what a
// stage waits for is stored.
func waitsForBake(p place) string {
	text := p.st.Config.Bake.String() // 10m0s
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return "the end of its bake (" + text + ")"
}

func (d *decider) watch(p place, in Instance) {
	d.add(Start{Rollout: p.ro.ID, Stage: p.st.ID, Stack: in.Stack, Kind: core.KindVerify})
}

// watchAgain starts a watch again, a while after it ended.
func (d *decider) watchAgain(p place, in Instance) {
	if pause := in.Watch.Finished.Add(watchPause).Sub(d.now); pause <= 0 || pause > 2*watchPause {
		// More than the pause: the clock was set back. Waiting longer helps nobody.
		d.watch(p, in)
	}
}

func stopWatches(d *decider, live []Instance) {
	for _, in := range live {
		if !in.Watch.Cancel {
			d.add(StopWatch{Run: in.Watch.ID})
		}
	}
}
