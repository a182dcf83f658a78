// Package board answers the question that people ask most: what is where, since
// when, how healthy, and why. It only reads.
package board

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Service is safe for concurrent use.
type Service struct {
	Store    core.Store
	Wanted   *wanted.Evaluator
	Projects *projects.Service
	Runs     *runs.Service
	// Webhook tells the address of a project's webhook.
	Webhook func(project string) string
}

// rows is all that a board is made of, read in one snapshot.
type rows struct {
	project      core.Project
	instances    map[[2]string]core.InstanceState // stack, environment
	environments map[string]core.EnvironmentState
	open         []core.Rollout // newest first
	active       map[[2]string]core.Run
	last         map[[2]string]core.Run // the last run of instances that failed
	own          map[[2]string]core.OwnState
	replace      map[[2]string][]core.Replacement // to be done
	drifts       Seen
	freezes      []core.Freeze
	rails        *config.Guardrails
	newest       *core.Release
	valid        *core.Release // newest whose configuration holds
	now          time.Time
}

func (s *Service) read(ctx context.Context, project string) (rows, error) {
	p, err := s.Projects.Get(ctx, project)
	if err != nil {
		return rows{}, err
	}
	r := rows{project: p, instances: map[[2]string]core.InstanceState{}, environments: map[string]core.EnvironmentState{},
		active: map[[2]string]core.Run{}, last: map[[2]string]core.Run{}, own: map[[2]string]core.OwnState{}, replace: map[[2]string][]core.Replacement{}}
	err = s.Store.View(ctx, func(tx core.Tx) error {
		r.now = tx.Now()
		instances, err := tx.Instances(project)
		if err != nil {
			return err
		}
		for _, i := range instances {
			key := [2]string{i.Stack, i.Environment}
			r.instances[key] = i
			if i.RunStatus == core.RunFailed || i.RunStatus == core.RunErrored || i.RunStatus == core.RunUnknown {
				if run, err := tx.Run(i.Run); err == nil {
					r.last[key] = run
				}
			}
		}
		if r.drifts, err = Drifts(tx, project); err != nil {
			return err
		}
		own, err := tx.OwnStates(project)
		if err != nil {
			return err
		}
		for _, o := range own {
			r.own[[2]string{o.Stack, o.Environment}] = o
		}
		replacements, err := tx.Replacements(project, true)
		if err != nil {
			return err
		}
		for _, p := range replacements {
			key := [2]string{p.Stack, p.Environment}
			r.replace[key] = append(r.replace[key], p)
		}
		environments, err := tx.Environments(project)
		if err != nil {
			return err
		}
		for _, e := range environments {
			r.environments[e.Name] = e
		}
		if r.open, err = tx.Rollouts(project, true, 0); err != nil {
			return err
		}
		if r.freezes, err = tx.Freezes(project); err != nil {
			return err
		}
		if r.rails, err = s.Runs.Guardrails.In(tx); err != nil {
			return err
		}
		active, err := tx.Runs(core.RunFilter{Project: project, Statuses: core.RunsUnderWay()})
		if err != nil {
			return err
		}
		for _, run := range active {
			if !run.Kind.OnlyLooks() {
				r.active[[2]string{run.Stack, run.Environment}] = run
			}
		}
		releases, err := tx.Releases(project, 50)
		if err != nil {
			return err
		}
		for i := range releases {
			if i == 0 {
				r.newest = &releases[i]
			}
			if r.valid == nil && releases[i].Invalid == "" {
				r.valid = &releases[i]
			}
		}
		return nil
	})
	return r, err
}

