package storetest

import (
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func projects(t *testing.T, s core.Store) {
	shop, blog := project("shop"), project("blog")
	update(t, s, func(tx core.Tx) error {
		if err := tx.AddProject(shop); err != nil {
			return err
		}
		return tx.AddProject(blog)
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddProject(project("shop")) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.UpdateProject(project("nowhere")) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.RemoveProject("nowhere") })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Project("nowhere"); return err })

	changed := shop
	changed.Repo, changed.Branch, changed.Path = "git@git.example:shop", "trunk", "infra"
	changed.Head, changed.Checked, changed.CheckError = "abc", at, "no route"
	changed.Stopped, changed.StoppedHead, changed.Acknowledged, changed.WebhookToken = "rewritten", "def", 7, "sealed"
	changed.Sandbox = &core.Sandbox{Of: "blog", Name: "try", Base: "dev", Owner: "user:ana", Stacks: []string{"web"}, Expires: at, Ending: at, EndedBy: "server", Why: "over", Tries: 2, Retry: at, Warned: true}
	changed.Forge = &core.Forge{Kind: "gitea", URL: "https://git.example.com", Repo: "team/shop", Login: "00", Trouble: "it was away", Quiet: at}
	update(t, s, func(tx core.Tx) error { return tx.UpdateProject(changed) })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Projects()
		equal(t, "projects by name", all, []core.Project{blog, changed})
		return err
	})
}

// renumbered: a release gets another number, and is the newest by it.
func renumbered(t *testing.T, s core.Store) {
	seed(t, s, "shop", 2)
	update(t, s, func(tx core.Tx) error { return tx.RenumberRelease("shop", release("shop", 1).Commit, 3) })
	view(t, s, func(tx core.Tx) error {
		newest, err := tx.LatestRelease("shop")
		if err == nil && (newest.Number != 3 || newest.Commit != release("shop", 1).Commit) {
			t.Errorf("the newest is %+v", newest)
		}
		return err
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.RenumberRelease("shop", "nothing", 4) })
}

func removal(t *testing.T, s core.Store) {
	for _, p := range []string{"shop", "blog"} {
		seed(t, s, p, 1)
		update(t, s, func(tx core.Tx) error {
			if err := tx.AddRollout(rollout("ro-"+p, release(p, 1), "dev")); err != nil {
				return err
			}
			if err := tx.AddRun(run("r-"+p, "web", "dev", release(p, 1))); err != nil {
				return err
			}
			if err := tx.PutRunDoc("r-"+p, "plan", []byte("sealed")); err != nil {
				return err
			}
			if err := tx.AddLog(core.LogChunk{Run: "r-" + p, Seq: 1, Text: "hello"}); err != nil {
				return err
			}
			if err := tx.PutEnvironment(core.EnvironmentState{Project: p, Name: "dev"}); err != nil {
				return err
			}
			if err := tx.PutInstance(core.InstanceState{Project: p, Stack: "web", Environment: "dev"}); err != nil {
				return err
			}
			if _, err := tx.AddStateVersion(version(p, "web", "dev", 1)); err != nil {
				return err
			}
			if _, err := tx.AddRecovered(core.Recovered{Project: p, Stack: "web", Environment: "dev", Blob: "recovered-" + p}); err != nil {
				return err
			}
			if err := tx.PutLock(core.StateLock{Project: p, Stack: "web", Environment: "dev", ID: "x", Fence: 1}); err != nil {
				return err
			}
			if err := tx.AddToken(core.Token{ID: "tok-" + p, Hash: p, Kind: core.TokenRun, Run: "r-" + p}); err != nil {
				return err
			}
			if err := tx.PutSecret(p, "dev", "KEY", []byte("sealed")); err != nil {
				return err
			}
			return tx.AddEvent(core.Event{By: "server", Kind: "test", Project: p})
		})
	}
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		for what, get := range map[string]func(p string) error{
			"project":  func(p string) error { _, err := tx.Project(p); return err },
			"release":  func(p string) error { _, err := tx.LatestRelease(p); return err },
			"rollout":  func(p string) error { _, err := tx.Rollout("ro-" + p); return err },
			"stage":    func(p string) error { _, err := tx.Stage("ro-" + p + "-dev"); return err },
			"run":      func(p string) error { _, err := tx.Run("r-" + p); return err },
			"document": func(p string) error { _, err := tx.RunDoc("r-"+p, "plan"); return err },
			"state":    func(p string) error { _, err := tx.CurrentState(p, "web", "dev"); return err },
			"lock":     func(p string) error { _, err := tx.Lock(p, "web", "dev"); return err },
			"token":    func(p string) error { _, err := tx.TokenByHash(p); return err },
			"secret":   func(p string) error { _, err := tx.Secret(p, "dev", "KEY"); return err },
		} {
			if err := get("shop"); core.CodeOf(err) != core.NotFound {
				t.Errorf("the %s of a removed project: got %v, want not found", what, err)
			}
			if err := get("blog"); err != nil {
				t.Errorf("the %s of another project: %v", what, err)
			}
		}
		for what, count := range map[string]func(p string) (int, error){
			"log":          func(p string) (int, error) { l, err := tx.LogChunks("r-"+p, 0, 0); return len(l), err },
			"environments": func(p string) (int, error) { l, err := tx.Environments(p); return len(l), err },
			"instances":    func(p string) (int, error) { l, err := tx.Instances(p); return len(l), err },
			"recovered":    func(p string) (int, error) { l, err := tx.Recovereds(p, "web", "dev"); return len(l), err },
		} {
			for p, want := range map[string]int{"shop": 0, "blog": 1} {
				if n, err := count(p); err != nil || n != want {
					t.Errorf("%s of %s: got %d, %v; want %d", what, p, n, err, want)
				}
			}
		}
		events, err := tx.Events("shop", 0, 0)
		equal(t, "events of a removed project", len(events), 1)
		if err != nil {
			return err
		}
		keys, err := tx.BlobKeys()
		equal(t, "blobs", keys, []string{"recovered-blog", version("blog", "web", "dev", 1).Blob})
		return err
	})
}

