package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func runs(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	v := run("r-1", "web", "dev", release("shop", 1))
	v.Stage, v.Rollout, v.InputDigest, v.Components = "st-1", "ro-1", "d1", map[string]string{"tree": "t", "variables": "v"}
	v.NotBefore = at.Add(time.Second)
	update(t, s, func(tx core.Tx) error { return tx.AddRun(v) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddRun(v) })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.AddRun(run("r-2", "web", "dev", core.Release{Project: "nowhere", Number: 1, Commit: "c"}))
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Run("r-x"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.UpdateRun(run("r-x", "a", "b", v.Release), core.RunQueued) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Run("r-1")
		equal(t, "a new run", got, v)
		return err
	})

	v.Status, v.Attempt, v.Fence, v.InputDigest, v.Components, v.ProvisionDigest = core.RunUnknown, 2, 17, "d2", nil, "p"
	v.Changes = core.Changes{Create: 1, Update: 2, Replace: 3, Delete: 4}
	v.HasPlan, v.NoChanges, v.Applied, v.PlanDigest, v.Refuted = true, true, true, "pd", true
	v.PlanState, v.Guardrails = core.StateRef{Lineage: "l", Serial: 3}, "g"
	v.Error = &core.RunError{Code: "unknown", Message: "nobody saw the end"}
	v.Cancel, v.CancelBy = true, "user:ana"
	v.Started, v.Finished, v.Heartbeat, v.PhaseAt = at, at.Add(1), at.Add(2*time.Second), at.Add(3*time.Second)
	v.Finished = v.Finished.Truncate(time.Microsecond)
	v.PID, v.PIDStart, v.Host, v.NotBefore = 4711, "99", "one/id/boot/pid:[1]", time.Time{}
	update(t, s, func(tx core.Tx) error { return tx.UpdateRun(v, core.RunQueued) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Run("r-1")
		equal(t, "a changed run", got, v)
		return err
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.UpdateRun(v, core.RunQueued) })

	// A commit that is no release of the project.
	preview := run("r-3", "web", "dev", core.Release{Project: "shop", Number: 9, Commit: "branch"})
	preview.Kind = core.KindPreview
	update(t, s, func(tx core.Tx) error { return tx.AddRun(preview) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Run("r-3")
		equal(t, "a preview", got, preview)
		return err
	})
}

func runFilters(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	seed(t, s, "blog", 1)
	add := func(id, project, stack, environment, rollout, stage string, status core.RunStatus) {
		v := run(id, stack, environment, release(project, 1))
		v.Rollout, v.Stage, v.Status = rollout, stage, status
		update(t, s, func(tx core.Tx) error { return tx.AddRun(v) })
	}
	add("r-1", "shop", "web", "dev", "ro-1", "st-1", core.RunSucceeded)
	add("r-2", "shop", "db", "dev", "ro-1", "st-1", core.RunQueued)
	add("r-3", "shop", "web", "production", "ro-1", "st-2", core.RunApplying)
	add("r-4", "shop", "web", "dev", "ro-2", "st-3", core.RunFailed)
	add("r-5", "blog", "web", "dev", "ro-3", "st-4", core.RunQueued)
	add("r-0", "shop", "web", "dev", "", "", core.RunCancelled) // newest, whatever its name
	for _, c := range []struct {
		filter core.RunFilter
		want   string
	}{
		{core.RunFilter{}, "[r-0 r-5 r-4 r-3 r-2 r-1]"},
		{core.RunFilter{Limit: 2}, "[r-0 r-5]"},
		{core.RunFilter{Project: "shop"}, "[r-0 r-4 r-3 r-2 r-1]"},
		{core.RunFilter{Project: "shop", Environment: "dev", Stack: "web"}, "[r-0 r-4 r-1]"},
		{core.RunFilter{Rollout: "ro-1"}, "[r-3 r-2 r-1]"},
		{core.RunFilter{Stage: "st-1"}, "[r-2 r-1]"},
		{core.RunFilter{Statuses: []core.RunStatus{core.RunQueued, core.RunApplying}}, "[r-5 r-3 r-2]"},
		{core.RunFilter{Project: "shop", Statuses: []core.RunStatus{core.RunQueued}, Limit: 9}, "[r-2]"},
		{core.RunFilter{Project: "nowhere"}, "[]"},
	} {
		view(t, s, func(tx core.Tx) error {
			got, err := tx.Runs(c.filter)
			ids := []string{}
			for _, v := range got {
				ids = append(ids, v.ID)
			}
			equal(t, fmt.Sprintf("%+v", c.filter), fmt.Sprint(ids), c.want)
			return err
		})
	}
}

