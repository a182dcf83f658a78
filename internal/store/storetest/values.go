package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// verify checks the audit chain of stores that can.
func verify(t *testing.T, s core.Store, events int64) {
	t.Helper()
	v, ok := s.(interface {
		VerifyEvents(context.Context) (int64, string, error)
	})
	if !ok {
		t.Fatal("the store cannot verify its audit log")
	}
	if seq, _, err := v.VerifyEvents(t.Context()); seq != events || err != nil {
		t.Errorf("the audit log ends with %d, %v; want %d", seq, err, events)
	}
}

// texts come back as they were.
var texts = []string{
	"", " ", "plain", "ünïcödé ✓ 日本語 🚀", "e\u0301 is not é", "\u202Eright to left", "\uFEFFmark", "\uFFFD", "\U0010FFFF", "\x01\x1b[31m\x7f",
	"line\r\nline\n\ttab", `"quoted" 'text' \ \x00 \u0000 $1 ? :name %s _ --`, "trailing \n", strings.Repeat("long ", 20_000),
}

func text(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	for i, text := range texts {
		name := fmt.Sprint("r-", i)
		r := run(name, name, "dev", release("shop", 1))
		r.Error = &core.RunError{Code: "failed", Message: text}
		r.Components = map[string]string{"k" + text: text}
		chunk := core.LogChunk{Run: name, Seq: 1, Phase: "plan", Text: text, At: at}
		update(t, s, func(tx core.Tx) error {
			if err := tx.AddRun(r); err != nil {
				return err
			}
			if err := tx.AddLog(chunk); err != nil {
				return err
			}
			return tx.AddEvent(core.Event{By: text, Kind: "test", On: text, Data: map[string]string{text: text}})
		})
		view(t, s, func(tx core.Tx) error {
			got, err := tx.Run(name)
			if err != nil {
				return err
			}
			equal(t, "run", got, r)
			chunks, err := tx.LogChunks(name, 0, 0)
			if err != nil {
				return err
			}
			equal(t, "log", chunks, []core.LogChunk{chunk})
			e, err := tx.Events("", int64(i), 1)
			if err != nil {
				return err
			}
			equal(t, "event", []string{e[0].By, e[0].On, e[0].Data[text]}, []string{text, text, text})
			return nil
		})
	}
	verify(t, s, int64(len(texts)))
}

