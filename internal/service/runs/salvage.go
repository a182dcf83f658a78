package runs

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/wire"
)

// spoolKey makes the key of an attempt's spool. It is stored nowhere: the runner keeps
// it in memory, and beside its spool in a form that only the server opens.
func (s *Service) spoolKey(run core.Run) (wire.SpoolKey, error) {
	key := make([]byte, spool.KeySize)
	if _, err := rand.Read(key); err != nil {
		return wire.SpoolKey{}, err
	}
	wrapped, err := s.Seal.Seal(spoolPurpose(run.ID, run.Fence), key)
	return wire.SpoolKey{Key: key, Wrapped: wrapped}, err
}

func spoolPurpose(run string, fence int64) string { return fmt.Sprintf("spool:%s:%d", run, fence) }

// Salvage delivers what an attempt left on its disk when its runner ended without
// delivering it: its log, the states that its engine believes to be stored, and how it
// ended, if it came so far. It is called before the attempt is declared lost, and may be
// repeated. What is left of an attempt that another one took over from is not delivered,
// except states, which are kept in the recovery slot.
func (s *Service) Salvage(ctx context.Context, id string, fence int64, left spool.Left) error {
	c := Caller{Run: id, Fence: fence}
	var run core.Run
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		run, err = tx.Run(id)
		return err
	}); err != nil {
		return err
	}
	current := run.Fence == fence
	if current {
		if err := s.salvageLog(ctx, c, left.Log); err != nil {
			return fmt.Errorf("the log that the runner of %s left: %w", id, err)
		}
	}
	queue, err := s.openSpool(run, fence, left)
	if err != nil {
		return fmt.Errorf("what the runner of %s kept: %w", id, err)
	}
	whole := left.Unsaved == nil // every state that the engine made is stored
	if queue != nil {
		stored, err := s.salvageStates(ctx, run, fence, queue)
		if err != nil {
			return fmt.Errorf("the states that the runner of %s left: %w", id, err)
		}
		whole = whole && stored
	}
	if left.Unsaved != nil {
		if err := s.salvageUnsaved(ctx, run, fence, left); err != nil {
			return fmt.Errorf("the state that the engine of %s could not store: %w", id, err)
		}
	}
	if !current || queue == nil || !run.Status.Active() {
		return nil
	}
	finish, err := s.ending(ctx, c, run, queue, whole)
	if err != nil || finish == nil {
		return err
	}
	if err := s.Finish(ctx, c, id, *finish); core.CodeOf(err) != core.Conflict {
		return err
	}
	return nil // it ended otherwise meanwhile
}

// ending is how a run ended as far as its runner knew, nil when it did not. whole says
// that every state of the engine is stored.
func (s *Service) ending(ctx context.Context, c Caller, run core.Run, queue *spool.Queue, whole bool) (*wire.Finish, error) {
	var finish wire.Finish
	if ok, err := kept(queue, spool.Finish, &finish); err != nil || ok {
		return &finish, err
	}
	// What follows an apply, or Ansible, is another runner's business. That one finds
	// nothing to apply.
	var applied wire.Applied
	var provisioned wire.Provisioned
	var after wire.After
	var err error
	var ok bool
	switch run.Status {
	case core.RunApplying:
		if ok, err = kept(queue, spool.Applied, &applied); err != nil || !ok || !whole {
			return nil, err
		}
		after, err = s.Applied(ctx, c, run.ID, applied)
	case core.RunProvisioning:
		if ok, err = kept(queue, spool.Provisioned, &provisioned); err != nil || !ok {
			return nil, err
		}
		after, err = s.Provisioned(ctx, c, run.ID, provisioned)
		finish.Recap = provisioned.Recap
	default:
		return nil, nil
	}
	switch core.CodeOf(err) {
	case "":
	case core.Unavailable, core.Internal:
		return nil, err
	default:
		finish.Status, finish.Error = string(core.RunFailed), &wire.Problem{Code: string(core.RunFailed), Message: core.MessageOf(err)}
		return &finish, nil
	}
	left := "verification"
	switch {
	case after.Provision != nil:
		left = "provisioning"
	case len(after.Verify) == 0:
		finish.Status = string(core.RunSucceeded)
		return &finish, nil
	}
	finish.Status, finish.Error = string(core.RunErrored), &wire.Problem{Code: string(core.RunErrored), Message: fmt.Sprintf(
		"everything is applied at %s and its state is stored; the runner was lost before %s. Nothing is in doubt: try again, and it goes on there", run.Instance(), left)}
	return &finish, nil
}

