package likeness

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/wire"
)

// facts are the rows that a comparison is made of, read in one snapshot. They say all that
// it depends on, since releases, states and documents never change: equal facts make equal
// reports.
type facts struct {
	Project core.Project
	A, B    place
	Rules   config.ParityRules
}

// place is an environment.
type place struct {
	Name string
	// There is the release whose configuration says what belongs here: the one verified
	// last, and before the first the newest that anything was made from.
	There     core.Release
	Instances []held
}

// held is an instance.
type held struct {
	Stack    string
	Release  core.Release
	State    core.StateVersion
	Own      string // type of the stack's own backend, when that has the state
	Unknown  string
	Applying string // the run that is changing it
	Versions wire.Versions
}

// key identifies the facts.
func (f facts) key() (string, error) {
	// What a project was last read for has no part in it.
	f.Project = core.Project{Name: f.Project.Name, Repo: f.Project.Repo, Path: f.Project.Path}
	raw, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// read reads the facts of two environments.
func (s *Service) read(ctx context.Context, project, a, b string) (f facts, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		f = facts{A: place{Name: a}, B: place{Name: b}}
		if f.Project, err = tx.Project(project); err != nil {
			return err
		}
		instances, err := tx.Instances(project)
		if err != nil {
			return err
		}
		applying, err := tx.Runs(core.RunFilter{Project: project, Statuses: []core.RunStatus{core.RunApplying}})
		if err != nil {
			return err
		}
		for _, p := range []*place{&f.A, &f.B} {
			if err := s.readPlace(tx, project, p, instances, applying); err != nil {
				return err
			}
		}
		return nil
	})
	return f, err
}

func (s *Service) readPlace(tx core.Tx, project string, p *place, instances []core.InstanceState, applying []core.Run) error {
	for _, i := range instances {
		if i.Environment != p.Name {
			continue
		}
		h := held{Stack: i.Stack, Unknown: i.Unknown, Release: core.Release{Number: i.Applied, Commit: i.Commit}}
		if i.Release.Number > i.Applied || i.Commit == "" {
			h.Release = core.Release{Number: i.Release.Number, Commit: i.Release.Commit} // nothing had to run for it
		}
		for _, run := range applying {
			if run.Stack == i.Stack && run.Environment == i.Environment {
				h.Applying = run.ID
			}
		}
		own, err := tx.OwnState(project, i.Stack, p.Name)
		switch {
		case err == nil:
			h.Own = cmp.Or(own.Backend, "its own")
		case core.CodeOf(err) != core.NotFound:
			return err
		}
		if h.State, err = tx.CurrentState(project, i.Stack, p.Name); err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
		for _, run := range []string{i.Run, h.State.Run} {
			if run == "" {
				continue
			}
			if err = s.Runs.Doc(tx, run, runs.VersionsDoc, &h.Versions); err == nil {
				break
			} else if core.CodeOf(err) != core.NotFound {
				return err
			}
		}
		if h.Release.Number > p.There.Number {
			p.There = h.Release
		}
		p.Instances = append(p.Instances, h)
	}
	slices.SortFunc(p.Instances, func(a, b held) int { return cmp.Compare(a.Stack, b.Stack) })
	environment, err := tx.Environment(project, p.Name)
	if err != nil || environment.Verified == 0 {
		return err
	}
	release, err := tx.FindRelease(project, strconv.FormatInt(environment.Verified, 10))
	if core.CodeOf(err) == core.NotFound {
		return nil
	}
	p.There = core.Release{Number: release.Number, Commit: release.Commit}
	return err
}

// empty reports whether nothing was ever applied here.
func (p place) empty() bool {
	return !slices.ContainsFunc(p.Instances, func(h held) bool { return h.State.Blob != "" || h.Own != "" || h.Unknown != "" || h.Applying != "" })
}

// notCompared says why an instance cannot be looked at, "" when it can.
func (h held) notCompared() string {
	switch {
	case h.Own != "":
		return fmt.Sprintf("keeps its state in its stack's own backend (%s), which the server cannot read", h.Own)
	case h.Unknown != "":
		return fmt.Sprintf("has an outcome that nobody knows: terrace run recover %s", h.Unknown)
	case h.Applying != "":
		return "is being changed by " + h.Applying
	}
	return ""
}