func secrets(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	put := func(environment, name, value string) {
		update(t, s, func(tx core.Tx) error { return tx.PutSecret("shop", environment, name, []byte(value)) })
	}
	put("dev", "B", "one")
	put("dev", "A", "two")
	put("production", "B", "three")
	put("dev", "B", "four")
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.DeleteSecret("shop", "dev", "C") })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Secret("shop", "staging", "A"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.PutSecret("nowhere", "dev", "A", []byte("x")) })
	view(t, s, func(tx core.Tx) error {
		names, err := tx.SecretNames("shop", "dev")
		equal(t, "names", names, []string{"A", "B"})
		if err != nil {
			return err
		}
		b, err := tx.Secret("shop", "dev", "B")
		equal(t, "a replaced secret", string(b), "four")
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.DeleteSecret("shop", "dev", "B") })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Secret("shop", "dev", "B"); return err })
}

func releases(t *testing.T, s core.Store) {
	seed(t, s, "shop", 3)
	seed(t, s, "blog", 0)
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.LatestRelease("blog"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.AddRelease(release("nowhere", 1)) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.SetReleaseInvalid("shop", "beef", "x") })
	again := release("shop", 2)
	again.Number = 9
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddRelease(again) })
	renumbered := release("shop", 4)
	renumbered.Number = 3
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddRelease(renumbered) })

	second := release("shop", 2)
	second.Invalid = "terrace.hcl:1: no"
	update(t, s, func(tx core.Tx) error {
		// The same commit may be a release of another project.
		if err := tx.AddRelease(core.Release{Project: "blog", Number: 1, Commit: second.Commit, Barrier: true}); err != nil {
			return err
		}
		return tx.SetReleaseInvalid("shop", second.Commit, second.Invalid)
	})
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Releases("shop", 0)
		if err != nil {
			return err
		}
		equal(t, "releases", all, []core.Release{release("shop", 3), second, release("shop", 1)})
		two, err := tx.Releases("shop", 2)
		if err != nil {
			return err
		}
		equal(t, "two releases", two, all[:2])
		latest, err := tx.LatestRelease("shop")
		if err != nil {
			return err
		}
		equal(t, "latest", latest, all[0])
		r, err := tx.Release("blog", second.Commit)
		equal(t, "barrier", r.Barrier, true)
		return err
	})
}

func findingReleases(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	commits := []string{"abcd000000000000000000000000000000000001", "abce000000000000000000000000000000000002", "1234000000000000000000000000000000000003"}
	update(t, s, func(tx core.Tx) error {
		for i, c := range commits {
			if err := tx.AddRelease(core.Release{Project: "shop", Number: int64(i + 1), Commit: c}); err != nil {
				return err
			}
		}
		return tx.AddRelease(core.Release{Project: "shop", Number: 4321, Commit: "ffff000000000000000000000000000000000004"})
	})
	for _, c := range []struct {
		ref  string
		want int64
		code core.Code
	}{
		{"1", 1, ""}, {"4321", 4321, ""}, {"abcd", 1, ""}, {"ABCE00", 2, ""}, {commits[1], 2, ""}, {"1234", 3, ""}, {"ffff", 4321, ""},
		{"99", 0, core.NotFound}, {"9999", 0, core.NotFound}, {"beef", 0, core.NotFound}, {"abc", 0, core.Invalid}, {"main", 0, core.Invalid},
		{"", 0, core.Invalid}, {"abc%", 0, core.Invalid}, {"abc_", 0, core.Invalid}, {"-1", 0, core.NotFound}, {"99999999999999999999999", 0, core.NotFound},
	} {
		view(t, s, func(tx core.Tx) error {
			r, err := tx.FindRelease("shop", c.ref)
			if core.CodeOf(err) != c.code || r.Number != c.want {
				t.Errorf("FindRelease(%q) = %d, %v; want %d, %q", c.ref, r.Number, err, c.want, c.code)
			}
			return nil
		})
	}
	update(t, s, func(tx core.Tx) error {
		return tx.AddRelease(core.Release{Project: "shop", Number: 5, Commit: "abcd100000000000000000000000000000000005"})
	})
	refused(t, s, core.Invalid, func(tx core.Tx) error { _, err := tx.FindRelease("shop", "abcd"); return err })
}
