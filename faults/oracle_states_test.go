package faults

import (
	"strconv"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// versionsStay is I1: no acknowledged state version is lost, changed or reordered.
func (o *oracle) versionsStay() {
	for _, instance := range o.instances() {
		var last kept
		for i, v := range o.of(instance, o.versions) {
			if v.content != nil && digest(v.content) != v.md5 {
				o.violates("I1", "version %d of %s has MD5 %s and its content %s", v.id, instance, v.md5, digest(v.content))
			}
			if i > 0 && v.serial <= last.serial {
				o.violates("I1", "version %d of %s has serial %d, after %d", v.id, instance, v.serial, last.serial)
			}
			if i > 0 && v.lineage != last.lineage {
				o.violates("I1", "version %d of %s has lineage %s, after %s", v.id, instance, v.lineage, last.lineage)
			}
			last = v
		}
	}
	for _, k := range o.slot {
		if k.content != nil && digest(k.content) != k.md5 {
			o.violates("I1", "entry %d of the recovery slot of %s has MD5 %s and its content %s", k.id, k.instance, k.md5, digest(k.content))
		}
	}
	for _, a := range o.acks {
		if !o.has(a) {
			o.violates("I1", "%s was told that its state with serial %d (MD5 %s) is stored, and there is no such version", a.instance, a.Serial, a.md5)
		}
	}
	// What the audit log told when a version was written.
	byID := map[string]kept{}
	for _, v := range o.versions {
		byID[strconv.FormatInt(v.id, 10)] = v
	}
	for _, e := range o.seen {
		if e.Kind != "state.written" {
			continue
		}
		v, ok := byID[e.Data["version"]]
		if !ok || v.instance != e.On || v.md5 != e.Data["md5"] || strconv.FormatInt(v.serial, 10) != e.Data["serial"] {
			o.violates("I1", "version %s of %s was written with serial %s and MD5 %s; now it is of %q with serial %d and MD5 %s",
				e.Data["version"], e.On, e.Data["serial"], e.Data["md5"], v.instance, v.serial, v.md5)
		}
	}
}

// has reports whether what was acknowledged is a version.
func (o *oracle) has(a ack) bool {
	for _, v := range o.versions {
		if v.instance == a.instance && v.serial == a.Serial && v.lineage == a.Lineage && v.md5 == a.md5 {
			return true
		}
	}
	return false
}

// everythingKept is I3: every change made to infrastructure is in a state version or in
// a recovery slot; and once all is well again, states are what is in the cloud.
func (o *oracle) everythingKept() {
	for _, instance := range o.instances() {
		var states []readable
		for _, v := range o.of(instance, o.versions) {
			states = append(states, read(v))
		}
		for _, k := range o.of(instance, o.slot) {
			states = append(states, read(k))
		}
		for _, e := range o.journal {
			if instanceOf(e.Resource.Tenant) == instance && !o.unknown(e.Run) && !reflected(e, states) {
				o.violates("I3", "%s of %s %s (%s) by %s in %s is in no state version and in no recovery slot",
					e.Operation, e.Resource.Type, e.Resource.Name, e.Resource.ID, e.Run, instance)
			}
		}
		if o.converged {
			o.matches(instance)
		}
	}
}

type readable struct {
	kept
	cloud map[string]known
}

func read(k kept) readable { return readable{k, parse(k.content).cloud()} }

// reflected reports whether a change is to be seen in one of the states.
func reflected(e democloud.Entry, states []readable) bool {
	for _, s := range states {
		there, ok := s.cloud[e.Resource.ID]
		switch e.Operation {
		case democloud.Create:
			if ok {
				return true
			}
		case democloud.Update:
			if ok && there.is(e.Resource) {
				return true
			}
		case democloud.Delete:
			if !ok && s.run == e.Run {
				return true
			}
		default: // a machine switched off or on: nobody's state
			return true
		}
	}
	return false
}

// is reports whether a state describes a resource as it is.
func (k known) is(r democloud.Resource) bool {
	return k.Name == r.Name && k.Image == r.Spec.Image && k.Value == r.Spec.Value && k.CIDR == r.Spec.CIDR
}

// matches compares an instance's current state with the cloud.
func (o *oracle) matches(instance string) {
	now, ok := o.current(instance)
	if !ok {
		o.violates("I3", "%s has no state", instance)
		return
	}
	states := read(now).cloud
	live := map[string]bool{}
	for _, r := range o.live {
		if instanceOf(r.Tenant) != instance {
			continue
		}
		live[r.ID] = true
		there, ok := states[r.ID]
		switch {
		case !ok && o.unknown(o.maker(r.ID)): // see oracle
		case !ok:
			o.violates("I3", "%s %s (%s), made by %s, is in the cloud and not in the state of %s", r.Type, r.Name, r.ID, o.maker(r.ID), instance)
		case !there.is(r):
			o.violates("I3", "%s %s (%s) is %+v in the cloud and %+v in the state of %s", r.Type, r.Name, r.ID, r.Spec, there, instance)
		}
	}
	for id, there := range states {
		if !live[id] {
			o.violates("I3", "%s (%s) is in the state of %s and not in the cloud", there.Name, id, instance)
		}
	}
}

// maker is the run that created a resource.
func (o *oracle) maker(id string) string {
	for _, e := range o.journal {
		if e.Operation == democloud.Create && e.Resource.ID == id {
			return e.Run
		}
	}
	return ""
}
