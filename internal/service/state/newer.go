package state

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// blobPrefix begins the keys of states.
const blobPrefix = "states/"

// instanceKey is how the key of a blob names its instance: enough to know whose it is
// when no row says so, and nothing to those who only see the keys.
func instanceKey(project, stack, environment string) string {
	sum := sha256.Sum256([]byte(project + "/" + environment + "/" + stack))
	return hex.EncodeToString(sum[:8])
}

// Newer is a state in storage that the database does not know and that continues, or
// begins, what the database knows of its instance.
type Newer struct {
	Project, Stack, Environment string // all "" when the database knows no such instance
	Blob                        string
	Written                     time.Time // by the key
	Serial, Known               int64     // in storage, in the database (-1: none)
	Entry                       int64     // of the recovery slot

	run string // that must have written it, "" when that is not known
}

// AdoptNewer looks for states that are in storage and newer than what the database
// knows: the database was restored from a backup (a serial regression), or a server
// was killed between writing a state and acknowledging it. What is found goes into
// its instance's recovery slot, since the infrastructure that it describes exists
// (invariant I3); hold is called in the same transaction. Instances that a run works
// on just now are left for later: its engine may still send the state again.
//
// It reads the list of all blobs, and is for the start of a server and for recovery.
func (s *Service) AdoptNewer(ctx context.Context, hold func(tx core.Tx, n Newer) error) ([]Newer, error) {
	orphans, err := s.orphans(ctx)
	if err != nil {
		return nil, err
	}
	var found []Newer
	for _, o := range orphans {
		n, err := s.adopt(ctx, o, hold)
		if err != nil {
			return found, err
		}
		if n != nil {
			found = append(found, *n)
		}
	}
	return found, nil
}

// adoptLost puts into the recovery slot what a lost run wrote to storage and no row
// names: its server was killed in the write, together with the engine that would have
// sent it again.
func (s *Service) adoptLost(ctx context.Context, lost core.Run) error {
	orphans, err := s.orphans(ctx)
	if err != nil {
		return err
	}
	for _, o := range orphans {
		if o.Project != lost.Project || o.Stack != lost.Stack || o.Environment != lost.Environment || o.Written.Before(lost.Started.Truncate(time.Millisecond)) {
			continue
		}
		o.run = lost.ID
		if _, err := s.adopt(ctx, o, nil); err != nil {
			return err
		}
	}
	return nil
}

// orphans lists the states in storage that no row names, with their instances.
func (s *Service) orphans(ctx context.Context) ([]Newer, error) {
	blobs, err := s.blobs.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []Newer
	err = s.store.View(ctx, func(tx core.Tx) error {
		named, err := tx.BlobKeys()
		if err != nil {
			return err
		}
		rows := map[string]bool{}
		for _, key := range named {
			rows[key] = true
		}
		var instances map[string]Newer
		moves := map[string][]core.Move{} // by project
		for _, stored := range blobs {
			key := stored.Key
			name, isState := strings.CutPrefix(key, blobPrefix)
			id, instance, ok := strings.Cut(name, ".")
			written, dated := core.IDTime(id)
			if !isState || !ok || !dated || rows[key] {
				continue
			}
			if instances == nil { // rarely needed
				if instances, err = everyInstance(tx, moves); err != nil {
					return err
				}
			}
			n := instances[instance]
			n.Blob, n.Written = key, written
			all = append(all, n.renamed(moves[n.Project]))
		}
		return nil
	})
	return all, err
}

// renamed gives a state that was written before its instance got another name to that one.
func (n Newer) renamed(moves []core.Move) Newer {
	for _, m := range moves { // oldest first
		if m.Environment == n.Environment && m.From == n.Stack && n.Written.Before(m.At) {
			n.Stack = m.To
		}
	}
	return n
}

// everyInstance maps the keys of all instances that could exist to their names: of
// every stack and environment that a project ever had. It notes the projects' moves.
func everyInstance(tx core.Tx, moves map[string][]core.Move) (map[string]Newer, error) {
	all := map[string]Newer{}
	projects, err := tx.Projects()
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		stacks, environments := map[string]bool{}, map[string]bool{}
		known, err := tx.Instances(p.Name)
		if err != nil {
			return nil, err
		}
		for _, i := range known {
			stacks[i.Stack], environments[i.Environment] = true, true
		}
		if moves[p.Name], err = tx.Moves(p.Name); err != nil {
			return nil, err
		}
		for _, m := range moves[p.Name] {
			stacks[m.From], environments[m.Environment] = true, true
		}
		states, err := tx.CurrentStates(p.Name)
		if err != nil {
			return nil, err
		}
		for _, v := range states {
			stacks[v.Stack], environments[v.Environment] = true, true
		}
		seen, err := tx.Environments(p.Name)
		if err != nil {
			return nil, err
		}
		for _, e := range seen {
			environments[e.Name] = true
		}
		for stack := range stacks {
			for environment := range environments {
				all[instanceKey(p.Name, stack, environment)] = Newer{Project: p.Name, Stack: stack, Environment: environment}
			}
		}
	}
	return all, nil
}