// Status is the board of a project. With why, each instance that is not up to date
// says every difference between what is applied and what the newest release wants.
func (s *Service) Status(ctx context.Context, project string, why bool) (wire.Status, error) {
	r, err := s.read(ctx, project)
	if err != nil {
		return wire.Status{}, err
	}
	out := wire.Status{Project: project, Environments: []string{}, Instances: []wire.InstanceStatus{}, Stopped: r.project.Stopped, CheckError: r.project.CheckError}
	if r.newest != nil {
		release := Release(*r.newest)
		out.Head = &release
	}
	if r.project.Sandbox == nil {
		if out.Previews, err = s.current(ctx, project); err != nil {
			return out, err
		}
		if out.Sandboxes, err = s.Sandboxes(ctx, project); err != nil {
			return wire.Status{}, err
		}
	}
	if r.valid == nil {
		return out, nil
	}
	cfg, err := s.Wanted.Config(ctx, r.project, r.valid.Commit)
	if err != nil {
		return wire.Status{}, err
	}
	out.Freezes, out.Waiting = r.frozen(cfg), r.waiting()
	for _, env := range cfg.Environments {
		out.Environments = append(out.Environments, env.Name)
		if h := r.environments[env.Name].Hold; h != nil {
			out.Holds = append(out.Holds, wire.Hold{Environment: env.Name, Kind: string(h.Kind), Reason: h.Reason, By: h.By, Since: h.Since})
		}
		var contents map[string]source.Content
		if why {
			if contents, err = s.Wanted.Contents(ctx, r.project, r.valid.Commit, env.Name); err != nil {
				return wire.Status{}, err
			}
		}
		present := map[string]bool{}
		for _, in := range cfg.Instances(env.Name) {
			present[in.Stack] = true
			cell := r.cell(in.Stack, env.Name)
			if err := s.image(ctx, r, in, env.Name, &cell); err != nil {
				return wire.Status{}, err
			}
			if kind := cfg.OwnBackend(in.Stack, env.Name); kind != "" && cell.Backend == "" {
				cell.Backend, cell.BackendType = "stack", kind
			}
			if changed := s.Wanted.Outdated(cfg, env.Name, in.Stack, r.instances[[2]string{in.Stack, env.Name}].Components); len(changed) > 0 && cell.State == "up_to_date" {
				cell.State = "behind"
				cell.Reason = "the guardrails give " + strings.Join(changed, ", ") + " another value since; the next rollout applies it: terrace rollout start"
			}
			if why {
				cell.Why, out.Warnings = s.why(ctx, r, cfg, env.Name, in.Stack, contents[in.Stack], &cell), append(out.Warnings, warnings(contents[in.Stack])...)
			}
			out.Instances = append(out.Instances, cell)
		}
		for key, instance := range r.instances {
			if key[1] == env.Name && !present[key[0]] && (instance.Applied > 0 || instance.Run != "") {
				cell := r.cell(key[0], env.Name)
				cell.Reason = left(cfg, key[0], env.Name) + cell.Reason
				out.Instances = append(out.Instances, cell)
			}
		}
	}
	return out, nil
}

// frozen lists the freezes that are not over.
func (r rows) frozen(cfg *config.Config) (out []wire.Freeze) {
	for _, f := range r.freezes {
		if !f.Over(r.now) {
			out = append(out, Freeze(f, r.now))
		}
	}
	return append(out, written(r.rails, cfg, *r.valid, r.project, r.now)...)
}

// waiting lists the stages under way that wait for something.
func (r rows) waiting() (out []wire.StageWaits) {
	for _, ro := range r.open {
		for _, st := range ro.Stages {
			if !st.Status.Terminal() && len(st.Waits) > 0 {
				out = append(out, wire.StageWaits{Environment: st.Environment, Rollout: ro.ID, Release: Release(ro.Release), Status: string(st.Status), Waits: Waits(st.Waits)})
			}
		}
	}
	return out
}

// left says what becomes of an instance whose stack is not in the configuration.
func left(cfg *config.Config, stack, environment string) string {
	for _, in := range cfg.Instances(environment) {
		for _, st := range cfg.Stacks {
			if st.Name == in.Stack && st.MovedFrom == stack {
				return "it becomes " + core.InstanceName(st.Name, environment) + " (moved_from); "
			}
		}
	}
	return "the stack left the configuration; "
}

// cell judges one instance by its rows.
func (r rows) cell(stack, environment string) wire.InstanceStatus {
	key := [2]string{stack, environment}
	instance := r.instances[key]
	cell := wire.InstanceStatus{Instance: core.InstanceName(stack, environment), Stack: stack, Environment: environment, Run: instance.Run, Since: instance.Since}
	if instance.Release.Number > 0 {
		release := Release(instance.Release)
		cell.Release = &release
		cell.Behind = max(0, r.newest.Number-instance.Release.Number)
	}
	if seen := r.drifts.Of(stack, environment); seen.State != "unknown" {
		cell.Drift = seen.State
	}
	if own, ok := r.own[key]; ok {
		cell.Backend, cell.BackendType = "stack", own.Backend
	}
	current := cell.Behind == 0 && instance.Release.Number > 0 && instance.Digest != "" && len(r.replace[key]) == 0
	environmentState := r.environments[environment]
	last, hasLast := r.last[key]
	switch run, active := r.active[key]; {
	case active && run.Status == core.RunAwaitingApproval:
		cell.State, cell.Run, cell.Phase = "waiting", run.ID, string(run.Status)
		cell.Reason = "waits for an approval: terrace approve " + run.ID
	case active:
		cell.State, cell.Run, cell.Phase = "running", run.ID, string(run.Status)
		cell.Reason = fmt.Sprintf("%s of release %d is %s", run.Kind, run.Release.Number, run.Status)
	case instance.Unknown != "":
		cell.State, cell.Run = "unknown", instance.Unknown
		cell.Reason = "the outcome of " + instance.Unknown + " is not known: terrace run recover " + instance.Unknown
	case current:
		cell.State = "up_to_date"
		cell.Reason = fmt.Sprintf("fulfils release %d, the newest", instance.Release.Number)
	case hasLast && instance.RunStatus == core.RunFailed:
		cell.State, cell.Reason = "failed", firstLine(last)
	case hasLast && instance.RunStatus == core.RunErrored:
		cell.State, cell.Reason = "errored", firstLine(last)
	case environmentState.Hold != nil:
		cell.State, cell.Reason = "held", "a hold on "+environment+": "+environmentState.Hold.Reason
	default:
		cell.State, cell.Reason = r.pending(environment, instance)
	}
	if p := r.replace[key]; len(p) > 0 && cell.State == "behind" {
		cell.Reason = fmt.Sprintf("%s asked for the replacement of %s%s; the next rollout does it: terrace rollout start", p[0].By, p[0].Address, more(len(p)-1))
	}
	return cell
}

