package storetest

import (
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

// everything reads what belongs to all projects, in pages.
func everything(t *testing.T, s core.Store) {
	seed(t, s, "blog", 0)
	seed(t, s, "shop", 1)
	one, two := addVersion(t, s, version("shop", "web", "dev", 1)), addVersion(t, s, version("blog", "web", "dev", 1))
	var kept []core.Recovered
	update(t, s, func(tx core.Tx) error {
		kept = nil
		for _, p := range []string{"shop", "blog"} {
			r := core.Recovered{Project: p, Stack: "web", Environment: "dev", Serial: 2, Lineage: "lineage", MD5: "m", Size: 3, Blob: "states/" + p, By: "user:ana", Reason: "late", Created: at}
			var err error
			if r.ID, err = tx.AddRecovered(r); err != nil {
				return err
			}
			kept = append(kept, r)
		}
		for _, id := range []string{"r-2", "r-1"} {
			if err := tx.AddRun(run(id, "web", "dev-"+id, release("shop", 1))); err != nil {
				return err
			}
			for _, kind := range []string{"recap", "plan"} {
				if err := tx.PutRunDoc(id, kind, []byte(id+kind)); err != nil {
					return err
				}
			}
		}
		for _, p := range []string{"shop", "blog"} {
			if err := tx.PutSecret(p, "dev", "TOKEN", []byte(p)); err != nil {
				return err
			}
		}
		return nil
	})
	doc := func(run, kind string) core.RunDoc {
		return core.RunDoc{Run: run, Kind: kind, Sealed: []byte(run + kind)}
	}
	view(t, s, func(tx core.Tx) error {
		for _, c := range []struct {
			after int64
			limit int
			want  []core.StateVersion
		}{{0, 0, []core.StateVersion{one, two}}, {0, 1, []core.StateVersion{one}}, {one.ID, 5, []core.StateVersion{two}}, {two.ID, 5, nil}} {
			got, err := tx.AllStateVersions(c.after, c.limit)
			if err != nil {
				return err
			}
			equal(t, "all versions", append([]core.StateVersion(nil), got...), c.want)
		}
		recovered, err := tx.AllRecovereds(0, 1)
		if err != nil {
			return err
		}
		equal(t, "the first recovered state", recovered, kept[:1])
		if recovered, err = tx.AllRecovereds(kept[0].ID, 0); err != nil {
			return err
		}
		equal(t, "the other recovered state", recovered, kept[1:])
		docs, err := tx.RunDocs(core.RunDoc{}, 3)
		if err != nil {
			return err
		}
		equal(t, "documents", docs, []core.RunDoc{doc("r-1", "plan"), doc("r-1", "recap"), doc("r-2", "plan")})
		if docs, err = tx.RunDocs(docs[2], 3); err != nil {
			return err
		}
		equal(t, "more documents", docs, []core.RunDoc{doc("r-2", "recap")})
		secrets, err := tx.AllSecrets()
		equal(t, "secrets", secrets, []core.Secret{{Project: "blog", Environment: "dev", Name: "TOKEN", Sealed: []byte("blog")}, {Project: "shop", Environment: "dev", Name: "TOKEN", Sealed: []byte("shop")}})
		return err
	})
}
