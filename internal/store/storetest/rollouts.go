package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func rollouts(t *testing.T, s core.Store) {
	seed(t, s, "shop", 3)
	var want []core.Rollout
	for i := int64(1); i <= 3; i++ {
		v := rollout(fmt.Sprintf("ro-%d", i), release("shop", i), "dev", "staging", "production")
		v.Manual, v.AllHosts = i == 2, i == 2
		switch i {
		case 2:
			v.Kind, v.Repairs = core.RolloutRepair, []string{"db", "web"}
		case 3:
			v.Kind, v.From, v.Reason = core.RolloutRollback, 4, "web is slow"
		}
		update(t, s, func(tx core.Tx) error { return tx.AddRollout(v) })
		want = append([]core.Rollout{v}, want...)
	}
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddRollout(want[0]) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.AddRollout(rollout("ro-x", release("shop", 9))) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Rollout("ro-x"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.SetRollout("ro-x", core.RolloutRunning, core.RolloutFailed) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.SetRolloutCancel("ro-x") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Rollouts("shop", false, 0)
		if err != nil {
			return err
		}
		equal(t, "rollouts", all, want)
		one, err := tx.Rollout("ro-2")
		equal(t, "one rollout", one, want[1])
		return err
	})

	var now time.Time
	update(t, s, func(tx core.Tx) error {
		now = tx.Now()
		if err := tx.SetRolloutCancel("ro-2"); err != nil {
			return err
		}
		if err := tx.SetRollout("ro-1", core.RolloutRunning, core.RolloutUnknown); err != nil {
			return err
		}
		return tx.SetRollout("ro-2", core.RolloutRunning, core.RolloutCancelled)
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.SetRollout("ro-2", core.RolloutRunning, core.RolloutFailed) })
	want[1].Status, want[1].Cancel, want[1].Finished = core.RolloutCancelled, true, now
	want[2].Status = core.RolloutUnknown
	view(t, s, func(tx core.Tx) error {
		open, err := tx.Rollouts("shop", true, 0)
		if err != nil {
			return err
		}
		equal(t, "open rollouts", open, []core.Rollout{want[0], want[2]})
		two, err := tx.Rollouts("shop", false, 2)
		equal(t, "two rollouts", two, want[:2])
		return err
	})
}

func stages(t *testing.T, s core.Store) {
	seed(t, s, "shop", 2)
	update(t, s, func(tx core.Tx) error {
		if err := tx.AddRollout(rollout("ro-1", release("shop", 1), "dev", "production")); err != nil {
			return err
		}
		return tx.AddRollout(rollout("ro-2", release("shop", 2), "dev", "production"))
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Stage("st-x"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.UpdateStage(core.Stage{ID: "st-x", Status: core.StageRunning}, core.StageWaiting)
	})

	var first core.Stage
	update(t, s, func(tx core.Tx) (err error) {
		if first, err = tx.Stage("ro-1-dev"); err != nil {
			return err
		}
		first.Status, first.WaitsFor, first.Fence, first.Started, first.Baked, first.Withdrawn = core.StageRunning, "a run", 7, at, 90*time.Second+1, true
		first.Waits = []core.Wait{
			{Gate: core.GateHold, On: "dev", What: "a hold on dev: \"é\"", Since: at, OpensBy: "terrace unhold dev", ForPerson: true, Who: []string{"group:platform"}},
			{Gate: core.GateWindow, On: "dev", What: "the window", Since: at, Until: at.Add(time.Hour)}}
		first.Skips = []core.Skip{{Gates: []core.Gate{core.GateHold, core.GateBake}, By: "user:ana", Reason: "it burns", At: at, Second: "user:ben", SecondReason: "so it does", SecondAt: at}}
		return tx.UpdateStage(first, core.StageWaiting)
	})
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Stage("ro-1-dev")
		equal(t, "stage", got, first)
		return err
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.UpdateStage(first, core.StageWaiting) })

	// Rule 4: the second stage gets the lease only after the first gave it up.
	second := core.Stage{ID: "ro-2-dev", Environment: "dev", Status: core.StageRunning, Fence: 8}
	for _, holding := range []core.StageStatus{core.StageRunning, core.StageBaking, core.StageUnknown} {
		update(t, s, func(tx core.Tx) error {
			from := first.Status
			first.Status = holding
			return tx.UpdateStage(first, from)
		})
		refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.UpdateStage(second, core.StageWaiting) })
	}
	update(t, s, func(tx core.Tx) error {
		first.Status, first.Finished = core.StageFailed, at
		if err := tx.UpdateStage(first, core.StageUnknown); err != nil {
			return err
		}
		return tx.UpdateStage(second, core.StageWaiting)
	})
}