// pending tells waiting, behind and never apart.
func (r rows) pending(environment string, instance core.InstanceState) (state, reason string) {
	for _, ro := range r.open {
		for _, st := range ro.Stages {
			if st.Environment != environment || st.Status.Terminal() || ro.Release.Number <= instance.Release.Number && instance.Digest != "" {
				continue
			}
			if st.WaitsFor != "" {
				return "waiting", fmt.Sprintf("release %d waits for %s", ro.Release.Number, st.WaitsFor)
			}
			return "waiting", fmt.Sprintf("release %d is on its way", ro.Release.Number)
		}
	}
	switch {
	case r.project.Stopped != "":
		reason = r.project.Stopped
	case r.newest.Invalid != "":
		reason = fmt.Sprintf("release %d has a configuration that does not hold: terrace rollout list", r.newest.Number)
	case instance.Release.Number == 0:
		return "never", "nothing was ever applied here"
	case instance.Digest == "" && instance.Release.Number == r.newest.Number:
		reason = "it has to run again before it is up to date: terrace rollout start"
	default:
		reason = fmt.Sprintf("fulfils release %d; the newest is %d", instance.Release.Number, r.newest.Number)
	}
	if instance.Release.Number == 0 {
		return "never", reason
	}
	return "behind", reason
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func firstLine(run core.Run) string {
	if run.Error == nil {
		return string(run.Status)
	}
	line, _, _ := strings.Cut(run.Error.Message, "\n")
	return line
}

// why compares digests part by part.
func (s *Service) why(ctx context.Context, r rows, cfg *config.Config, environment, stack string, content source.Content, cell *wire.InstanceStatus) []string {
	w, err := s.Wanted.Instance(ctx, r.project, *r.valid, cfg, environment, stack, content)
	instance := r.instances[[2]string{stack, environment}]
	switch {
	case err != nil:
		return []string{core.MessageOf(err)}
	case w.Image != "":
		return []string{"it uses the image " + w.Image + ", which is not built"}
	case !w.Ready:
		return []string{"its inputs are outputs of " + w.WaitsFor + ", which has none yet"}
	case instance.Digest == w.Digest && len(r.replace[[2]string{stack, environment}]) > 0:
		var out []string
		for _, p := range r.replace[[2]string{stack, environment}] {
			out = append(out, fmt.Sprintf("%s asked for the replacement of %s", p.By, p.Address))
		}
		return out
	case instance.Digest == w.Digest:
		if cell.State == "behind" || cell.State == "waiting" || cell.State == "held" {
			cell.State = "up_to_date"
		}
		cell.Reason = fmt.Sprintf("everything that release %d wants of it is applied (input digest %.12s)", r.valid.Number, w.Digest)
		return nil
	case instance.Components == nil:
		return []string{"nothing was ever applied here"}
	}
	differences := wanted.Difference(instance.Components, w.Parts)
	if len(differences) == 0 {
		differences = []string{"the last run did not end well, so nothing is known to be applied"}
		if instance.MovedFrom != "" {
			differences = []string{"it was " + core.InstanceName(instance.MovedFrom, environment) + " before, and its first run proves that nothing changes by that"}
		}
	}
	return differences
}

func warnings(c source.Content) []string {
	var out []string
	for _, w := range c.Warnings {
		out = append(out, fmt.Sprintf("%s:%d: %s", w.Path, w.Line, w.Message))
	}
	return out
}
