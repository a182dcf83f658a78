package web

import (
	"net/http"
	"slices"
	"sort"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// journey is a rollout as its page shows it.
type journey struct {
	part
	Now     time.Time
	Rollout wire.Rollout
	Runs    map[string][]wire.Run      // by environment, newest of each stack, by stack
	Asks    map[string][]wire.Approval // by stage: its runs that wait for approvals
}

func (j journey) over() bool { return core.RolloutStatus(j.Rollout.Status).Terminal() }

func (s *site) rollout(w http.ResponseWriter, req *http.Request) error {
	ro, err := s.backend.Rollout(req.Context(), req.PathValue("id"))
	if err != nil {
		return err
	}
	waiting, err := s.asks(req, ro)
	if err != nil {
		return err
	}
	j := journey{part: live(req, "rollout", ro, waiting), Now: s.options.Now(), Rollout: ro, Runs: map[string][]wire.Run{}, Asks: waiting}
	seen := map[[2]string]bool{}
	for _, r := range ro.Runs { // newest first
		key := [2]string{r.Instance, r.Kind}
		if !seen[key] {
			seen[key] = true
			j.Runs[r.Environment] = append(j.Runs[r.Environment], r)
		}
	}
	for _, runs := range j.Runs {
		sort.SliceStable(runs, func(a, b int) bool { return runs[a].Stack < runs[b].Stack })
	}
	if done, err := s.showPart(w, req, j.part, rolloutPart(j)); done {
		return err
	}
	f := s.frame("Release " + releaseName(ro.Release) + " of " + ro.Project).in(ro.Project)
	f.Crumbs = append(f.Crumbs, crumb{"release " + releaseName(ro.Release), rolloutURL(ro.ID)})
	return s.show(w, req, http.StatusOK, rolloutPage(f, j))
}

// asks lists what of a rollout waits for approvals, by stage.
func (s *site) asks(req *http.Request, ro wire.Rollout) (map[string][]wire.Approval, error) {
	if !slices.ContainsFunc(ro.Runs, func(r wire.Run) bool { return r.Status == string(core.RunAwaitingApproval) }) {
		return nil, nil
	}
	all, err := s.backend.Approvals(req.Context(), ro.Project)
	asks := map[string][]wire.Approval{}
	for _, a := range all {
		if a.Rollout == ro.ID {
			asks[a.Stage] = append(asks[a.Stage], a)
		}
	}
	return asks, err
}

func (s *site) cancelRollout(w http.ResponseWriter, req *http.Request) error {
	id := req.PathValue("id")
	if err := s.backend.CancelRollout(req.Context(), id); err != nil {
		return err
	}
	http.Redirect(w, req, rolloutURL(id), http.StatusSeeOther)
	return nil
}

func (s *site) login(w http.ResponseWriter, req *http.Request) error {
	f := s.frame("Log in")
	f.Bare = true
	q := req.URL.Query()
	return s.show(w, req, http.StatusOK, loginPage(f, q.Get("next"), q.Has("failed")))
}
