package web

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

// rolloutsShown is how many rollouts a board looks back.
const rolloutsShown = 12

func (s *site) projects(w http.ResponseWriter, req *http.Request) error {
	list, err := s.backend.Projects(req.Context())
	if err != nil {
		return err
	}
	f := s.frame("Projects")
	f.Events = "/events"
	p := live(req, "projects", list)
	now := s.options.Now()
	if done, err := s.showPart(w, req, p, projectsPart(p, list, now)); done {
		return err
	}
	return s.show(w, req, http.StatusOK, projectsPage(f, p, list, now))
}

// board is a project's home as its page shows it.
type board struct {
	part
	Now          time.Time
	Status       wire.Status
	Environments []string // shown
	Rows         []row
	Stacks       int // before filtering
	Counts       []count
	Filter       filter
	Open, Ended  []wire.Rollout
}

// row is a stack; its cells are in the order of board.Environments, nil where the
// stack does not live.
type row struct {
	Stack string
	Cells []*wire.InstanceStatus
}

// count is how many instances are in a state, with the address that shows only those.
type count struct {
	State string
	N     int
	URL   string
	On    bool
}

// filter is what a person asked to see, as in the page's address.
type filter struct{ Text, State, Environment string }

func (f filter) any() bool { return f != filter{} }

func (f filter) url(project string) string {
	q := url.Values{}
	for name, v := range map[string]string{"q": f.Text, "state": f.State, "env": f.Environment} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if len(q) == 0 {
		return projectURL(project)
	}
	return projectURL(project) + "?" + q.Encode()
}

func (s *site) board(w http.ResponseWriter, req *http.Request) error {
	project := req.PathValue("project")
	status, err := s.backend.Status(req.Context(), project, false)
	if err != nil {
		return err
	}
	rollouts, err := s.backend.Rollouts(req.Context(), project, rolloutsShown)
	if err != nil {
		return err
	}
	q := req.URL.Query()
	b := newBoard(status, rollouts, filter{Text: strings.TrimSpace(q.Get("q")), State: q.Get("state"), Environment: q.Get("env")})
	b.Now, b.part = s.options.Now(), live(req, "board", status, rollouts)
	if done, err := s.showPart(w, req, b.part, boardPart(b)); done {
		return err
	}
	f := s.frame(project).in(project)
	return s.show(w, req, http.StatusOK, boardPage(f, b))
}

func newBoard(status wire.Status, rollouts []wire.Rollout, f filter) board {
	b := board{Status: status, Filter: f}
	for _, ro := range rollouts {
		if ro.Finished.IsZero() {
			b.Open = append(b.Open, ro)
		} else {
			b.Ended = append(b.Ended, ro)
		}
	}
	column := map[string]int{}
	for _, e := range status.Environments {
		if f.Environment == "" || f.Environment == e {
			column[e] = len(b.Environments)
			b.Environments = append(b.Environments, e)
		}
	}
	rows, counts, stacks := map[string]*row{}, map[string]int{}, map[string]bool{}
	text := strings.ToLower(f.Text)
	for i := range status.Instances {
		in := &status.Instances[i]
		stacks[in.Stack] = true
		at, shown := column[in.Environment]
		if !shown || !strings.Contains(strings.ToLower(in.Stack), text) {
			continue
		}
		counts[in.State]++
		if in.Drift == drifted {
			counts[drifted]++
		}
		r := rows[in.Stack]
		if r == nil {
			r = &row{Stack: in.Stack, Cells: make([]*wire.InstanceStatus, len(b.Environments))}
			rows[in.Stack] = r
		}
		r.Cells[at] = in
	}
	for _, r := range rows {
		inState := func(c *wire.InstanceStatus) bool {
			return c != nil && (c.State == f.State || f.State == drifted && c.Drift == drifted)
		}
		if f.State == "" || slices.ContainsFunc(r.Cells, inState) {
			b.Rows = append(b.Rows, *r)
		}
	}
	sort.Slice(b.Rows, func(i, j int) bool { return b.Rows[i].Stack < b.Rows[j].Stack })
	b.Stacks = len(stacks)
	for _, state := range states {
		if counts[state] == 0 && state != f.State {
			continue
		}
		c := count{State: state, N: counts[state], On: state == f.State}
		with := f
		if with.State = state; c.On {
			with.State = ""
		}
		c.URL = with.url(status.Project)
		b.Counts = append(b.Counts, c)
	}
	return b
}

// hold finds an environment's hold.
func (b board) hold(environment string) *wire.Hold {
	for i := range b.Status.Holds {
		if b.Status.Holds[i].Environment == environment {
			return &b.Status.Holds[i]
		}
	}
	return nil
}

// busyPhases is for a cell's progress: how many phases are over, and how many there
// are.
func progress(c *wire.InstanceStatus) (at int) { return phaseIndex(c.Phase) }

// showReason reports whether a cell says more than its word.
func showReason(c *wire.InstanceStatus) bool {
	switch c.State {
	case "up_to_date", "never", "running":
		return false
	}
	return c.Reason != ""
}
