package promotion

import (
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// baking reports whether everything in a stage is done and only time has to pass.
func baking(st *Stage) bool { return st.Status == core.StageBaking }

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
	// Skipping a bake (rule 23) ends it as if its time were over: what was asked is answered.
	over := p.st.Baked >= p.st.Config.Bake || p.st.skips(core.GateBake)
	var live, fallen, unanswered []Instance
	for _, in := range p.st.Instances {
		switch {
		case !in.Verify || in.Removed:
		case in.Watch == nil:
			if !over {
				d.watch(p, in)
			}
		case !in.Watch.Status.Terminal():
			live = append(live, in)
		case in.Watch.Code == core.CodeInconclusive || in.Watch.Status == core.RunErrored:
			unanswered = append(unanswered, in)
		case in.Watch.Status == core.RunFailed:
			fallen = append(fallen, in)
		case !over:
			d.watchAgain(p, in) // it ended before its time
		}
	}
	switch {
	case len(fallen) > 0 && len(live) == 0:
		d.endStage(p, core.StageFailed)
		return
	case len(fallen) > 0:
		stopWatches(d, live)
		d.set(p, core.StageBaking, fallenWait(p, fallen[0]))
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
	var waits []core.Wait
	for _, in := range unanswered {
		waits = append(waits, unansweredWait(p, in))
	}
	d.set(p, core.StageBaking, secondPerson(p, append(waits, bakeWait(p, d.now)))...)
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
