package demo

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Summary is what `terrace demo --exit --json` prints.
type Summary struct {
	OK      bool    `json:"ok"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
	// URL is where the server was.
	URL        string           `json:"url"`
	Rollouts   []RolloutSummary `json:"rollouts"`
	Production Production       `json:"production"`
}

// RolloutSummary is one of the two rollouts. Seconds counts from the push, or from
// the project being added, to the end.
type RolloutSummary struct {
	ID      string       `json:"id"`
	Release wire.Release `json:"release"`
	Status  string       `json:"status"`
	Seconds float64      `json:"seconds"`
	// Runs lists what ran, by environment.
	Runs map[string][]RunSummary `json:"runs"`
}

// RunSummary is one run.
type RunSummary struct {
	ID      string       `json:"id"`
	Stack   string       `json:"stack"`
	Kind    string       `json:"kind"`
	Status  string       `json:"status"`
	Changes wire.Changes `json:"changes"`
	Seconds float64      `json:"seconds"`
}

// Production is what a customer sees at the end: PageVersion came over HTTP through
// the load balancer at URL, Committed is what the repository says.
type Production struct {
	URL         string `json:"url"`
	PageVersion string `json:"page_version"`
	Committed   string `json:"committed"`
}

func (s *Summary) add(r RolloutSummary) {
	if r.ID != "" {
		s.Rollouts = append(s.Rollouts, r)
	}
}

func (s *Summary) write(out io.Writer) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

func summarize(r wire.Rollout, took time.Duration) RolloutSummary {
	s := RolloutSummary{ID: r.ID, Release: r.Release, Status: r.Status, Seconds: seconds(took), Runs: map[string][]RunSummary{}}
	for _, stage := range r.Stages {
		s.Runs[stage.Environment] = []RunSummary{}
	}
	for _, run := range inOrder(r.Runs) {
		sum := RunSummary{ID: run.ID, Stack: run.Stack, Kind: run.Kind, Status: run.Status, Changes: run.Changes}
		if !run.Started.IsZero() && !run.Finished.IsZero() {
			sum.Seconds = seconds(run.Finished.Sub(run.Started))
		}
		s.Runs[run.Environment] = append(s.Runs[run.Environment], sum)
	}
	return s
}

// inOrder returns runs as they were made.
func inOrder(runs []wire.Run) []wire.Run {
	return slices.SortedStableFunc(slices.Values(runs), func(a, b wire.Run) int { return strings.Compare(a.ID, b.ID) })
}

// onlyWeb checks what the second rollout is there to show: the page is web's alone,
// so web ran in every environment and nothing else did. The runs that watch over a
// bake change nothing and do not count.
func onlyWeb(r RolloutSummary) error {
	for environment, runs := range r.Runs {
		var deployed []string
		for _, run := range runs {
			if run.Kind == string(core.KindDeploy) {
				deployed = append(deployed, run.Stack)
			}
		}
		if len(deployed) != 1 || deployed[0] != "web" {
			return core.Errorf(core.Internal, "a commit that changes the page only should run web alone in %s; these ran: %s", environment, strings.Join(deployed, ", "))
		}
	}
	return nil
}

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }
