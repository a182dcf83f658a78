// Package blobtest is the suite that every core.BlobStore passes: a folder and a
// bucket of a real S3 service keep objects by the same rules.
package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Run runs the suite. open returns an empty store; again opens the same one once more,
// as a server does that starts again.
func Run(t *testing.T, open func(t *testing.T) (first core.BlobStore, again func() core.BlobStore)) {
	for name, test := range map[string]func(*testing.T, core.BlobStore, func() core.BlobStore){
		"objects": objects, "keys": keys, "list": list, "race": race, "cancelled": cancelled, "restart": restart,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, again := open(t)
			test(t, first, again)
		})
	}
}

func put(t *testing.T, b core.BlobStore, key string, data []byte) {
	t.Helper()
	if err := b.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, b core.BlobStore) []string {
	t.Helper()
	all, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for _, o := range all {
		found = append(found, o.Key)
	}
	return found
}

func objects(t *testing.T, b core.BlobStore, _ func() core.BlobStore) {
	// The large one is more than a service takes in one piece.
	large := bytes.Repeat([]byte{0, 1, 255, 7}, 5<<20)
	for key, data := range map[string][]byte{"a": {}, "states/b-1": []byte("one"), "states/b-2.x": large} {
		for range 2 { // said again
			put(t, b, key, data)
		}
		got, err := b.Get(t.Context(), key)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("Get(%q): %d bytes, %v; want %d", key, len(got), err, len(data))
		}
	}
	for key, other := range map[string][]byte{"states/b-1": []byte("two"), "a": []byte("a"), "states/b-2.x": large[1:]} {
		before, err := b.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Put(t.Context(), key, other); core.CodeOf(err) != core.Conflict || !strings.Contains(core.MessageOf(err), key) {
			t.Errorf("other content for %s: got %v, want a conflict that names the key", key, err)
		}
		if got, err := b.Get(t.Context(), key); !bytes.Equal(got, before) {
			t.Errorf("after the conflict: got %d bytes of %s, %v", len(got), key, err)
		}
	}
	for range 2 { // the second time there is nothing
		if err := b.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Get(t.Context(), "a"); core.CodeOf(err) != core.NotFound || !strings.Contains(core.MessageOf(err), " a") {
		t.Errorf("a deleted blob: got %v, want not found", err)
	}
	if got := names(t, b); !slices.Equal(got, []string{"states/b-1", "states/b-2.x"}) {
		t.Errorf("there are %v", got)
	}
}

func keys(t *testing.T, b core.BlobStore, _ func() core.BlobStore) {
	for _, key := range []string{"", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", ".hidden", "a/.b", "a~b", "a b", "a\x00b", "a\nb", `a\b`, "ä", strings.Repeat("a", 201)} {
		if err := b.Put(t.Context(), key, nil); core.CodeOf(err) != core.Invalid {
			t.Errorf("Put(%q): got %v, want invalid", key, err)
		}
		if _, err := b.Get(t.Context(), key); core.CodeOf(err) != core.Invalid {
			t.Errorf("Get(%q): got %v, want invalid", key, err)
		}
		if err := b.Delete(t.Context(), key); core.CodeOf(err) != core.Invalid {
			t.Errorf("Delete(%q): got %v, want invalid", key, err)
		}
	}
	long := strings.Repeat("a", 200)
	put(t, b, long, []byte("x"))
	if got := names(t, b); !slices.Equal(got, []string{long}) {
		t.Errorf("there are %v", got)
	}
}

// list has more objects than one page of a service.
func list(t *testing.T, b core.BlobStore, _ func() core.BlobStore) {
	if got := names(t, b); len(got) > 0 {
		t.Fatalf("an empty store has %v", got)
	}
	began := time.Now()
	const n = 1100
	work := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range work {
				if err := b.Put(t.Context(), fmt.Sprintf("states/v-%04d", i), fmt.Append(nil, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
	all, err := b.List(t.Context())
	if err != nil || len(all) != n {
		t.Fatalf("%d objects, %v; want %d", len(all), err, n)
	}
	for i, o := range all {
		if o.Key != fmt.Sprintf("states/v-%04d", i) || o.Size != int64(len(fmt.Sprint(i))) {
			t.Fatalf("object %d is %+v", i, o)
		}
		// Services tell whole seconds.
		if o.Modified.Before(began.Add(-2*time.Second)) || o.Modified.After(time.Now().Add(2*time.Second)) {
			t.Fatalf("%s was written at %s, and the test began at %s", o.Key, o.Modified, began)
		}
	}
}

// race: of many writers of one key with different content, one wins, and what it wrote
// is what is read.
func race(t *testing.T, b core.BlobStore, _ func() core.BlobStore) {
	var mu sync.Mutex
	var winners []string
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			content := fmt.Sprint(i)
			err := b.Put(t.Context(), "states/one", []byte(content))
			switch core.CodeOf(err) {
			case "":
				mu.Lock()
				winners = append(winners, content)
				mu.Unlock()
			case core.Conflict:
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := b.Get(t.Context(), "states/one")
	if err != nil || len(winners) != 1 || string(got) != winners[0] {
		t.Errorf("winners %v, read %q, %v", winners, got, err)
	}
}

func cancelled(t *testing.T, b core.BlobStore, _ func() core.BlobStore) {
	put(t, b, "a", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := b.Get(ctx, "a")
	_, listErr := b.List(ctx)
	for what, err := range map[string]error{"Put": b.Put(ctx, "c", nil), "Get": getErr, "Delete": b.Delete(ctx, "a"), "List": listErr} {
		if core.CodeOf(err) != core.Unavailable {
			t.Errorf("%s with a cancelled context: %v", what, err)
		}
	}
	if got := names(t, b); !slices.Equal(got, []string{"a"}) {
		t.Errorf("there are %v", got)
	}
}

func restart(t *testing.T, b core.BlobStore, again func() core.BlobStore) {
	put(t, b, "states/a", []byte("x"))
	b = again()
	if got, err := b.Get(t.Context(), "states/a"); err != nil || string(got) != "x" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	if got := names(t, b); !slices.Equal(got, []string{"states/a"}) {
		t.Errorf("after a restart there are %v", got)
	}
	if err := b.Put(t.Context(), "states/a", []byte("y")); core.CodeOf(err) != core.Conflict {
		t.Errorf("other content after a restart: %v", err)
	}
}
