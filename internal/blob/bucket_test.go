package blob

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/blob/blobtest"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
)

func openBucket(t *testing.T, storage string) core.BlobStore {
	t.Helper()
	b, err := OpenURL(t.Context(), storage)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestS3(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) (core.BlobStore, func() core.BlobStore) {
		bucket := testkit.S3(t)
		// What others keep in the bucket is none of the store's.
		if err := os.WriteFile(filepath.Join(bucket.Folder, "theirs"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		again := func() core.BlobStore { return openBucket(t, bucket.URL+"&prefix=terrace/test") }
		t.Cleanup(func() {
			for _, key := range bucket.Objects(t) {
				if key != "theirs" && !strings.HasPrefix(key, "terrace/test/") {
					t.Errorf("%s is outside the prefix", key)
				}
			}
		})
		return again(), again
	})
}

// Where a service does not know conditional writes, Put looks before it writes.
func TestS3WithoutConditions(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"refused": http.StatusNotImplemented, "ignored": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := testkit.S3(t)
			direct := openBucket(t, bucket.URL)
			proxied := through(t, bucket, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
				if r.Header.Get("If-None-Match") != "" {
					if status != 0 {
						w.Header().Set("Content-Type", "application/xml")
						w.WriteHeader(status)
						_, _ = w.Write([]byte(`<?xml version="1.0"?><Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented</Message></Error>`))
						return
					}
					// The signature covers the header, so what it protects has to go instead.
					key := strings.TrimPrefix(r.URL.Path, "/"+bucket.Bucket+"/")
					if err := direct.Delete(r.Context(), key); err != nil {
						t.Error(err)
					}
				}
				pass.ServeHTTP(w, r)
			})
			b := openBucket(t, proxied).(*Bucket)
			if b.conditional {
				t.Fatal("it was not noticed")
			}
			for range 2 {
				if err := b.Put(t.Context(), "states/a", []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Put(t.Context(), "states/a", []byte("y")); core.CodeOf(err) != core.Conflict {
				t.Errorf("other content: %v", err)
			}
			if keys := bucket.Objects(t); !slices.Equal(keys, []string{"states/a"}) {
				t.Errorf("the bucket has %v", keys)
			}
		})
	}
}

// through puts a proxy in front of a service and returns a URL through it. Signatures
// cover the host's name, which the proxy keeps.
func through(t *testing.T, bucket *testkit.S3Bucket, f func(http.ResponseWriter, *http.Request, http.Handler)) string {
	t.Helper()
	target, err := url.Parse(bucket.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, proxy) }))
	t.Cleanup(server.Close)
	return strings.Replace(bucket.URL, url.QueryEscape(bucket.Endpoint), url.QueryEscape(server.URL), 1)
}

// TestLostReply: the service stored the object and the answer never came.
func TestLostReply(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"one piece": 10, "in parts": 20 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := testkit.S3(t)
			var lose atomic.Bool
			var lost atomic.Int32
			b := openBucket(t, through(t, bucket, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
				// The last request of an upload: the only one, or the one that puts the parts together.
				last := r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") || r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
				if last && lose.Load() {
					lose.Store(false)
					lost.Add(1)
					pass.ServeHTTP(httptest.NewRecorder(), r)
					panic(http.ErrAbortHandler)
				}
				pass.ServeHTTP(w, r)
			}))
			content := bytes.Repeat([]byte("x"), size)
			lose.Store(true)
			if err := b.Put(t.Context(), "states/a", content); err != nil || lost.Load() != 1 {
				t.Fatalf("%d replies lost, %v", lost.Load(), err)
			}
			if got, err := b.Get(t.Context(), "states/a"); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// TestCutOff: an answer that ends in the middle is asked for again, and never taken for