// oneWriter: at most one run that may change an instance is under way.
func oneWriter(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	first := run("r-1", "web", "dev", release("shop", 1))
	update(t, s, func(tx core.Tx) error { return tx.AddRun(first) })
	n := 1
	for _, status := range core.RunStatuses() {
		update(t, s, func(tx core.Tx) error {
			from := first.Status
			first.Status = status
			return tx.UpdateRun(first, from)
		})
		for _, kind := range []core.RunKind{core.KindDeploy, core.KindDestroy, core.KindRecover} {
			n++
			second := run(fmt.Sprintf("r-%d", n), "web", "dev", release("shop", 1))
			second.Kind = kind
			err := s.Update(t.Context(), func(tx core.Tx) error {
				if err := tx.AddRun(second); err != nil {
					return err
				}
				second.Status = core.RunErrored
				return tx.UpdateRun(second, core.RunQueued)
			})
			if got := core.CodeOf(err) == core.Conflict; got == status.Terminal() {
				t.Errorf("a %s run beside one that is %s: %v", kind, status, err)
			}
		}
	}
	update(t, s, func(tx core.Tx) error {
		for i, v := range []core.Run{run("a", "web", "production", release("shop", 1)), run("b", "db", "dev", release("shop", 1)), run("c", "web", "dev", release("shop", 1))} {
			if i == 2 {
				v.Kind = core.KindVerify
			}
			if err := tx.AddRun(v); err != nil {
				return err
			}
		}
		return nil
	})
}

func heartbeats(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	v := run("r-1", "web", "dev", release("shop", 1))
	v.Status, v.Fence = core.RunApplying, 5
	update(t, s, func(tx core.Tx) error { return tx.AddRun(v) })
	update(t, s, func(tx core.Tx) error {
		got, err := tx.Heartbeat("r-1", 5)
		v.Heartbeat = tx.Now()
		equal(t, "the run of a heartbeat", got, v)
		return err
	})
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Run("r-1")
		equal(t, "the stored run", got, v)
		return err
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { _, err := tx.Heartbeat("r-1", 4); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Heartbeat("r-2", 5); return err })
	v.Status = core.RunSucceeded
	update(t, s, func(tx core.Tx) error { return tx.UpdateRun(v, core.RunApplying) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { _, err := tx.Heartbeat("r-1", 5); return err })
}

func runDocs(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	update(t, s, func(tx core.Tx) error {
		if err := tx.AddRun(run("r-1", "web", "dev", release("shop", 1))); err != nil {
			return err
		}
		if err := tx.PutRunDoc("r-1", "plan", []byte("one")); err != nil {
			return err
		}
		return tx.PutRunDoc("r-1", "plan", []byte{0, 255, 1})
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.PutRunDoc("r-x", "plan", []byte("x")) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.RunDoc("r-1", "recap"); return err })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.RunDoc("r-1", "plan")
		equal(t, "a replaced document", got, []byte{0, 255, 1})
		return err
	})
}

func logs(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	update(t, s, func(tx core.Tx) error { return tx.AddRun(run("r-1", "web", "dev", release("shop", 1))) })
	var want []core.LogChunk
	for i := int64(1); i <= 3; i++ {
		c := core.LogChunk{Run: "r-1", Seq: i, Offset: (i - 1) * 6, Phase: "plan", Text: fmt.Sprintf("line%d\n", i), At: at}
		update(t, s, func(tx core.Tx) error { return tx.AddLog(c) })
		want = append(want, c)
	}
	update(t, s, func(tx core.Tx) error { return tx.AddLog(want[1]) }) // said again
	other := want[1]
	other.Text = "different"
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddLog(other) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddLog(core.LogChunk{Run: "r-1", Seq: 5}) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddLog(core.LogChunk{Run: "r-1", Seq: 0}) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.AddLog(core.LogChunk{Run: "r-x", Seq: 1}) })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.LogChunks("r-1", 0, 0)
		if err != nil {
			return err
		}
		equal(t, "the log", all, want)
		some, err := tx.LogChunks("r-1", 1, 1)
		equal(t, "a part of the log", some, want[1:2])
		if err != nil {
			return err
		}
		seq, bytes, err := tx.LogEnd("r-1")
		equal(t, "the log's end", []int64{seq, bytes}, []int64{int64(len(want)), int64(len(want) * 6)})
		return err
	})
}

