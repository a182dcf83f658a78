package web

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	linesShown = 4000 // of a log, in a page; the rest is in the download
	chunksRead = 500  // of a log, at a time
)

// runView is a run as its page shows it.
type runView struct {
	part
	Now    time.Time
	Run    wire.Run
	Plan   *wire.Plan
	Groups []group
	Steps  []step
	Log    sections
}

func (v runView) over() bool { return core.RunStatus(v.Run.Status).Terminal() }

// step is a phase in the run's timeline.
type step struct {
	Word  string
	State string // done, now, todo, skipped, or how the run ended in it
	Took  string
}

// group is the resources of a plan that the same happens to.
type group struct {
	Action, Title, Sign string
	Resources           []wire.ResourceChange
}

// actions in the order in which a reader has to see them: the worst first.
var actions = []group{
	{Action: "delete", Title: "Destroy", Sign: "−"},
	{Action: "replace", Title: "Replace", Sign: "±"},
	{Action: "update", Title: "Update in place", Sign: "~"},
	{Action: "create", Title: "Create", Sign: "+"},
	{Action: "forget", Title: "Forget", Sign: "−"},
	{Action: "move", Title: "Move", Sign: "→"},
	{Action: "import", Title: "Import", Sign: "←"},
	{Action: "read", Title: "Read", Sign: "="},
}

func (s *site) run(w http.ResponseWriter, req *http.Request) error {
	ctx := req.Context()
	run, err := s.backend.Run(ctx, req.PathValue("id"))
	if err != nil {
		return err
	}
	plan, err := s.backend.Plan(ctx, run.ID)
	if err != nil {
		return err
	}
	v := runView{part: live(req, "run", run, plan), Now: s.options.Now(), Run: run, Plan: plan, Groups: groups(plan)}
	isPart := req.URL.Query().Get("part") == v.ID
	if isPart && req.URL.RequestURI() == v.URL {
		w.WriteHeader(http.StatusNoContent) // before the log is read for nothing
		return nil
	}
	if v.Log, err = s.readLog(ctx, run.ID); err != nil {
		return err
	}
	v.Steps = steps(run, v.Log)
	if isPart {
		return s.show(w, req, http.StatusOK, runPart(v))
	}
	f := s.frame(run.Instance).in(run.Project)
	if run.Rollout != "" {
		f.Crumbs = append(f.Crumbs, crumb{"release " + releaseName(run.Release), rolloutURL(run.Rollout)})
	}
	f.Crumbs = append(f.Crumbs, crumb{run.Instance, runURL(run.ID)})
	f.Events = runURL(run.ID) + "/log"
	return s.show(w, req, http.StatusOK, runPage(f, v))
}

func (s *site) cancelRun(w http.ResponseWriter, req *http.Request) error {
	id := req.PathValue("id")
	if err := s.backend.CancelRun(req.Context(), id); err != nil {
		return err
	}
	http.Redirect(w, req, runURL(id), http.StatusSeeOther)
	return nil
}

// chunks calls f with every chunk of a run's log after a number.
func (s *site) chunks(ctx context.Context, run string, after int64, f func(wire.LogChunk) error) error {
	for {
		list, err := s.backend.Logs(ctx, run, after, chunksRead)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, c := range list {
			after = c.Seq
			if err := f(c); err != nil {
				return err
			}
		}
	}
}

func (s *site) readLog(ctx context.Context, run string) (sections, error) {
	var l lines
	var out sections
	err := s.chunks(ctx, run, 0, func(c wire.LogChunk) error {
		out.After = c.Seq
		out.collect(l.add(c))
		out.trim(linesShown)
		return nil
	})
	return out, err
}

func (s *site) logText(w http.ResponseWriter, req *http.Request) error {
	run, err := s.backend.Run(req.Context(), req.PathValue("id"))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Disposition", `attachment; filename="`+run.ID+`.log"`)
	var l lines
	var last logLine
	write := func(line logLine) error {
		_, err := w.Write([]byte(ansi.Strip(line.Text) + "\n"))
		return err
	}
	err = s.chunks(req.Context(), run.ID, 0, func(c wire.LogChunk) error {
		for _, line := range l.add(c) {
			if last.N != 0 && last.N != line.N {
				if err := write(last); err != nil {
					return nil // the reader is gone
				}
			}
			last = line
		}
		return nil
	})
	if err == nil && last.N != 0 {
		_ = write(last) // likewise
	}
	return err
}