// the whole.
func TestCutOff(t *testing.T) {
	t.Parallel()
	bucket := testkit.S3(t)
	var cuts atomic.Int32
	b := openBucket(t, through(t, bucket, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/states/a") && cuts.Add(-1) >= 0 {
			answer := httptest.NewRecorder()
			pass.ServeHTTP(answer, r)
			for name, values := range answer.Header() {
				w.Header()[name] = values
			}
			_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
			panic(http.ErrAbortHandler)
		}
		pass.ServeHTTP(w, r)
	}))
	content := bytes.Repeat([]byte("content"), 1<<16)
	if err := b.Put(t.Context(), "states/a", content); err != nil {
		t.Fatal(err)
	}
	cuts.Store(2)
	if got, err := b.Get(t.Context(), "states/a"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	cuts.Store(1000)
	if got, err := b.Get(t.Context(), "states/a"); core.CodeOf(err) != core.Unavailable || got != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestDamage: bytes that changed in the storage are not handed out.
func TestDamage(t *testing.T) {
	t.Parallel()
	bucket := testkit.S3(t)
	b := openBucket(t, bucket.URL)
	for key, damage := range map[string]func([]byte) []byte{
		"states/flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"states/cut":     func(b []byte) []byte { return b[:len(b)/2] },
	} {
		if err := b.Put(t.Context(), key, []byte("a whole state")); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(bucket.Folder, filepath.FromSlash(key))
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, damage(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Get(t.Context(), key); core.CodeOf(err) != core.Internal || !strings.Contains(core.MessageOf(err), key) {
			t.Errorf("%q, %v; want an error that names %s", got, err, key)
		}
	}
}

// hurried are limits for tests of services that do not answer.
var hurried = limits{answer: 300 * time.Millisecond, call: time.Second, second: 1 << 20}

// patience is how late, on a busy machine, a call with those limits may end.
const patience = 20 * time.Second

// TestHanging: a service that takes requests and never answers cannot keep anybody.
func TestHanging(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connections are made, and nobody is there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	testkit.S3(t) // for credentials
	b, err := openS3(t.Context(), "s3://b?region=us-east-1&use_path_style=true&endpoint="+url.QueryEscape("http://"+silent.Addr().String()), hurried)
	if err != nil {
		t.Fatal(err)
	}
	bounded(t, b, "did not answer in time", "")
	began := time.Now()
	if err := b.probe(t.Context()); core.CodeOf(err) != core.Unavailable {
		t.Errorf("at the start: %v", err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("the start took %s", took)
	}
}

// bounded fails unless every call ends in time and says that it is worth another try.
func bounded(t *testing.T, b core.BlobStore, says ...string) {
	t.Helper()
	for name, call := range map[string]func() error{
		"Put":    func() error { return b.Put(t.Context(), "states/new", []byte("x")) },
		"Get":    func() error { _, err := b.Get(t.Context(), "states/a"); return err },
		"Delete": func() error { return b.Delete(t.Context(), "states/b") },
		"List":   func() error { _, err := b.List(t.Context()); return err },
	} {
		began := time.Now()
		err := call()
		if core.CodeOf(err) != core.Unavailable {
			t.Errorf("%s: got %v, want unavailable", name, err)
		}
		if !slices.ContainsFunc(says, func(s string) bool { return strings.Contains(core.MessageOf(err), s) }) {
			t.Errorf("%s: %v does not say %q", name, err, says)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// TestOutage: a service that stops answering, dies, and comes back.
func TestOutage(t *testing.T) {
	t.Parallel()
	bucket := testkit.FaultyS3(t)
	b, err := openS3(t.Context(), bucket.URL, hurried)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	works := func() {
		t.Helper()
		testkit.Eventually(t, 20*time.Second, "the storage to work", func() bool {
			if err := b.Put(t.Context(), "states/a", []byte("x")); err != nil {
				return false
			}
			got, err := b.Get(t.Context(), "states/a")
			return err == nil && string(got) == "x"
		})
	}
	works()
	bucket.Freeze(t)
	bounded(t, b, "did not answer in time", "")
	bucket.Thaw(t)
	works()
	bucket.Stop(t)
	bounded(t, b, "")
	bucket.Start(t)
	works()
}

// TestWrongSettings: what is wrong is said when a server starts.
func TestWrongSettings(t *testing.T) {
	bucket := testkit.S3(t)
	change := func(from, to string) string { return strings.Replace(bucket.URL, from, to, 1) }
	for name, c := range map[string]struct {
		storage, says string
		env           map[string]string
	}{
		"bucket":         {change(bucket.Bucket, "nobodys"), "there is no bucket nobodys", nil},
		"region":         {change("region=us-east-1", "region=eu-west-1"), "not in the region", nil},
		"access key":     {bucket.URL, "does not accept these credentials", map[string]string{"AWS_ACCESS_KEY_ID": "AKWRONG"}},
		"secret key":     {bucket.URL, "does not accept these credentials", map[string]string{"AWS_SECRET_ACCESS_KEY": "wrong-and-secret"}},
		"no credentials": {bucket.URL, "there are no credentials", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}},
		"profile":        {bucket.URL + "&profile=nobody", "nobody", map[string]string{"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}},
		"no region":      {change("&region=us-east-1", ""), "needs a region", map[string]string{"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "/dev/null"}},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			for how, open := range map[string]func() error{
				"server": func() error { _, err := OpenURL(t.Context(), c.storage); return err },
				"reader": func() error { _, err := OpenReader(t.Context(), c.storage); return err },
			} {
				err := open()
				if core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), c.says) {
					t.Errorf("%s: got %v (%s), want %q", how, err, core.CodeOf(err), c.says)
				}
				for _, secret := range []string{bucket.SecretKey, "wrong-and-secret"} {
					if err != nil && strings.Contains(err.Error(), secret) {
						t.Errorf("%s: the secret key is in the error", how)
					}
				}
			}
		})
	}
	if keys := bucket.Objects(t); len(keys) > 0 {
		t.Errorf("something was left behind: %v", keys)
	}
	down := change(url.QueryEscape(bucket.Endpoint), url.QueryEscape("http://127.0.0.1:1"))
	if _, err := OpenURL(t.Context(), down); core.CodeOf(err) != core.Unavailable {
		t.Errorf("a service that is down: %v", err)
	}
}

// TestProfile: credentials come from a profile as well.
func TestProfile(t *testing.T) {
	bucket := testkit.S3(t)
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[ops]\naws_access_key_id = "+bucket.AccessKey+"\naws_secret_access_key = "+bucket.SecretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	openBucket(t, bucket.URL+"&profile=ops")
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for storage, says := range map[string]string{
		"":                         "no name",
		"gs://bucket":              "not supported",
		"file://":                  "names no folder",
		"s3://":                    "names no bucket",
		"s3://b?regoin=x":          `a parameter "regoin"`,
		"s3://b?region=x&region=y": "twice",
		"s3://b/p?prefix=q":        "twice",
		"s3://b?prefix=../x":       "cannot be used",
		"s3://b?endpoint=host":     "is not a URL",
		"s3://b?use_path_style":    "neither true nor false",
		"s3://b?sse=rot13":         "not an encryption",
		"s3://AK:hunter2@b":        "credentials do not belong",
		"s3://b?secret_access_key=hunter2&region=x":                    "not known",
		"s3://b?endpoint=" + url.QueryEscape("https://u:hunter2@host"): "is not a URL",
		"s3://b?%zz=hunter2": "",
	} {
		_, err := OpenURL(t.Context(), storage)
		if core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), says) {
			t.Errorf("%q: got %v, want %q", storage, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error tells a secret: %v", storage, err)
		}
	}
	for storage, want := range map[string]string{"/var/lib": "/var/lib", "s3://b?region=x": "s3://b?region=x", "s3://AK:hunter2@b?region=x": "s3://b?region=x"} {
		if got := Shown(storage); got != want {
			t.Errorf("%q is shown as %q", storage, got)
		}
	}
}

// TestReader: who only looks changes nothing, not even what a crash left.
func TestReader(t *testing.T) {
	t.Parallel()
	f := open(t)
	if err := f.Put(t.Context(), "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(f.dir, unfinished, "123")
	if err := os.WriteFile(half, []byte("being written"), 0o600); err != nil {
		t.Fatal(err)
	}
	bucket := testkit.S3(t)
	if err := openBucket(t, bucket.URL).Put(t.Context(), "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, storage := range []string{f.dir, "file://" + f.dir, bucket.URL} {
		r, err := OpenReader(t.Context(), storage)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Get(t.Context(), "a"); err != nil || string(got) != "x" {
			t.Errorf("%s: %q, %v", storage, got, err)
		}
		if all, err := r.List(t.Context()); err != nil || len(all) != 1 {
			t.Errorf("%s: %v, %v", storage, all, err)
		}
		if r.Put(t.Context(), "b", nil) == nil || r.Delete(t.Context(), "a") == nil {
			t.Errorf("%s: a reader wrote", storage)
		}
	}
	if _, err := os.Stat(half); err != nil {
		t.Error(err)
	}
	missing := filepath.Join(t.TempDir(), "nowhere")
	r, err := OpenReader(t.Context(), missing)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(t.Context()); core.CodeOf(err) != core.Unavailable {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a reader made a folder")
	}
}
