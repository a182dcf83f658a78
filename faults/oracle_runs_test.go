package faults

import (
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// onItsWay is how long after its run's end a change may still be noted by the cloud: a
// request that had been sent.
const onItsWay = 500 * time.Millisecond

// oneWriter is I2: two writers never hold the same instance, and none goes on after its
// time.
func (o *oracle) oneWriter() {
	for _, instance := range o.instances() {
		var last kept
		for _, v := range o.of(instance, o.versions) {
			if v.fence < last.fence {
				o.violates("I2", "version %d of %s has fence %d, after %d", v.id, instance, v.fence, last.fence)
			}
			last = v
		}
		var before democloud.Entry
		over := map[string]bool{} // runs after which another one wrote
		for _, e := range o.journal {
			if instanceOf(e.Resource.Tenant) != instance {
				continue
			}
			if before.Run != "" && before.Run != e.Run {
				over[before.Run] = true
			}
			if over[e.Run] {
				o.violates("I2", "%s changes %s (%s %s) after %s did", e.Run, instance, e.Operation, e.Resource.ID, before.Run)
			}
			before = e
		}
	}
	for _, e := range o.journal {
		r, ok := o.run[e.Run]
		switch {
		case !ok:
			o.violates("I2", "%s of %s in %s is by %q, which is no run", e.Operation, e.Resource.ID, e.Resource.Tenant, e.Run)
		case r.Instance() != instanceOf(e.Resource.Tenant):
			o.violates("I2", "%s of %s is at %s and changes %s", r.ID, r.Instance(), r.Instance(), instanceOf(e.Resource.Tenant))
		case !o.jumped && r.Status.Terminal() && e.At.After(r.Finished.Add(onItsWay)):
			o.violates("I2", "%s was over (%s) for %s when it did the %s of %s in %s", r.ID, r.Status, e.At.Sub(r.Finished), e.Operation, e.Resource.ID, e.Resource.Tenant)
		case r.Kind != core.KindDeploy && r.Kind != core.KindDestroy:
			o.violates("I2", "%s, a %s run, changes %s", r.ID, r.Kind, e.Resource.Tenant)
		}
	}
	o.oneLease()
}

// oneLease: at most one stage has an environment at a time (rule 4).
func (o *oracle) oneLease() {
	for _, environment := range environments {
		holder := ""
		for _, e := range o.events {
			if e.On != environment {
				continue
			}
			switch e.Kind {
			case "stage.entered":
				if holder != "" {
					o.violates("I2", "the stage of %s entered %s while that of %s was there", e.Data["rollout"], environment, holder)
				}
				holder = e.Data["rollout"]
			case "stage.succeeded", "stage.failed", "stage.errored", "stage.cancelled", "stage.superseded":
				if holder == e.Data["rollout"] {
					holder = ""
				}
			}
		}
	}
}

// gatesHeld is I4: nothing reaches an environment before its release is verified
// upstream; and no release is older than one that was there (rule 8).
func (o *oracle) gatesHeld() {
	verified := map[string]bool{} // environment and release
	entered := map[string]int64{}
	for _, e := range o.events {
		release := e.Data["release"]
		switch e.Kind {
		case "stage.succeeded":
			verified[e.On+" "+release] = true
		case "stage.entered":
			for _, u := range upstream[e.On] {
				if !verified[u+" "+release] {
					o.violates("I4", "release %s entered %s before it was verified in %s", release, e.On, u)
				}
			}
			n := number(release)
			if n < entered[e.On] {
				o.violates("I4", "release %d entered %s after release %d", n, e.On, entered[e.On])
			}
			entered[e.On] = n
		}
	}
	// What was really done, by the cloud's own account.
	at := map[string]time.Time{}
	for _, e := range o.events {
		if e.Kind == "stage.succeeded" {
			if name := e.On + " " + e.Data["release"]; at[name].IsZero() {
				at[name] = e.At
			}
		}
	}
	for _, e := range o.journal {
		r, ok := o.run[e.Run]
		if !ok {
			continue // oneWriter says so
		}
		for _, u := range upstream[r.Environment] {
			if when := at[u+" "+itoa(r.Release.Number)]; when.IsZero() || !o.jumped && e.At.Before(when) {
				o.violates("I4", "%s, of release %d, changes %s and the release is not verified in %s", r.ID, r.Release.Number, r.Instance(), u)
			}
		}
	}
}

// onlyOnce is I5: one commit is one release, and no apply is executed twice.
func (o *oracle) onlyOnce() {
	commits := map[string]int{}
	for _, r := range o.releases {
		commits[r.Commit]++
	}
	for commit, n := range commits {
		if n > 1 {
			o.violates("I5", "the commit %s has %d releases", commit, n)
		}
	}
	for _, commit := range o.pushed {
		if o.converged && commit == o.pushed[len(o.pushed)-1] && commits[commit] == 0 {
			o.violates("I5", "the commit %s has no release", commit)
		}
	}
	applied := map[string]int{}
	for _, e := range o.events {
		if e.Kind == "run.applying" {
			applied[e.On]++
		}
	}
	for run, n := range applied {
		if n > 1 {
			o.violates("I5", "%s began to apply %d times", run, n)
		}
	}
	fences := map[string][]string{}
	for _, e := range o.journal {
		if !slices.Contains(fences[e.Run], e.Fence) {
			fences[e.Run] = append(fences[e.Run], e.Fence)
		}
	}
	for run, all := range fences {
		if len(all) > 1 {
			o.violates("I5", "%s changed the cloud under the fences %v: it was applied more than once", run, all)
		}
		if applied[run] == 0 {
			o.violates("I5", "%s changed the cloud and was never applying", run)
		}
	}
	o.noTwins()
}

// noTwins: nothing that is wanted once is created while it is there already.
func (o *oracle) noTwins() {
	tainted := map[string]bool{} // an engine replaces those
	for _, v := range slices.Concat(o.versions, o.slot) {
		for id, k := range parse(v.content).cloud() {
			if k.tainted {
				tainted[id] = true
			}
		}
	}
	type wanted struct{ tenant, kind, name, image string }
	there := map[wanted]democloud.Entry{}
	for _, e := range o.journal {
		r := e.Resource
		key := wanted{r.Tenant, string(r.Type), r.Name, r.Spec.Image}
		switch e.Operation {
		case democloud.Create:
			if twin, ok := there[key]; ok && !o.unknown(twin.Run) && !tainted[twin.Resource.ID] {
				o.violates("I5", "%s created %s %s in %s, which %s had created before", e.Run, r.Type, r.Name, r.Tenant, twin.Run)
			}
			there[key] = e
		case democloud.Delete:
			if there[key].Resource.ID == r.ID {
				delete(there, key)
			}
		}
	}
}
