package testkit

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestProxyBreaksWhatItIsTold(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		_, _ = io.WriteString(w, "hello") // the client may be gone
	}))
	t.Cleanup(server.Close)
	p := NewProxy(t, strings.TrimPrefix(server.URL, "http://"))
	client := &http.Client{Transport: &http.Transport{}} // keeps connections
	t.Cleanup(client.CloseIdleConnections)
	ask := func(method, path string, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, p.URL()+path, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		_, err = io.ReadAll(resp.Body)
		return err
	}
	wants := func(what string, err error, ok bool, requests int32) {
		t.Helper()
		if (err == nil) != ok || seen.Load() != requests {
			t.Errorf("%s: error %v after %d requests; want %t and %d", what, err, seen.Load(), ok, requests)
		}
	}
	const soon, long = 50 * time.Millisecond, 30 * time.Second
	wants("passed on", ask("POST", "/a", long), true, 1)
	wants("again, on the same connection", ask("POST", "/a", long), true, 2)
	p.Cut()
	wants("cut", ask("POST", "/a", long), false, 2)
	p.Restore()
	wants("restored", ask("POST", "/a", long), true, 3)
	dropped := p.DropReply("POST /b")
	wants("another request", ask("POST", "/a", long), true, 4)
	wants("the reply is dropped", ask("POST", "/b", long), false, 5)
	<-dropped
	wants("once", ask("POST", "/b", long), true, 6)
	dropped = p.DropRequest("POST /b")
	wants("the request is dropped", ask("POST", "/b", long), false, 6)
	<-dropped
	p.Stall()
	wants("stalled", ask("POST", "/a", soon), false, 6)
	p.Restore()
	wants("restored", ask("POST", "/a", long), true, 7)
}
