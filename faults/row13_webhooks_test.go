package faults

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"time"
)

func init() {
	register(row{number: 13, fault: "webhooks repeated 100 times, out of order, lost", run: webhooks})
}

// polled is how often the branch is read in this row: often enough to wait for it, seldom
// enough to see that a webhook came first.
const polled = 6 * time.Second

// Webhooks are hints: whatever comes of them, one commit is one release, and a commit
// whose webhook was lost is found by polling.
func webhooks(t *trial) {
	w := newWorld(t, func(w *world) { w.flags = append(w.flags, "--poll", polled.String()) })
	for range t.times(1, 5) {
		seq := w.watch.last()
		before := w.head()
		commit := w.commit()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { w.hooked(commit, "true") })
		}
		all.Wait()
		t.injected("100 webhooks about one push")
		w.settle(commit)
		t.wants(w.watch.count(seq, "release.made") == 1, "one push made %d releases:%s", w.watch.count(seq, "release.made"), tell(w.watch.since(seq)))

		seq = w.watch.last()
		first := w.commit()
		second := w.commit()
		w.hooked(second, "true")
		w.hooked(first, "true")
		w.hooked(before, "true") // of a push long ago
		w.hooked(second, "forged")
		t.injected("webhooks out of order, one of them forged")
		w.settle(second)
		for _, e := range w.watch.since(seq) {
			t.wants(e.Kind != "release.made" || e.On != before, "an old webhook made a release again: %v", e)
		}

		seq = w.watch.last()
		lost := w.commit()
		began := time.Now()
		w.watch.first(seq, "the release of a commit whose webhook was lost", func(e event) bool { return e.Kind == "release.made" })
		t.injected("a webhook was lost; polling found the commit after %s", time.Since(began).Round(100*time.Millisecond))
		t.wants(time.Since(began) < 2*polled, "it took polling %s", time.Since(began))
		w.settle(lost)
		w.check()
	}
	w.checkAll()
}

// head is the newest commit that was pushed.
func (w *world) head() string { return w.pushed[len(w.pushed)-1] }

// hooked sends a webhook as a forge does, signed with the project's secret, or with
// another one.
func (w *world) hooked(commit, secret string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	p, err := w.api.Project(ctx, project)
	if err != nil {
		w.Error(err)
		return
	}
	want := http.StatusForbidden
	if secret == "true" {
		secret, want = p.Webhook.Secret, http.StatusAccepted
	}
	body := fmt.Appendf(nil, `{"ref":"refs/heads/main","after":%q,"repository":{"clone_url":%q}}`, commit, w.repo.Remote)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write(body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.front+"/hooks/"+project, bytes.NewReader(body))
	if err != nil {
		w.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-GitHub-Event", "push")
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Error(err)
		return
	}
	_ = resp.Body.Close()
	ok := resp.StatusCode == want || want == http.StatusAccepted && resp.StatusCode/100 == 2 || want != http.StatusAccepted && resp.StatusCode/100 == 4
	w.wants(ok, "a webhook was answered %d, not like %d", resp.StatusCode, want)
}
