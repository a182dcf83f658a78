package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

func init() {
	register(row{number: 15, fault: "1,000 clients locking one instance", run: manyLockers})
}

// aside is an instance that no rollout knows of, for those who work on states by hand.
const aside = "aside"

// ask speaks the state protocol with an instance of the world, as a person.
func (w *world) ask(c *http.Client, method, stack, query string, body []byte, header ...string) (status int, answer []byte) {
	w.Helper()
	token, err := os.ReadFile(filepath.Join(w.data, "admin-token"))
	if err != nil {
		w.Error(err)
		return 0, nil
	}
	req, err := http.NewRequestWithContext(w.Context(), method, w.front+"/state/"+project+"/dev/"+stack+query, bytes.NewReader(body))
	if err != nil {
		w.Error(err)
		return 0, nil
	}
	req.SetBasicAuth("terrace", strings.TrimSpace(string(token)))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		w.Error(err)
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		w.Error(err)
	}
	return resp.StatusCode, answer
}

// A thousand clients want the lock at once, again and again: one has it at a time, and
// every other one is told who.
func manyLockers(t *trial) {
	const clients = 1000
	w := newWorld(t)
	c := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 100, MaxIdleConnsPerHost: 100}}
	defer c.CloseIdleConnections()
	for round := range t.times(1, 5) {
		var holders, won, lost atomic.Int64
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				id := fmt.Sprintf("l-%d-%d", round, i)
				lock := fmt.Appendf(nil, `{"ID":%q,"Who":"client %d"}`, id, i)
				switch status, answer := w.ask(c, "LOCK", aside, "", lock); status {
				case http.StatusOK:
					won.Add(1)
					if n := holders.Add(1); n != 1 {
						t.violates("I2", "%d clients have the lock", n)
					}
					if i%2 == 0 { // some hold it for a while
						w.ask(c, http.MethodGet, aside, "", nil)
					}
					holders.Add(-1)
					if status, answer := w.ask(c, "UNLOCK", aside, "", lock); status != http.StatusOK {
						t.violates("I2", "the holder's UNLOCK was answered %d %s", status, answer)
					}
				case http.StatusLocked, http.StatusConflict:
					lost.Add(1)
					var holder struct{ ID, Who string }
					t.wants(json.Unmarshal(answer, &holder) == nil && strings.HasPrefix(holder.ID, "l-") && holder.Who != "", "a loser was not told who has the lock: %s", answer)
				default:
					t.violates("expected", "LOCK was answered %d %s", status, answer)
				}
			})
		}
		all.Wait()
		t.injected("%d clients: %d got the lock, one after the other, %d were refused", clients, won.Load(), lost.Load())
		t.wants(won.Load() > 0 && won.Load()+lost.Load() == clients, "%d won and %d lost of %d", won.Load(), lost.Load(), clients)
	}
	w.settle(w.commit()) // it goes on
	w.checkAll()
}