// adopt puts one orphan into the recovery slot when it is newer than the database. It
// is stored once more for that: an orphan's own blob may be collected at any moment.
func (s *Service) adopt(ctx context.Context, n Newer, hold func(core.Tx, Newer) error) (*Newer, error) {
	if n.Project == "" {
		return nil, nil
	}
	var f file
	blob, newer, adopted := "", false, false
	err := s.store.View(ctx, func(tx core.Tx) (err error) {
		newer, err = s.mayBeNewer(tx, &n)
		return err
	})
	if err == nil && newer {
		if blob, f, err = s.copyOrphan(ctx, n); err == nil && blob != "" {
			err = s.store.Update(ctx, func(tx core.Tx) error {
				adopted, err = s.addNewer(tx, &n, f, blob, hold)
				return err
			})
		}
	}
	if code := core.CodeOf(err); code == core.Invalid || code == core.NotFound || code == core.Internal {
		return nil, nil //nolint:nilerr // half a blob, of a write that was never acknowledged: "terrace admin check" names it
	}
	if err != nil || !adopted {
		return nil, err // the copy, if there is one, is collected
	}
	return &n, nil
}

// copyOrphan stores an orphan under a new key, "" when the rows say that it is not newer.
func (s *Service) copyOrphan(ctx context.Context, n Newer) (blob string, f file, err error) {
	content, err := s.content(ctx, n.Blob)
	if err != nil {
		return "", f, err
	}
	if f, err = s.parse(content); err != nil {
		return "", f, err
	}
	newer := false
	if err := s.store.View(ctx, func(tx core.Tx) (err error) {
		newer, err = s.isNewer(tx, &n, f)
		return err
	}); err != nil || !newer {
		return "", f, err
	}
	blob, err = s.putBlob(ctx, n.Project, n.Stack, n.Environment, content)
	return blob, f, err
}

// isNewer tells whether a state is newer than what the database knows, which it notes.
func (s *Service) isNewer(tx core.Tx, n *Newer, f file) (bool, error) {
	n.Serial, n.Known = *f.Serial, -1
	kept, err := tx.Recovereds(n.Project, n.Stack, n.Environment)
	if err != nil {
		return false, err
	}
	for _, r := range kept {
		if r.MD5 == f.md5 && r.Size == f.size && r.Serial == n.Serial {
			return false, nil // the same write, kept aside before
		}
	}
	versions, err := tx.StateVersions(n.Project, n.Stack, n.Environment, 0)
	if err != nil {
		return false, err
	}
	lineage := false
	for _, v := range versions {
		if v.Lineage == f.Lineage {
			lineage = true
			n.Known = max(n.Known, v.Serial)
		}
	}
	switch {
	case lineage && n.Serial <= n.Known:
		return false, nil // a write that was repeated, refused or dropped
	case !lineage && len(versions) > 0 && !n.Written.After(versions[0].Created):
		return false, nil // of something that was deleted since
	}
	return true, nil
}

// addNewer puts the copy of an orphan into the recovery slot, unless it is not newer any more.
func (s *Service) addNewer(tx core.Tx, n *Newer, f file, blob string, hold func(core.Tx, Newer) error) (bool, error) {
	for _, check := range []func() (bool, error){
		func() (bool, error) { return s.mayBeNewer(tx, n) },
		func() (bool, error) { return s.isNewer(tx, n, f) },
	} {
		if newer, err := check(); err != nil || !newer {
			return false, err
		}
	}
	if err := inTime(tx, blob); err != nil {
		return false, err
	}
	reason := "it was found in storage and the database does not know it: the database was restored from a backup, or the server was killed before it acknowledged the write"
	var err error
	n.Entry, err = tx.AddRecovered(core.Recovered{Project: n.Project, Stack: n.Stack, Environment: n.Environment, Serial: n.Serial, Lineage: f.Lineage,
		MD5: f.md5, Size: f.size, Blob: blob, Run: n.run, By: "server", Reason: reason, Created: tx.Now()})
	if err != nil {
		return false, err
	}
	if err := tx.AddEvent(core.Event{By: "server", Kind: "state.newer_in_storage", Project: n.Project, On: core.InstanceName(n.Stack, n.Environment),
		Data: map[string]string{"entry": itoa(n.Entry), "serial": itoa(n.Serial), "known": itoa(n.Known)}}); err != nil || hold == nil {
		return true, err
	}
	return true, hold(tx, *n)
}

// mayBeNewer tells by the rows alone whether an orphan is worth opening.
func (s *Service) mayBeNewer(tx core.Tx, n *Newer) (bool, error) {
	project, err := tx.Project(n.Project)
	if core.CodeOf(err) == core.NotFound {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if n.Written.Before(project.Created.Truncate(time.Millisecond)) {
		return false, nil // of an earlier project of the same name
	}
	runs, err := tx.Runs(core.RunFilter{Project: n.Project, Environment: n.Environment, Stack: n.Stack,
		Statuses: []core.RunStatus{core.RunApplying}, Limit: 1})
	return len(runs) == 0, err
}

// HoldNewer holds the environment of a state that the database does not know: what a
// run would plan there now would begin from an older truth.
func HoldNewer(tx core.Tx, n Newer) error {
	name := core.InstanceName(n.Stack, n.Environment)
	e, err := tx.Environment(n.Project, n.Environment)
	if err != nil {
		return err
	}
	if e.Hold != nil && e.Hold.Kind == core.HoldPerson {
		return nil
	}
	known := "knows none"
	if n.Known >= 0 {
		known = "ends with serial " + itoa(n.Known)
	}
	e.Hold = &core.Hold{Kind: core.HoldPerson, By: "server", Since: tx.Now(),
		Reason: "the state of " + name + " in storage has serial " + itoa(n.Serial) + " and the database " + known +
			": it was restored from a backup, or the server died in a write. Look at it (terrace state recovered " + name +
			"), use it if it is the right one, then: terrace unhold " + n.Environment}
	if err := tx.PutEnvironment(e); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: "server", Kind: "environment.held", Project: n.Project, On: n.Environment,
		Data: map[string]string{"kind": string(core.HoldPerson), "reason": "serial regression of " + name}})
}
