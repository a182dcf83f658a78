package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func previews(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	seed(t, s, "blog", 0)
	pull := core.Pull{Project: "shop", Number: 7, Open: true, PullFacts: core.PullFacts{Title: "a <b> \x00 title", Branch: "try", Commit: "c1", Fork: true}}
	other := core.Pull{Project: "shop", Number: 3, PullFacts: core.PullFacts{Title: "closed"}}
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.PutPull(pull), tx.PutPull(other)) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.PutPull(core.Pull{Project: "nowhere", Number: 1}) })
	pull.Commit, pull.Allowed = "c2", "c2"
	update(t, s, func(tx core.Tx) error { return tx.PutPull(pull) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Pull("shop", 7)
		equal(t, "a pull request", got, pull)
		all, err2 := tx.Pulls("shop", false)
		equal(t, "pull requests", all, []core.Pull{other, pull})
		open, err3 := tx.Pulls("shop", true)
		equal(t, "open pull requests", open, []core.Pull{pull})
		return errors.Join(err, err2, err3)
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Pull("blog", 7); return err })

	first := core.Preview{ID: "pv-1", Project: "shop", Pull: 7, Status: core.PreviewRunning, Created: at, Tree: "t1",
		PreviewFacts: core.PreviewFacts{Branch: "try", Commit: "c2", Instances: []core.PreviewInstance{{Environment: "dev", Stack: "web", State: core.PreviewsRun, Run: "r-1"}},
			Gates: map[string][]string{"production": {"an approval"}}}}
	second := core.Preview{ID: "pv-2", Project: "shop", Status: core.PreviewSucceeded, Created: at.Add(time.Second), Tree: "t2"}
	third := core.Preview{ID: "pv-3", Project: "shop", Pull: 7, Status: core.PreviewWaiting, Created: at.Add(2 * time.Second)}
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.AddPreview(first), tx.AddPreview(second), tx.AddPreview(third))
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddPreview(first) })
	first.Status, first.Why = core.PreviewFailed, "it \x00 failed"
	update(t, s, func(tx core.Tx) error { return tx.UpdatePreview(first, core.PreviewRunning) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.UpdatePreview(first, core.PreviewRunning) })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.UpdatePreview(core.Preview{ID: "pv-9"}, core.PreviewRunning)
	})
	r := run("r-1", "web", "dev", core.Release{Project: "shop", Commit: "c2"})
	r.Kind, r.Preview = core.KindPreview, "pv-1"
	update(t, s, func(tx core.Tx) error { return tx.AddRun(r) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Preview("pv-1")
		equal(t, "a preview", got, first)
		for name, c := range map[string]struct {
			f    core.PreviewFilter
			want []core.Preview
		}{
			"all":        {core.PreviewFilter{Project: "shop"}, []core.Preview{third, second, first}},
			"newest":     {core.PreviewFilter{Project: "shop", Limit: 1}, []core.Preview{third}},
			"of a pull":  {core.PreviewFilter{Project: "shop", Pull: 7}, []core.Preview{third, first}},
			"of a tree":  {core.PreviewFilter{Project: "shop", Tree: "t2"}, []core.Preview{second}},
			"under way":  {core.PreviewFilter{Under: true}, []core.Preview{third}},
			"of another": {core.PreviewFilter{Project: "blog"}, nil},
		} {
			all, err := tx.Previews(c.f)
			equal(t, name, all, c.want)
			if err != nil {
				return err
			}
		}
		runs, err2 := tx.Runs(core.RunFilter{Preview: "pv-1"})
		if len(runs) != 1 || runs[0].Preview != "pv-1" {
			t.Errorf("runs of a preview: %+v", runs)
		}
		return errors.Join(err, err2)
	})
	update(t, s, func(tx core.Tx) error { return tx.PrunePreviews("shop", 1) })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Previews(core.PreviewFilter{Project: "shop"})
		equal(t, "what is left", all, []core.Preview{third})
		kept, err2 := tx.Run("r-1")
		equal(t, "its run", kept.Preview, "")
		return errors.Join(err, err2)
	})

	post := core.Post{Project: "shop", Key: "comment/7", PostFacts: core.PostFacts{ID: "12", Digest: "d"}}
	update(t, s, func(tx core.Tx) error { return tx.PutPost(post) })
	post.Tries, post.Retry, post.Error = 2, at, "no \x00"
	update(t, s, func(tx core.Tx) error { return tx.PutPost(post) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Post("shop", "comment/7")
		equal(t, "a post", got, post)
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.DeletePost("shop", "comment/7") })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Post("shop", "comment/7"); return err })
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Previews(core.PreviewFilter{Project: "shop"})
		pulls, err2 := tx.Pulls("shop", false)
		equal(t, "of a removed project", len(all)+len(pulls), 0)
		return errors.Join(err, err2)
	})
}