func kept(queue *spool.Queue, name string, report any) (ok bool, err error) {
	content, err := queue.Kept(name)
	if err != nil || content == nil {
		return false, err
	}
	return true, json.Unmarshal(content, report)
}

// openSpool opens what an attempt kept, nil when that is nothing.
func (s *Service) openSpool(run core.Run, fence int64, left spool.Left) (*spool.Queue, error) {
	if left.Wrapped == nil {
		return nil, nil
	}
	key, err := s.Seal.Open(spoolPurpose(run.ID, fence), left.Wrapped)
	if err != nil {
		return nil, err
	}
	return left.Queue(key)
}

// salvageChunk is how much of a log is stored at a time, in bytes.
const salvageChunk = 64 << 10

func (s *Service) salvageLog(ctx context.Context, c Caller, log spool.LeftLog) error {
	var seq, at int64
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		seq, at, err = tx.LogEnd(c.Run)
		return err
	}); err != nil {
		return err
	}
	for {
		phase, text, err := log.Read(at, salvageChunk)
		if err != nil || text == "" {
			return err
		}
		if cut := whole(text); len(text) == salvageChunk && cut > 0 {
			text = text[:cut]
		}
		seq++
		if err := s.AddLogs(ctx, c, c.Run, []core.LogChunk{{Seq: seq, Offset: at, Phase: phase, Text: strings.ToValidUTF8(text, "?")}}); err != nil {
			return err
		}
		at += int64(len(text))
	}
}

// whole is the length of text without a character that was cut at its end.
func whole(text string) int {
	for n := len(text); n > len(text)-utf8.UTFMax && n > 0; n-- {
		if r, size := utf8.DecodeLastRuneInString(text[:n]); r != utf8.RuneError || size > 1 {
			return n
		}
	}
	return len(text)
}

// salvageStates delivers states as the runner would have done, under the rules of any
// write: what may not become current is kept in the recovery slot. stored says that the
// last one, which is the engine's last word, is current, or that there was none.
func (s *Service) salvageStates(ctx context.Context, run core.Run, fence int64, queue *spool.Queue) (stored bool, err error) {
	c := state.Caller{Run: run.ID, Fence: fence, CanWrite: true, By: "run:" + run.ID}
	stored = true
	for {
		e, ok, err := queue.First()
		if err != nil || !ok {
			return stored, err
		}
		if e.Method == http.MethodPost {
			sum, err := base64.StdEncoding.DecodeString(e.MD5)
			if err != nil {
				return false, err
			}
			_, err = s.State.Write(ctx, c, run.Project, run.Stack, run.Environment, e.Lock, hex.EncodeToString(sum), e.Body)
			stored = err == nil
			switch core.CodeOf(err) {
			case "", core.Conflict: // stored, or in the recovery slot
			case core.Invalid, core.Denied:
				s.Log.Error("a state that a runner left is no state that can be kept", "run", run.ID, "instance", run.Instance(), "error", err)
			default:
				return false, err
			}
		}
		if err := queue.Drop(); err != nil {
			return false, err
		}
	}
}

// salvageUnsaved keeps a state that the engine left in its work tree.
func (s *Service) salvageUnsaved(ctx context.Context, run core.Run, fence int64, left spool.Left) error {
	c := state.Caller{Run: run.ID, Fence: fence, By: "run:" + run.ID}
	err := s.State.Keep(ctx, c, run.Project, run.Stack, run.Environment, "the engine could not upload it, and its runner ended", left.Unsaved)
	if core.CodeOf(err) == core.Invalid {
		s.Log.Error("what an engine left is no state that can be kept", "run", run.ID, "instance", run.Instance(), "error", err)
	} else if err != nil {
		return err
	}
	return left.DropUnsaved()
}
