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
	if left.States > 0 {
		if err := s.salvageStates(ctx, run, fence, left); err != nil {
			return fmt.Errorf("the states that the runner of %s left: %w", id, err)
		}
	}
	if left.Unsaved != nil {
		if err := s.salvageUnsaved(ctx, run, fence, left); err != nil {
			return fmt.Errorf("the state that the engine of %s could not store: %w", id, err)
		}
	}
	if !current || left.Finish == nil || run.Status.Terminal() {
		return nil
	}
	var finish wire.Finish
	if err := json.Unmarshal(left.Finish, &finish); err != nil {
		return fmt.Errorf("the end that the runner of %s left: %w", id, err)
	}
	if err := s.Finish(ctx, c, id, finish); err != nil && core.CodeOf(err) != core.Conflict {
		return err
	}
	return nil
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
// write: what may not become current is kept in the recovery slot.
func (s *Service) salvageStates(ctx context.Context, run core.Run, fence int64, left spool.Left) error {
	key, err := s.Seal.Open(spoolPurpose(run.ID, fence), left.Wrapped)
	if err != nil {
		return err
	}
	queue, err := left.Queue(key)
	if err != nil {
		return err
	}
	c := state.Caller{Run: run.ID, Fence: fence, CanWrite: true, By: "run:" + run.ID}
	for {
		e, ok, err := queue.First()
		if err != nil || !ok {
			return err
		}
		if e.Method == http.MethodPost {
			sum, err := base64.StdEncoding.DecodeString(e.MD5)
			if err != nil {
				return err
			}
			_, err = s.State.Write(ctx, c, run.Project, run.Stack, run.Environment, e.Lock, hex.EncodeToString(sum), e.Body)
			switch core.CodeOf(err) {
			case "", core.Conflict: // stored, or in the recovery slot
			case core.Invalid, core.Denied:
				s.Log.Error("a state that a runner left is no state that can be kept", "run", run.ID, "instance", run.Instance(), "error", err)
			default:
				return err
			}
		}
		if err := queue.Drop(); err != nil {
			return err
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
