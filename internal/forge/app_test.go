package forge

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

var appKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pemKey() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(appKey())}))
}

// clock is a time that a test moves.
type clock struct {
	sync.Mutex
	time.Time
}

func (c *clock) now() time.Time {
	c.Lock()
	defer c.Unlock()
	return c.Time
}

func (c *clock) pass(d time.Duration) {
	c.Lock()
	defer c.Unlock()
	c.Time = c.Add(d)
}

func appClient(t testing.TB, f *fake, installation int64, at *clock) Client {
	t.Helper()
	c := Config{Kind: GitHub, URL: f.URL, Repo: "acme/infra", App: &App{ID: 77, Installation: installation, Key: pemKey()}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	client, err := openGitHub(c, at.now)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

const grantLine = "POST /api/v3/app/installations/4242/access_tokens"

func granted(token string, until time.Time) answer {
	return answer{status: http.StatusCreated, body: fmt.Sprintf(`{"token":%q,"expires_at":%q,"permissions":{"contents":"read","metadata":"read","pull_requests":"write","statuses":"write"},"repository_selection":"selected"}`,
		token, until.UTC().Format(time.RFC3339))}
}

func TestAppToken(t *testing.T) {
	at := &clock{Time: time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)}
	f := newFake(t, "")
	client := appClient(t, f, 0, at)
	f.on("GET /api/v3/repos/acme/infra/installation", answer{file: "github/installation.json"})
	f.on(grantLine, granted("ghs_one", at.Add(time.Hour)))
	f.on(grantLine, granted("ghs_two", at.Add(2*time.Hour)))
	f.on(grantLine, granted("ghs_three", at.Add(3*time.Hour)))
	login := func(want string) {
		t.Helper()
		if got, err := client.Login(t.Context()); err != nil || got != (Login{User: "x-access-token", Password: want}) {
			t.Fatalf("Login() = %+v, %v; not %s", got, err, want)
		}
	}
	login("ghs_one")
	at.pass(30 * time.Minute)
	login("ghs_one")
	at.pass(time.Minute)
	login("ghs_two")
	same(t, "requests", f.lines(), []string{"GET /api/v3/repos/acme/infra/installation", grantLine, grantLine})
	if body := f.asked[1].body; body != `{"repositories":["infra"]}` {
		t.Errorf("the token is asked for with %s", body)
	}
	// A token that is refused is not used again.
	f.on("GET "+githubRoot+"/collaborators/ana/permission", answer{status: 401, body: `{"message":"Bad credentials"}`})
	if _, err := client.MayPush(t.Context(), "ana"); core.CodeOf(err) != core.Denied {
		t.Error(err)
	}
	login("ghs_three")
}

// TestAppSigns: the app's own requests carry a token that its key signed, and that GitHub would take.
func TestAppSigns(t *testing.T) {
	now := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	token, err := appToken(appKey(), 77, now)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal(token)
	}
	decode := func(part string, into any) []byte {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		if into != nil {
			if err := json.Unmarshal(data, into); err != nil {
				t.Fatal(err)
			}
		}
		return data
	}
	var header map[string]string
	decode(parts[0], &header)
	same(t, "header", header, map[string]string{"alg": "RS256", "typ": "JWT"})
	var claims struct {
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
		Issuer  string `json:"iss"`
	}
	decode(parts[1], &claims)
	if claims.Issuer != "77" || claims.Issued != now.Unix()-60 || claims.Expires-claims.Issued > 600 {
		t.Errorf("claims: %+v", claims)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&appKey().PublicKey, crypto.SHA256, sum[:], decode(parts[2], nil)); err != nil {
		t.Error(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(appKey())
	if err != nil {
		t.Fatal(err)
	}
	if key, err := parseKey(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))); err != nil || !key.Equal(appKey()) {
		t.Errorf("a key in the other form: %v", err)
	}
}

// TestAppAsksOnce: many who want a token at the same time get one and the same.
func TestAppAsksOnce(t *testing.T) {
	at := &clock{Time: time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)}
	f := newFake(t, "")
	client := appClient(t, f, 4242, at)
	f.on(grantLine, granted("ghs_one", at.Add(time.Hour)))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if login, err := client.Login(t.Context()); err != nil || login.Password != "ghs_one" {
				t.Errorf("Login() = %+v, %v", login, err)
			}
		})
	}
	all.Wait()
	same(t, "requests", f.lines(), []string{grantLine})
}

func TestAppCheck(t *testing.T) {
	at := &clock{Time: time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)}
	t.Run("not installed", func(t *testing.T) {
		f := newFake(t, "")
		f.on("GET /api/v3/repos/acme/infra/installation", answer{status: http.StatusNotFound, body: `{"message":"Not Found"}`})
		err := appClient(t, f, 0, at).Check(t.Context())
		if core.CodeOf(err) != core.NotFound || !strings.Contains(err.Error(), "not installed for acme/infra") {
			t.Error(err)
		}
	})
	t.Run("may too little", func(t *testing.T) {
		f := newFake(t, "")
		f.on(grantLine, answer{status: http.StatusCreated, body: `{"token":"ghs_one","expires_at":"2026-11-28T11:00:00Z","permissions":{"contents":"write","pull_requests":"read"}}`})
		f.on("GET "+githubRoot, answer{body: `{}`})
		err := appClient(t, f, 4242, at).Check(t.Context())
		if core.CodeOf(err) != core.Denied || !strings.Contains(err.Error(), "without pull requests write, statuses write") {
			t.Error(err)
		}
	})
	t.Run("waits no longer than it is told to", func(t *testing.T) {
		app, err := openInstallation(Config{Kind: GitHub, URL: "http://127.0.0.1:1", Repo: "acme/infra", App: &App{ID: 77, Key: pemKey()}}, at.now)
		if err != nil {
			t.Fatal(err)
		}
		app.turn <- struct{}{} // somebody renews it
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := app.current(ctx); core.CodeOf(err) != core.Unavailable {
			t.Error(err)
		}
		app.forget() // does not wait
	})
}