func environments(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	view(t, s, func(tx core.Tx) error {
		e, err := tx.Environment("shop", "dev")
		equal(t, "an environment never seen", e, core.EnvironmentState{Project: "shop", Name: "dev"})
		return err
	})
	dev := core.EnvironmentState{Project: "shop", Name: "dev", Fence: 5, Stage: "st-1", Entered: 4, Present: 2, Verified: 3, Undone: 1, Ahead: 4, AheadOf: []string{"staging", "load"},
		Hold: &core.Hold{Kind: core.HoldFailure, Reason: "web@dev failed", By: "server", Since: at, Release: 4}}
	update(t, s, func(tx core.Tx) error {
		if err := tx.PutEnvironment(core.EnvironmentState{Project: "shop", Name: "staging"}); err != nil {
			return err
		}
		return tx.PutEnvironment(dev)
	})
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Environments("shop")
		equal(t, "environments", all, []core.EnvironmentState{dev, {Project: "shop", Name: "staging"}})
		return err
	})
	dev.Hold, dev.Stage = nil, ""
	update(t, s, func(tx core.Tx) error { return tx.PutEnvironment(dev) })
	view(t, s, func(tx core.Tx) error {
		e, err := tx.Environment("shop", "dev")
		equal(t, "after lifting the hold", e, dev)
		return err
	})
	stale := dev
	stale.Fence = 4
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.PutEnvironment(stale) })
}

func verifications(t *testing.T, s core.Store) {
	seed(t, s, "shop", 3)
	var want []core.Verification // newest first
	for i, number := range []int64{1, 2, 3, 2} {
		v := core.Verification{Project: "shop", Environment: "dev", Release: release("shop", number), Rollout: fmt.Sprint("ro-", i), At: at.Add(time.Duration(i) * time.Second)}
		other := v
		other.Environment = "production"
		update(t, s, func(tx core.Tx) error { return errors.Join(tx.AddVerification(v), tx.AddVerification(other)) })
		want = append([]core.Verification{v}, want...)
	}
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.AddVerification(core.Verification{Project: "shop", Environment: "dev", Release: release("shop", 9), Rollout: "ro-9", At: at})
	})
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Verifications("shop", "dev", 0)
		equal(t, "verifications", all, want)
		two, twoErr := tx.Verifications("shop", "dev", 2)
		equal(t, "two verifications", two, want[:2])
		none, noneErr := tx.Verifications("shop", "staging", 0)
		equal(t, "verifications elsewhere", len(none), 0)
		return errors.Join(err, twoErr, noneErr)
	})
	for number, index := range map[int64]int{9: 0, 3: 0, 2: 3} {
		view(t, s, func(tx core.Tx) error {
			v, err := tx.VerifiedBefore("shop", "dev", number)
			equal(t, fmt.Sprint("verified before ", number), v, want[index])
			return err
		})
	}
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.VerifiedBefore("shop", "dev", 1); return err })
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Verifications("shop", "dev", 0)
		equal(t, "verifications of a removed project", len(all), 0)
		return err
	})
}