func logRetention(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	for i := range 4 {
		v := run(fmt.Sprintf("r-%d", i), "web", "dev", release("shop", 1))
		if v.Status = core.RunSucceeded; i == 0 {
			v.Status = core.RunVerifying // the oldest, and not over
			v.Kind = core.KindVerify
		} else {
			v.Finished = at.Add(-time.Duration(i) * time.Hour) // r-3 ended first
		}
		update(t, s, func(tx core.Tx) error {
			if err := tx.AddRun(v); err != nil {
				return err
			}
			return tx.AddLog(core.LogChunk{Run: v.ID, Seq: 1, Text: "0123456789"})
		})
	}
	prune := func(maxBytes int64, want int, left string) {
		t.Helper()
		update(t, s, func(tx core.Tx) error {
			n, err := tx.PruneLogs(maxBytes)
			equal(t, "dropped", n, want)
			return err
		})
		view(t, s, func(tx core.Tx) error {
			var ids string
			for i := range 4 {
				chunks, err := tx.LogChunks(fmt.Sprintf("r-%d", i), 0, 0)
				if err != nil {
					return err
				}
				if len(chunks) > 0 {
					ids += fmt.Sprint(i)
				}
			}
			equal(t, "logs left", ids, left)
			return nil
		})
	}
	prune(40, 0, "0123")
	prune(39, 1, "012")
	prune(0, 2, "0")
	update(t, s, func(tx core.Tx) error { return tx.AddLog(core.LogChunk{Run: "r-1", Seq: 1, Text: "0123456789"}) })
	prune(0, 0, "0")
}

func tokens(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	admin := core.Token{ID: "tok-1", Hash: "h1", Kind: core.TokenPerson, Name: "ana's laptop", User: "ana", Role: core.RoleOperator, Project: "shop", Environment: "dev", Parent: "tok-0", Created: at, Expires: at.Add(time.Hour)}
	runner := core.Token{ID: "tok-2", Hash: "h2", Kind: core.TokenRun, Name: "r-1", Run: "r-1", Fence: 3, Created: at}
	update(t, s, func(tx core.Tx) error {
		if err := tx.AddRun(run("r-1", "web", "dev", release("shop", 1))); err != nil {
			return err
		}
		if err := tx.AddToken(admin); err != nil {
			return err
		}
		return tx.AddToken(runner)
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error {
		return tx.AddToken(core.Token{ID: "tok-3", Hash: "h1", Kind: core.TokenPerson})
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.AddToken(core.Token{ID: "tok-3", Hash: "h3", Kind: core.TokenRun, Run: "r-x"})
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.TokenByHash("h9"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.RevokeToken("tok-9") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Tokens()
		equal(t, "tokens", all, []core.Token{admin, runner})
		return err
	})
	update(t, s, func(tx core.Tx) error {
		if err := tx.RevokeRunTokens("r-1"); err != nil {
			return err
		}
		return tx.RevokeRunTokens("r-without-tokens")
	})
	runner.Revoked = true
	view(t, s, func(tx core.Tx) error {
		got, err := tx.TokenByHash("h2")
		equal(t, "a revoked token is still found", got, runner)
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.RevokeToken("tok-1") })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.TokenByHash("h1")
		equal(t, "revoked", got.Revoked, true)
		return err
	})
}

func events(t *testing.T, s core.Store) {
	add := func(kind, project string, data map[string]string) {
		update(t, s, func(tx core.Tx) error {
			return tx.AddEvent(core.Event{By: "user:ana", Kind: kind, Project: project, On: "web@dev", Data: data,
				Seq: 99, At: at, Prev: "made up", Hash: "made up"})
		})
	}
	view(t, s, func(tx core.Tx) error {
		last, err := tx.LastEvent()
		equal(t, "the last event of an empty log", last, int64(0))
		return err
	})
	add("a", "shop", map[string]string{"b": "2", "a": "1"})
	add("b", "blog", nil)
	add("c", "shop", map[string]string{"text": "\"quoted\" <ü>"})
	refused(t, s, core.NotFound, func(tx core.Tx) error { // a number given in a transaction that fails is given again
		if err := tx.AddEvent(core.Event{Kind: "lost"}); err != nil {
			return err
		}
		_, err := tx.Project("nowhere")
		return err
	})
	add("d", "", nil)
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Events("", 0, 0)
		if err != nil {
			return err
		}
		equal(t, "number of events", len(all), 4)
		prev := ""
		for i, e := range all {
			if e.Seq != int64(i+1) || e.Prev != prev || len(e.Hash) != 64 || e.At.IsZero() || e.At.Equal(at) {
				t.Errorf("event %d does not continue the chain: %+v", i, e)
			}
			prev = e.Hash
		}
		equal(t, "data", all[2].Data, map[string]string{"text": "\"quoted\" <ü>"})
		shop, err := tx.Events("shop", 0, 0)
		if err != nil {
			return err
		}
		equal(t, "events of a project", shop, []core.Event{all[0], all[2]})
		after, err := tx.Events("", 1, 2)
		if err != nil {
			return err
		}
		equal(t, "events after the first", after, all[1:3])
		last, err := tx.LastEvent()
		equal(t, "the last event", last, int64(4))
		return err
	})
}
