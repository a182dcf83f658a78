package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// unset takes a variable away for one test.
func unset(t *testing.T, name string) {
	t.Setenv(name, "") // brings it back at the end
	if err := os.Unsetenv(name); err != nil {
		t.Fatal(err)
	}
}

func masters(t *testing.T, standard string, names ...string) Masters {
	t.Helper()
	m, err := OpenMasters(t.Context(), names, standard, true)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMasters: which key it is without a name, and with names, and what is refused.
func TestMasters(t *testing.T) {
	unset(t, Variable)
	dir := t.TempDir()
	standard := filepath.Join(dir, "master.key")
	if _, err := OpenMasters(t.Context(), nil, standard, false); core.CodeOf(err) != core.NotFound || !strings.Contains(err.Error(), standard) {
		t.Errorf("a file that is not there, to be made by others: %v", err)
	}
	made := masters(t, standard)
	if made.Made != standard || len(made.Former) != 1 {
		t.Errorf("%+v", made)
	}
	if again := masters(t, standard); again.Made != "" || again.All[0].Name() != made.All[0].Name() {
		t.Errorf("another key at the second start: %+v", again)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("# two\n"+key(2)+"\n"+key(1)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KEYS", key(3)+", "+key(4))
	both := masters(t, standard, "file:"+other, "env:KEYS")
	if len(both.All) != 2 || len(both.Former) != 4 || len(both.All[0].Names()) != 2 {
		t.Errorf("%+v", both)
	}
	t.Setenv(Variable, key(5))
	if v := masters(t, filepath.Join(dir, "none")); v.All[0].Name() != ring(t, key(5)).name() || v.Made != "" {
		t.Errorf("the variable: %+v", v)
	}

	wrapped, err := both.All[1].Wrap(t.Context(), "a", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	master, err := both.Find(both.All[1].Name())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := master.Unwrap(t.Context(), "a", wrapped); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := master.Unwrap(t.Context(), "b", wrapped); err == nil {
		t.Error("unwraps as another key")
	}
	if _, err := both.Find("awskms://gone"); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "--master-key NEW --master-key OLD") {
		t.Errorf("a master key that is not there: %v", err)
	}
	for _, name := range []string{"", "file:", "env:", "env:TERRACE_NO_SUCH", "master.key", "file:" + filepath.Join(dir, "none"), "s3://x", "base64key://", "awskms://", "https://x"} {
		if _, err := OpenMasters(t.Context(), []string{name}, standard, true); err == nil {
			t.Errorf("%q names a master key", name)
		}
	}
}

func (k *Keyring) name() string { return localPrefix + k.Keys()[0].ID }

// service is a key management service on this machine, which speaks what the real ones
// speak: the JSON of AWS KMS and the transit engine of Vault and OpenBao. How it
// encrypts is its own business.
type service struct {
	keys   *Keyring
	refuse func(w http.ResponseWriter) bool
	calls  []string
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	if s.refuse != nil && s.refuse(w) {
		return
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		s.calls = append(s.calls, target)
		var in struct {
			Plaintext, CiphertextBlob []byte
		}
		_ = json.Unmarshal(content, &in)
		out := map[string]any{"KeyId": "arn:aws:kms:eu-west-1:111122223333:key/1"}
		if strings.HasSuffix(target, "Encrypt") {
			out["CiphertextBlob"], _ = s.keys.Seal("", in.Plaintext)
		} else {
			plain, err := s.keys.Open("", in.CiphertextBlob)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"__type":"InvalidCiphertextException"}`)
				return
			}
			out["Plaintext"] = plain
		}
		_ = json.NewEncoder(w).Encode(out)
		return
	}
	s.calls = append(s.calls, r.URL.Path)
	var in struct{ Plaintext, Ciphertext string }
	_ = json.Unmarshal(content, &in)
	data := map[string]string{}
	if strings.Contains(r.URL.Path, "/encrypt/") {
		plain, _ := base64.StdEncoding.DecodeString(in.Plaintext)
		sealed, _ := s.keys.Seal("", plain)
		data["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(sealed)
	} else {
		sealed, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(in.Ciphertext, "vault:v1:"))
		plain, err := s.keys.Open("", sealed)
		if err != nil {
			http.Error(w, `{"errors":["cipher: message authentication failed"]}`, http.StatusBadRequest)
			return
		}
		data["plaintext"] = base64.StdEncoding.EncodeToString(plain)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

// TestKeyServices: a master key that never leaves its service wraps and unwraps, binds the
// name, and says what is in the way.
func TestKeyServices(t *testing.T) {
	s := &service{keys: ring(t, key(1))}
	server := httptest.NewServer(s)
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_KMS", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	t.Setenv("VAULT_SERVER_URL", server.URL)
	t.Setenv("VAULT_SERVER_TOKEN", "t")
	t.Setenv("VAULT_MAX_RETRIES", "0")
	for url, name := range map[string]string{
		"awskms://alias/terrace?region=eu-west-1": "awskms://alias/terrace",
		"hashivault://terrace":                    "hashivault://terrace",
	} {
		t.Run(name, func(t *testing.T) {
			s.refuse, s.calls = nil, nil
			m := masters(t, "", url)
			if len(m.All) != 1 || m.All[0].Name() != name || m.Former != nil {
				t.Fatalf("%+v", m)
			}
			master, secret := m.All[0], make([]byte, keySize)
			if _, err := rand.Read(secret); err != nil {
				t.Fatal(err)
			}
			wrapped, err := master.Wrap(t.Context(), "id", secret)
			if err != nil || bytes.Contains(wrapped, secret) {
				t.Fatalf("%v", err)
			}
			if got, err := master.Unwrap(t.Context(), "id", wrapped); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("%x, %v", got, err)
			}
			if len(s.calls) != 2 {
				t.Errorf("asked %v", s.calls)
			}
			if _, err := master.Unwrap(t.Context(), "other", wrapped); core.CodeOf(err) != core.Internal || !strings.Contains(err.Error(), "swapped") {
				t.Errorf("as another key: %v", err)
			}
			wrapped[len(wrapped)-3] ^= 1
			if _, err := master.Unwrap(t.Context(), "id", wrapped); err == nil {
				t.Error("changed, and unwraps")
			}
			for _, status := range []int{http.StatusForbidden, http.StatusInternalServerError} {
				s.refuse = func(w http.ResponseWriter) bool {
					w.WriteHeader(status)
					_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","errors":["permission denied"]}`)
					return true
				}
				if _, err := master.Wrap(t.Context(), "id", secret); core.CodeOf(err) != core.Unavailable || !strings.Contains(err.Error(), name) {
					t.Errorf("status %d: %v", status, err)
				}
			}
		})
	}
}

// TestAKeyServiceThatHangs: a question ends.
func TestAKeyServiceThatHangs(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	t.Setenv("AWS_ENDPOINT_URL_KMS", "http://"+listener.Addr().String())
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	master := masters(t, "", "awskms://alias/terrace?region=eu-west-1").All[0]
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := master.Wrap(ctx, "id", make([]byte, keySize)); core.CodeOf(err) != core.Unavailable {
		t.Errorf("%v", err)
	}
}
