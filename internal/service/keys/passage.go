package keys

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/state"
)

const (
	page     = 100
	tryAgain = 10 * time.Second
)

// Run seals with the newest key what is sealed with another one, until ctx ends. It is
// for one server at a time.
func (s *Service) Run(ctx context.Context) {
	changed := s.Bus.Listen(ctx, Topic)
	for {
		wait, err := s.pass(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("sealing everything with the newest key stopped; it goes on where it was", "error", err)
			wait = tryAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(wait):
		}
	}
}

// pass looks at everything once, from where the last look stopped, and says when to look
// again.
func (s *Service) pass(ctx context.Context) (wait time.Duration, err error) {
	const idle = time.Hour
	var keys []core.StoredKey
	var p Passage
	var now time.Time
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		all, err := tx.StoredKeys()
		if keys = sealing(all); err != nil || len(keys) < 2 {
			return err
		}
		now = tx.Now()
		p, err = passage(tx, keys[0].ID)
		return err
	}); err != nil || len(keys) < 2 || p.Proved {
		return idle, err
	}
	settled := keys[0].Made.Add(s.Settle)
	if !p.Ended.IsZero() { // the pass before is over: the next one proves that it is done
		if now.Before(settled) {
			return settled.Sub(now), nil
		}
		p = Passage{Key: p.Key, Pass: p.Pass, Sealed: p.Sealed}
	}
	if p.Began.IsZero() {
		p.Pass, p.Began = p.Pass+1, now
	}
	if err := s.reload(ctx); err != nil { // with the key that now seals
		return 0, err
	}
	steps := s.steps()
	for p.Step < len(steps) {
		after, n, err := steps[p.Step](ctx, &p)
		if err != nil {
			return 0, err
		}
		p.After = after
		if n < page {
			p.Step, p.After = p.Step+1, ""
		}
		if p.Step == len(steps) {
			break
		}
		if err := s.keep(ctx, &p); err != nil {
			return 0, err
		}
	}
	p.Proved = p.Moved == 0 && !p.Began.Before(settled)
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		p.Ended = tx.Now()
		if err := put(tx, p); err != nil || p.Pass > 1 && !p.Proved {
			return err
		}
		kind := "key.sealed"
		if p.Proved {
			kind = "key.proved"
		}
		return tx.AddEvent(core.Event{By: "server", Kind: kind, On: p.Key, Data: map[string]string{"looked": strconv.FormatInt(p.Looked, 10), "sealed": strconv.FormatInt(p.Moved, 10)}})
	}); err != nil {
		return 0, err
	}
	s.Log.Info("looked through everything that is sealed", "key", p.Key, "pass", p.Pass, "looked", p.Looked, "sealed anew", p.Moved, "proved", p.Proved)
	s.Bus.Changed(Topic)
	return 0, nil
}

func (s *Service) keep(ctx context.Context, p *Passage) error {
	return s.Store.Update(ctx, func(tx core.Tx) error { return put(tx, *p) })
}

// put stores how far it is; a rotation in between begins anew.
func put(tx core.Tx, p Passage) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.PutSetting(passageSetting, string(text))
}

// step looks at up to a page of one kind of things after p.After, and says which was the
// last, and how many there were.
type step func(ctx context.Context, p *Passage) (after string, n int, err error)

func (s *Service) steps() []step {
	return []step{s.states, s.kept, s.documents, s.secrets, s.webhooks}
}

// anew opens what is sealed with another key and seals it with the newest. ok is false
// when there is nothing to do: it is sealed with the newest, or nothing can open it.
func (s *Service) anew(p *Passage, purpose string, sealed []byte) (again []byte, ok bool, err error) {
	p.Looked++
	if seal.KeyID(sealed) == p.Key {
		return nil, false, nil
	}
	plain, err := s.ring.Open(purpose, sealed)
	if err != nil { // damaged, or its key is gone: "terrace admin check" names it
		p.Lost++
		s.Log.Warn("something that is sealed does not open", "error", err)
		return nil, false, nil
	}
	if again, err = s.ring.Seal(purpose, plain); err != nil {
		return nil, false, err
	}
	// The one before is about to be replaced: this is the last moment to notice a fault.
	if got, err := s.ring.Open(purpose, again); err != nil || !bytes.Equal(got, plain) {
		return nil, false, core.Errorf(core.Internal, "%s was sealed, and does not open again: %w", purpose, err)
	}
	p.Moved, p.Sealed = p.Moved+1, p.Sealed+1
	return again, true, nil
}

func (s *Service) blob(ctx context.Context, p *Passage, key string) error {
	sealed, err := s.Blobs.Get(ctx, key)
	switch core.CodeOf(err) {
	case "":
	case core.NotFound: // dropped meanwhile
		return nil
	case core.Internal:
		p.Lost++
		s.Log.Warn("a state is damaged", "blob", key, "error", err)
		return nil
	default:
		return err
	}
	again, ok, err := s.anew(p, key, sealed)
	if err != nil || !ok {
		return err
	}
	return s.Blobs.Replace(ctx, key, again)
}

