package seal

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

// key returns the n-th test key in base64.
func key(n byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, keySize)) }

func ring(t testing.TB, keys ...string) *Keyring {
	t.Helper()
	k, err := parse("test", strings.Join(keys, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSeal(t *testing.T) {
	k := ring(t, key(1))
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("secret"), 1<<18)} {
		a, err := k.Seal("states/1", plain)
		if err != nil {
			t.Fatal(err)
		}
		b, err := k.Seal("states/1", plain)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(a, b) {
			t.Error("the same content sealed twice is the same")
		}
		if len(plain) > 10 && bytes.Contains(a, []byte("secret")) {
			t.Error("the content is readable")
		}
		if len(a) != len(plain)+overhead {
			t.Errorf("%d bytes became %d", len(plain), len(a))
		}
		got, err := k.Open("states/1", a)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("got %d bytes, %v; want %d", len(got), err, len(plain))
		}
		got, err = k.OpenOver("states/1", a)
		if err != nil || !bytes.Equal(got, plain) || len(got) > 0 && &got[0] != &a[headerSize+nonceSize] {
			t.Errorf("over what was sealed: %d bytes, %v; want %d, in its memory", len(got), err, len(plain))
		}
	}
}

func TestTampering(t *testing.T) {
	k := ring(t, key(1))
	sealed, err := k.Seal("states/1", []byte("the state of web@production"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for _, bit := range []byte{1, 128} {
			changed := bytes.Clone(sealed)
			changed[i] ^= bit
			if _, err := k.Open("states/1", changed); err == nil {
				t.Fatalf("opens with byte %d changed", i)
			}
		}
	}
	for n := range sealed {
		if _, err := k.Open("states/1", sealed[:n]); core.CodeOf(err) != core.Internal {
			t.Fatalf("cut off after %d bytes: %v", n, err)
		}
	}
	if _, err := k.Open("states/1", append(bytes.Clone(sealed), 0)); err == nil {
		t.Error("opens with a byte appended")
	}
	for _, purpose := range []string{"states/2", "", "states/1 ", "states/"} {
		if _, err := k.Open(purpose, sealed); core.CodeOf(err) != core.Internal {
			t.Errorf("opens as %q: %v", purpose, err)
		}
	}

	// The data key of one with the content of the other.
	other, err := k.Seal("states/1", []byte("the state of web@development"))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{1, wrapStart, headerSize, headerSize + nonceSize} {
		if _, err := k.Open("states/1", append(bytes.Clone(sealed[:at]), other[at:]...)); at > wrapStart && err == nil {
			t.Errorf("opens spliced at %d", at)
		}
	}
}

func TestRotation(t *testing.T) {
	old := ring(t, key(1))
	sealed, err := old.Seal("p", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	rotated := ring(t, key(2), key(1))
	if got, err := rotated.Open("p", sealed); err != nil || string(got) != "x" {
		t.Errorf("what the old key sealed: %q, %v", got, err)
	}
	again, err := rotated.Seal("p", []byte("y"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open("p", again); core.CodeOf(err) != core.Unavailable || !strings.Contains(err.Error(), rotated.Keys()[0].ID) {
		t.Errorf("the old key alone: got %v, want unavailable", err)
	}
	if _, err := ring(t, key(2)).Open("p", again); err != nil {
		t.Errorf("the new key alone: %v", err)
	}
	if old.Digest([]byte("x")) != rotated.Digest([]byte("x")) {
		t.Error("digests changed when a key was put in front: every instance would be out of date")
	}
}

func TestDigest(t *testing.T) {
	a, b := ring(t, key(1)), ring(t, key(2))
	once, again := a.Digest([]byte("x")), a.Digest([]byte("x"))
	if once != again || a.Digest([]byte("x")) == a.Digest([]byte("y")) || a.Digest([]byte("x")) == b.Digest([]byte("x")) {
		t.Error("a digest is not a function of key and content")
	}
	if len(a.Digest(nil)) != 64 {
		t.Errorf("got %q", a.Digest(nil))
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	k, created, err := openFile(path)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left beside it: %v, %v", entries, err)
	}
	sealed, err := k.Seal("p", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	again, created, err := openFile(path)
	if err != nil || created {
		t.Fatalf("created again: %v, %v", created, err)
	}
	if _, err := again.Open("p", sealed); err != nil {
		t.Error(err)
	}

	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		code          core.Code
		text          string
	}{
		{"group", key(1), 0o640, core.Invalid, "chmod 600"},
		{"others", key(1), 0o604, core.Invalid, "chmod 600"},
		{"empty", "", 0o600, core.Invalid, "holds no key"},
		{"comments", "# nothing\n\n", 0o600, core.Invalid, "holds no key"},
		{"short", "AAAA", 0o600, core.Invalid, "32 bytes"},
		{"garbage", key(1) + "\n!!! secret !!!", 0o600, core.Invalid, "key 2 of"},
		{"huge", strings.Repeat(key(1)+"\n", 10_000), 0o600, core.Invalid, "not a key file"},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if core.CodeOf(err) != c.code || !strings.Contains(core.MessageOf(err), c.text) || strings.Contains(core.MessageOf(err), "secret") {
			t.Errorf("%s: %v (%s); want a %s error about %q", c.name, err, core.CodeOf(err), c.code, c.text)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != c.content {
			t.Errorf("%s was changed", c.name)
		}
	}
	if _, err := Open(dir); core.CodeOf(err) != core.Invalid {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "no", "folder", "key")); core.CodeOf(err) != core.Unavailable {
		t.Errorf("a folder that does not exist: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	k := ring(f, key(2), key(1))
	for _, plain := range []string{"", "x", "longer than that"} {
		sealed, err := k.Seal("purpose", []byte(plain))
		if err != nil {
			f.Fatal(err)
		}
		f.Add("purpose", sealed)
		f.Add("other", sealed)
		f.Add("purpose", sealed[:len(sealed)-1])
	}
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, purpose string, sealed []byte) {
		plain, err := k.Open(purpose, sealed)
		if err == nil && purpose != "purpose" {
			t.Errorf("%x opens as %q: %q", sealed, purpose, plain)
		}
		if err != nil && core.CodeOf(err) == core.Internal && plain != nil {
			t.Error("an error came with content")
		}
		// What is sealed here opens here.
		again, err := k.Seal(purpose, sealed)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := k.Open(purpose, again); err != nil || !bytes.Equal(back, sealed) {
			t.Errorf("got %x, %v", back, err)
		}
	})
}
