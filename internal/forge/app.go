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
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// renewAt is how long a token has to be good for when it is handed out; GitHub's are for an hour.
const renewAt = 30 * time.Minute

// installation is a GitHub app where a repository's owner installed it. It signs in with the app's key, and gets tokens for that
// one repository.
type installation struct {
	conn *conn
	repo string
	id   int64
	now  func() time.Time
	// turn is held by whoever reads or renews what follows; a channel, because who waits may be told to stop.
	turn  chan struct{}
	grant grant
}

// grant is a token, until when it is good, and what it may.
type grant struct {
	Token  string            `json:"token"`
	Until  time.Time         `json:"expires_at"`
	Rights map[string]string `json:"permissions"`
}

func openInstallation(c Config, now func() time.Time) (*installation, error) {
	key, err := parseKey(c.App.Key)
	if err != nil {
		return nil, err
	}
	a := &installation{conn: githubConn(c), repo: c.Repo, id: c.App.Installation, now: now, turn: make(chan struct{}, 1)}
	a.conn.auth = func(context.Context) (string, error) {
		token, err := appToken(key, c.App.ID, now())
		return "Bearer " + token, err
	}
	return a, nil
}

// parseKey reads an app's key, as GitHub gives it.
func parseKey(text string) (*rsa.PrivateKey, error) {
	wrong := core.Errorf(core.Invalid, "the app's key is no RSA key in PEM form; give the whole .pem file that the app's page makes under \"Private keys\"")
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, wrong
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, wrong
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, wrong
	}
	return key, nil
}

// appToken is a JSON web token that says which app asks. It begins a minute ago, for clocks that differ, and ends in nine: GitHub takes ten at most.
func appToken(key *rsa.PrivateKey, id int64, now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(), "iss": fmt.Sprint(id)})
	if err != nil {
		return "", core.Errorf(core.Internal, "the app's token can't be written: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", core.Errorf(core.Invalid, "the app's key can't sign: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// current returns what is good for a while.
func (a *installation) current(ctx context.Context) (grant, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return grant{}, core.Errorf(core.Unavailable, "%s: waited for a token of the app: %w", a.conn.name, ctx.Err())
	}
	defer func() { <-a.turn }()
	if a.grant.Token != "" && a.grant.Until.Sub(a.now()) >= renewAt {
		return a.grant, nil
	}
	if err := a.find(ctx); err != nil {
		return grant{}, err
	}
	if err := a.renew(ctx); err != nil {
		return grant{}, err
	}
	return a.grant, nil
}

func (a *installation) find(ctx context.Context) error {
	if a.id != 0 {
		return nil
	}
	var is struct {
		ID int64 `json:"id"`
	}
	_, err := a.conn.do(ctx, request{what: "find where the app is installed for " + a.repo, method: http.MethodGet, path: "/repos/" + a.repo + "/installation"}, &is)
	if core.CodeOf(err) == core.NotFound {
		return core.Errorf(core.NotFound, "%s: the app is not installed for %s; its page has \"Install App\"", a.conn.name, a.repo)
	}
	if err == nil {
		a.id = is.ID
	}
	return err
}

func (a *installation) renew(ctx context.Context) error {
	_, name, _ := strings.Cut(a.repo, "/")
	var made grant
	if _, err := a.conn.do(ctx, request{what: "get a token of the app for " + a.repo, method: http.MethodPost,
		path: fmt.Sprintf("/app/installations/%d/access_tokens", a.id), body: map[string][]string{"repositories": {name}}}, &made); err != nil {
		return err
	}
	if made.Token == "" {
		return core.Errorf(core.Unavailable, "%s: the app got an empty token", a.conn.name)
	}
	a.grant = made
	return nil
}

// forget makes the next one who asks get a new token.
func (a *installation) forget() {
	select {
	case a.turn <- struct{}{}:
		a.grant = grant{}
		<-a.turn
	default: // somebody renews it
	}
}

// check says what the app may too little.
func (a *installation) check(ctx context.Context) error {
	g, err := a.current(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, need := range [][2]string{{"contents", "read"}, {"pull_requests", "write"}, {"statuses", "write"}} {
		if has := g.Rights[need[0]]; has != "write" && has != need[1] {
			missing = append(missing, strings.ReplaceAll(need[0], "_", " ")+" "+need[1])
		}
	}
	if len(missing) > 0 {
		return core.Errorf(core.Denied, "%s: the app is installed for %s without %s; change its permissions on its page, and have the owner of the repository accept that", a.conn.name, a.repo, strings.Join(missing, ", "))
	}
	return nil
}