func number(after string) int64 {
	n, _ := strconv.ParseInt(after, 10, 64) // "" is 0
	return n
}

func (s *Service) states(ctx context.Context, p *Passage) (after string, n int, err error) {
	var rows []core.StateVersion
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		rows, err = tx.AllStateVersions(number(p.After), page)
		return err
	}); err != nil {
		return "", 0, err
	}
	for _, v := range rows {
		after = strconv.FormatInt(v.ID, 10)
		if v.Blob == "" { // says that the state was deleted
			continue
		}
		if err := s.blob(ctx, p, v.Blob); err != nil {
			return "", 0, err
		}
	}
	return after, len(rows), nil
}

func (s *Service) kept(ctx context.Context, p *Passage) (after string, n int, err error) {
	var rows []core.Recovered
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		rows, err = tx.AllRecovereds(number(p.After), page)
		return err
	}); err != nil {
		return "", 0, err
	}
	for _, r := range rows {
		after = strconv.FormatInt(r.ID, 10)
		if err := s.blob(ctx, p, r.Blob); err != nil {
			return "", 0, err
		}
	}
	return after, len(rows), nil
}

// row seals something in the database anew, if it still is what was read.
func (s *Service) row(ctx context.Context, p *Passage, purpose string, sealed []byte, read func(core.Tx) ([]byte, error), write func(core.Tx, []byte) error) error {
	again, ok, err := s.anew(p, purpose, sealed)
	if err != nil || !ok {
		return err
	}
	return s.Store.Update(ctx, func(tx core.Tx) error {
		now, err := read(tx)
		if core.CodeOf(err) == core.NotFound || err == nil && !bytes.Equal(now, sealed) {
			return nil // removed or written meanwhile
		} else if err != nil {
			return err
		}
		return write(tx, again)
	})
}

func (s *Service) documents(ctx context.Context, p *Passage) (after string, n int, err error) {
	run, kind, _ := strings.Cut(p.After, "\n")
	var rows []core.RunDoc
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		rows, err = tx.RunDocs(core.RunDoc{Run: run, Kind: kind}, page)
		return err
	}); err != nil {
		return "", 0, err
	}
	for _, d := range rows {
		after = d.Run + "\n" + d.Kind
		if err := s.row(ctx, p, state.DocPurpose(d.Run, d.Kind), d.Sealed,
			func(tx core.Tx) ([]byte, error) { return tx.RunDoc(d.Run, d.Kind) },
			func(tx core.Tx, again []byte) error { return tx.PutRunDoc(d.Run, d.Kind, again) }); err != nil {
			return "", 0, err
		}
	}
	return after, len(rows), nil
}

// secrets looks at all of them: there are few.
func (s *Service) secrets(ctx context.Context, p *Passage) (after string, n int, err error) {
	var rows []core.Secret
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		rows, err = tx.AllSecrets()
		return err
	}); err != nil {
		return "", 0, err
	}
	for _, v := range rows {
		if err := s.row(ctx, p, runs.SecretPurpose(v.Project, v.Environment, v.Name), v.Sealed,
			func(tx core.Tx) ([]byte, error) { return tx.Secret(v.Project, v.Environment, v.Name) },
			func(tx core.Tx, again []byte) error { return tx.PutSecret(v.Project, v.Environment, v.Name, again) }); err != nil {
			return "", 0, err
		}
	}
	return "", 0, nil
}

func (s *Service) webhooks(ctx context.Context, p *Passage) (after string, n int, err error) {
	var rows []core.Project
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		rows, err = tx.Projects()
		return err
	}); err != nil {
		return "", 0, err
	}
	for _, project := range rows {
		if project.Sandbox != nil {
			continue // the webhook of its project tells of its branch, too
		}
		if err := s.ofProject(ctx, p, project, projects.WebhookPurpose(project.Name), func(p *core.Project) *string { return &p.WebhookToken }); err != nil {
			return "", 0, err
		}
		if project.Forge == nil {
			continue
		}
		if err := s.ofProject(ctx, p, project, projects.ForgePurpose(project.Name), func(p *core.Project) *string {
			if p.Forge == nil {
				return new(string)
			}
			return &p.Forge.Login
		}); err != nil {
			return "", 0, err
		}
	}
	return "", 0, nil
}

// ofProject seals one thing of a project anew.
func (s *Service) ofProject(ctx context.Context, p *Passage, project core.Project, purpose string, in func(*core.Project) *string) error {
	sealed, err := hex.DecodeString(*in(&project))
	if err != nil {
		p.Lost++
		return nil
	}
	return s.row(ctx, p, purpose, sealed,
		func(tx core.Tx) ([]byte, error) {
			now, err := tx.Project(project.Name)
			if err != nil {
				return nil, err
			}
			return hex.DecodeString(*in(&now))
		},
		func(tx core.Tx, again []byte) error {
			now, err := tx.Project(project.Name)
			if err != nil {
				return err
			}
			*in(&now) = hex.EncodeToString(again)
			return tx.UpdateProject(now)
		})
}