// badText: names with bytes that PostgreSQL cannot keep are refused, in writing and
// in looking; text of programs and commits is kept as far as it can be.
func badText(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	update(t, s, func(tx core.Tx) error { return tx.AddRun(run("r-1", "web", "dev", release("shop", 1))) })
	for _, bad := range []string{"a\x00b", "a\xff\xffb", "\xc3", "\xed\xa0\x80"} {
		for what, f := range map[string]func(core.Tx) error{
			"adding a project": func(tx core.Tx) error { return tx.AddProject(project(bad)) },
			"adding a token":   func(tx core.Tx) error { return tx.AddToken(core.Token{ID: "t", Hash: bad, Kind: core.TokenPerson}) },
			"adding a run token": func(tx core.Tx) error {
				return tx.AddToken(core.Token{ID: "t", Hash: "h", Kind: core.TokenRun, Run: bad})
			},
			"a secret": func(tx core.Tx) error { return tx.PutSecret("shop", "dev", bad, []byte("x")) },
			"a status": func(tx core.Tx) error {
				r := run("r-1", "web", "dev", release("shop", 1))
				r.Status = core.RunStatus(bad)
				return tx.UpdateRun(r, core.RunQueued)
			},
			"a lock": func(tx core.Tx) error {
				return tx.PutLock(core.StateLock{Project: "shop", Stack: "web", Environment: "dev", ID: bad, Fence: 1})
			},
		} {
			if err := s.Update(t.Context(), f); core.CodeOf(err) != core.Invalid {
				t.Errorf("%s with %q: %v (%s), want invalid", what, bad, err, core.CodeOf(err))
			}
		}
		for what, f := range map[string]func(core.Tx) error{
			"a project": func(tx core.Tx) error { _, err := tx.Project(bad); return err },
			"a token":   func(tx core.Tx) error { _, err := tx.TokenByHash(bad); return err },
			"runs": func(tx core.Tx) error {
				_, err := tx.Runs(core.RunFilter{Statuses: []core.RunStatus{core.RunStatus(bad)}})
				return err
			},
			"an instance": func(tx core.Tx) error { _, err := tx.Instance("shop", bad, "dev"); return err },
		} {
			if err := s.View(t.Context(), f); core.CodeOf(err) != core.Invalid {
				t.Errorf("looking for %s with %q: %v (%s), want invalid", what, bad, err, core.CodeOf(err))
			}
		}
	}

	latin1 := "Gr\xfc\xdfe\x00"
	chunk := core.LogChunk{Run: "r-1", Seq: 1, Phase: "plan", Text: latin1, At: at}
	for range 2 { // the second time because the answer was lost
		update(t, s, func(tx core.Tx) error { return tx.AddLog(chunk) })
	}
	v := release("shop", 2)
	v.Author, v.Message = latin1, latin1
	update(t, s, func(tx core.Tx) error {
		r, err := tx.Run("r-1")
		if err != nil {
			return err
		}
		r.Error = &core.RunError{Code: "failed", Message: latin1}
		for _, err := range []error{
			tx.AddRelease(v), tx.UpdateRun(r, core.RunQueued), tx.SetReleaseInvalid("shop", v.Commit, latin1),
			tx.PutEnvironment(core.EnvironmentState{Project: "shop", Name: "dev", Hold: &core.Hold{Kind: core.HoldPerson, Reason: latin1}}),
			tx.PutLock(core.StateLock{Project: "shop", Stack: "web", Environment: "dev", ID: "l", Info: latin1, Fence: 1}),
			tx.AddEvent(core.Event{By: latin1, Kind: "test", On: latin1, Data: map[string]string{latin1: latin1}}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx core.Tx) error {
		v, err := tx.FindRelease("shop", "2")
		if err != nil {
			return err
		}
		equal(t, "message", v.Message, "Gr\uFFFDe ")
		return nil
	})
	verify(t, s, 1)
}

// order: names sort by their bytes, whatever the language of the database.
func order(t *testing.T, s core.Store) {
	names := []string{"a", "B", "Z", "z", "ä", "é", "a b", "a-b", "a_b", "ab", "A", "1", "10", "2", "日本", "🚀", "\uFFFD"}
	update(t, s, func(tx core.Tx) error {
		for i, name := range names {
			if err := tx.AddProject(project(name)); err != nil {
				return err
			}
			if err := tx.AddToken(core.Token{ID: name, Hash: fmt.Sprint(i), Kind: core.TokenPerson, Created: at}); err != nil {
				return err
			}
		}
		for _, name := range names {
			if err := tx.PutSecret("a", "dev", name, []byte("x")); err != nil {
				return err
			}
			if err := tx.PutEnvironment(core.EnvironmentState{Project: "a", Name: name}); err != nil {
				return err
			}
			if err := tx.PutInstance(core.InstanceState{Project: "a", Environment: "dev", Stack: name}); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(names)
	view(t, s, func(tx core.Tx) error {
		sorted := func(what string, n int, name func(int) string, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, n)
			for i := range n {
				got[i] = name(i)
			}
			equal(t, what, got, names)
		}
		projects, err := tx.Projects()
		sorted("projects", len(projects), func(i int) string { return projects[i].Name }, err)
		secrets, err := tx.SecretNames("a", "dev")
		sorted("secrets", len(secrets), func(i int) string { return secrets[i] }, err)
		environments, err := tx.Environments("a")
		sorted("environments", len(environments), func(i int) string { return environments[i].Name }, err)
		instances, err := tx.Instances("a")
		sorted("instances", len(instances), func(i int) string { return instances[i].Stack }, err)
		tokens, err := tx.Tokens()
		sorted("tokens", len(tokens), func(i int) string { return tokens[i].ID }, err)
		return nil
	})
}

// letterCase: names differ by the case of their letters, and nothing is trimmed.
func letterCase(t *testing.T, s core.Store) {
	names := []string{"shop", "Shop", "shop ", " shop", "SHOP", "ÉCOLE", "école", "straße", "strasse"}
	slices.Sort(names)
	update(t, s, func(tx core.Tx) error {
		for _, name := range names {
			if err := tx.AddProject(project(name)); err != nil {
				return err
			}
			if err := tx.AddToken(core.Token{ID: "t" + name, Hash: name, Kind: core.TokenPerson}); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx core.Tx) error {
		for _, name := range names {
			p, err := tx.Project(name)
			if err != nil {
				return err
			}
			token, err := tx.TokenByHash(name)
			if err != nil {
				return err
			}
			equal(t, "found", []string{p.Name, token.ID}, []string{name, "t" + name})
		}
		for _, other := range []string{"sHOP", "shop  ", "École", ""} {
			if _, err := tx.Project(other); core.CodeOf(err) != core.NotFound {
				t.Errorf("project %q: %v, want not found", other, err)
			}
		}
		return nil
	})
}

// times are kept in microseconds, also those far away.
func times(t *testing.T, s core.Store) {
	for i, c := range []struct{ in, want time.Time }{
		{time.Time{}, time.Time{}},
		{at, at},
		{at.Add(999 * time.Nanosecond), at},
		{at.In(time.FixedZone("", 7200)), at},
		{time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)},
		{time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
	} {
		p := project(fmt.Sprint("p-", i))
		p.Created, p.Checked = c.in, c.in
		update(t, s, func(tx core.Tx) error { return tx.AddProject(p) })
		view(t, s, func(tx core.Tx) error {
			got, err := tx.Project(p.Name)
			if err != nil {
				return err
			}
			if !got.Created.Equal(c.want) || got.Created.Location() != time.UTC || got.Checked != got.Created {
				t.Errorf("%v became %v", c.in, got.Created)
			}
			return nil
		})
	}
}

// numbersAndBytes: the largest numbers, every byte, and large and empty values.
func numbersAndBytes(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	large := bytes.Repeat(all, 80_000) // 20 MB
	version := core.StateVersion{Project: "shop", Stack: "web", Environment: "dev", Serial: math.MaxInt64, Lineage: "x", MD5: "m", Size: math.MaxInt64,
		Resources: 1 << 30, Blob: "states/1", Fence: math.MaxInt64, Created: at}
	update(t, s, func(tx core.Tx) (err error) {
		if err := tx.AddRun(run("r-1", "web", "dev", release("shop", 1))); err != nil {
			return err
		}
		for kind, content := range map[string][]byte{"all": all, "large": large, "empty": {}} {
			if err := tx.PutRunDoc("r-1", kind, content); err != nil {
				return err
			}
		}
		version.ID, err = tx.AddStateVersion(version)
		return err
	})
	view(t, s, func(tx core.Tx) error {
		for kind, content := range map[string][]byte{"all": all, "large": large, "empty": {}} {
			got, err := tx.RunDoc("r-1", kind)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v; want %d", kind, len(got), err, len(content))
			}
		}
		got, err := tx.CurrentState("shop", "web", "dev")
		equal(t, "version", got, version)
		return err
	})
}