func instances(t *testing.T, s core.Store) {
	seed(t, s, "shop", 2)
	view(t, s, func(tx core.Tx) error {
		i, err := tx.Instance("shop", "web", "dev")
		equal(t, "an instance never seen", i, core.InstanceState{Project: "shop", Stack: "web", Environment: "dev"})
		return err
	})
	web := core.InstanceState{Project: "shop", Stack: "web", Environment: "dev", Digest: "d1", Components: map[string]string{"tree": "t1"}, Provision: "p1",
		Release: release("shop", 1), Since: at, Run: "r-1", RunStatus: core.RunUnknown, Unknown: "r-1", Applied: 1, Commit: release("shop", 1).Commit,
		Kept: map[string]string{`db.main["a"]`: "the rollback to release 1"}}
	bare := core.InstanceState{Project: "shop", Stack: "db", Environment: "production"}
	update(t, s, func(tx core.Tx) error {
		if err := tx.PutInstance(web); err != nil {
			return err
		}
		return tx.PutInstance(bare)
	})
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Instances("shop")
		equal(t, "instances", all, []core.InstanceState{web, bare})
		return err
	})

	// HasState follows the current state version.
	update(t, s, func(tx core.Tx) error {
		v := version("shop", "web", "dev", 1)
		v.Resources = 2
		_, err := tx.AddStateVersion(v)
		return err
	})
	web.HasState, web.Unknown, web.RunStatus, web.Digest = true, "", core.RunSucceeded, "d2"
	update(t, s, func(tx core.Tx) error { return tx.PutInstance(web) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Instance("shop", "web", "dev")
		equal(t, "a changed instance", got, web)
		return err
	})
	update(t, s, func(tx core.Tx) error {
		v := version("shop", "web", "dev", 2)
		v.Resources = 0
		_, err := tx.AddStateVersion(v)
		return err
	})
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Instance("shop", "web", "dev")
		equal(t, "an emptied instance has a state", got.HasState, false)
		return err
	})

	update(t, s, func(tx core.Tx) error {
		if err := tx.DeleteInstance("shop", "nothing", "dev"); err != nil {
			return err
		}
		return tx.DeleteInstance("shop", "db", "production")
	})
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Instances("shop")
		equal(t, "instances left", len(all), 1)
		return err
	})
}

// manyInstances advances more instances than one statement takes.
func manyInstances(t *testing.T, s core.Store) {
	const n = 500
	seed(t, s, "shop", 2)
	stacks := make([]string, n)
	update(t, s, func(tx core.Tx) error {
		for i := range stacks {
			stacks[i] = fmt.Sprintf("stack-%05d", i)
			if err := tx.PutInstance(core.InstanceState{Project: "shop", Stack: stacks[i], Environment: "dev", Release: release("shop", 1), Digest: "d"}); err != nil {
				return err
			}
		}
		return tx.PutInstance(core.InstanceState{Project: "shop", Stack: stacks[0], Environment: "production", Release: release("shop", 1)})
	})
	// What was applied stays what it is, unless that is newer: then it is the same.
	back, older := stacks[1], stacks[2]
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.PutInstance(core.InstanceState{Project: "shop", Stack: back, Environment: "dev", Release: release("shop", 3), Applied: 3, Commit: "c3"}),
			tx.PutInstance(core.InstanceState{Project: "shop", Stack: older, Environment: "dev", Release: release("shop", 1), Applied: 1, Commit: "c1"}))
	})
	var names []string
	for i := range 1_600 {
		names = append(names, fmt.Sprintf("never-seen-%d", i))
	}
	names = append(names, stacks[1:]...)
	update(t, s, func(tx core.Tx) error { return tx.AdvanceInstances("shop", "dev", names, release("shop", 2)) })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Instances("shop")
		equal(t, "number of instances", len(all), n+1)
		for _, i := range all {
			want := release("shop", 2)
			if i.Stack == stacks[0] {
				want = release("shop", 1)
			}
			if i.Release.Number != want.Number || i.Release.Commit != want.Commit || i.Release.Message != want.Message {
				t.Fatalf("%s@%s is at release %d", i.Stack, i.Environment, i.Release.Number)
			}
			switch i.Stack {
			case back:
				equal(t, "applied by a newer release", fmt.Sprint(i.Applied, i.Commit), fmt.Sprint(2, release("shop", 2).Commit))
			case older:
				equal(t, "applied by an older release", fmt.Sprint(i.Applied, i.Commit), "1c1")
			}
		}
		return err
	})
}