// steps draws the timeline from the run's status and from what its log has of each
// phase.
func steps(run wire.Run, log sections) []step {
	status := core.RunStatus(run.Status)
	reached := phaseIndex(run.Status)
	if reached < 0 || log.last == phaseBefore && status == core.RunChecking {
		reached = phaseIndex(log.last)
	}
	kinds := phasesOf(run)
	out := []step{}
	for i, p := range phases {
		if !slices.Contains(kinds, p.Status) {
			continue
		}
		st := step{Word: stateWord(p.Word), State: "todo"}
		begun, has := log.begun[p.Word]
		if p.Word == phaseBefore && !has && run.Phases[p.Word] == 0 {
			continue
		}
		switch {
		case i == reached && !status.Terminal():
			st.State = "now"
			if status == core.RunAwaitingApproval {
				st.State = "waits"
			}
		case i == reached && status != core.RunSucceeded:
			st.State = run.Status
		case status == core.RunSucceeded || i < reached:
			st.State = "done"
			if !has && run.Phases[p.Word] == 0 && i > 2 {
				st.State = "skipped" // nothing to apply, to provision or to verify
			}
		case status.Terminal():
			st.State = "skipped"
		}
		if has {
			end := run.Finished
			for _, next := range phases[i+1:] {
				if t, ok := log.begun[next.Word]; ok {
					end = t
					break
				}
			}
			st.Took = took(begun, end)
		}
		if ms := run.Phases[p.Word]; ms > 0 {
			st.Took = span(time.Duration(ms) * time.Millisecond) // as the runner measured it
		}
		out = append(out, st)
	}
	return out
}

// phasesOf lists the phases that a run of a kind may go through.
func phasesOf(run wire.Run) []string {
	switch core.RunKind(run.Kind) {
	case core.KindVerify:
		return []string{"preparing", "verifying"}
	case core.KindImage:
		return []string{"preparing", "building"}
	case core.KindRecover:
		return []string{"preparing", "planning", "checking"}
	case core.KindDestroy:
		return []string{"preparing", "planning", "checking", phaseBefore, "applying"}
	}
	var all []string
	for _, p := range phases {
		if p.Status != string(core.RunBuilding) {
			all = append(all, p.Status)
		}
	}
	return all
}

func groups(plan *wire.Plan) []group {
	if plan == nil {
		return nil
	}
	var out []group
	for _, g := range actions {
		for _, r := range plan.Resources {
			if r.Action == g.Action {
				g.Resources = append(g.Resources, r)
			}
		}
		if len(g.Resources) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// attr is one attribute of a diff, as text.
type attr struct {
	Path, Before, After string
	Note                string // instead of a value
	Sign                string
	Forces              bool
}

func attrs(action string, list []wire.AttrChange) []attr {
	out := make([]attr, 0, len(list))
	for _, c := range list {
		if c.Before == c.After && !c.Unknown && !c.Sensitive && !c.Forces {
			continue // it stays as it is
		}
		a := attr{Path: c.Path, Before: shown(c.Before), After: shown(c.After), Forces: c.Forces}
		switch {
		case c.Sensitive:
			a.Before, a.After, a.Note = "", "", "sensitive"
		case c.Unknown:
			a.After, a.Note = "", "known after apply"
		}
		switch {
		case c.Before == "" && (c.After != "" || a.Note != "") && action != "delete":
			a.Sign = "+"
		case c.After == "" && a.Note == "":
			a.Sign = "−"
		default:
			a.Sign = "~"
		}
		if action == "create" {
			a.Sign = "+"
		}
		if action == "delete" {
			a.Sign = "−"
		}
		out = append(out, a)
	}
	return out
}

// shown makes a value of a plan safe to show.
func shown(v string) string { return strings.TrimRight(ansi.Strip(v), "\n") }

func orderWords(r wire.ResourceChange) string {
	switch r.Order {
	case "create_first":
		return "creates the new one first"
	case "destroy_first":
		return "destroys the old one first"
	}
	return ""
}
