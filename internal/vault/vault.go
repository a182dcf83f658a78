// Package vault reads secrets over the HTTP interface of Vault and OpenBao: version 1 and 2 of
// the key/value store, with a token or an AppRole. It reads, and does nothing else.
package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Bounds of what is asked of a vault, and of what it answers.
const (
	Timeout   = 10 * time.Second // of one request
	maxAnswer = 1 << 20
	maxSaid   = 300 // of what it says of an error
	maxHops   = 3
)

// Server is a vault.
type Server struct {
	Name      string // in the guardrails
	Address   string // https://HOST[:PORT]
	Namespace string // "" for none
	// CA is what its certificate is checked with, PEM; "" for the machine's.
	CA string
}

// Login is with what one logs in: a token, or an AppRole at Mount.
type Login struct {
	Token            string
	Mount            string
	RoleID, SecretID string
}

// Session is a login that was made. It is not safe for concurrent use.
type Session struct {
	server Server
	client *http.Client
	token  string
	mine   bool // made here, so revoked here
	read   map[string]map[string]any
}

// Open logs in. Errors: Invalid for a server that cannot be used; Conflict when it refuses the
// login; Unavailable when it does not answer, or is sealed. No error shows a credential.
func Open(ctx context.Context, s Server, l Login) (*Session, error) {
	transport, err := transportOf(s)
	if err != nil {
		return nil, err
	}
	v := &Session{server: s, token: l.Token, read: map[string]map[string]any{}}
	v.client = &http.Client{Transport: transport, Timeout: Timeout, CheckRedirect: stays}
	if l.Token != "" {
		return v, nil
	}
	body, err := json.Marshal(map[string]string{"role_id": l.RoleID, "secret_id": l.SecretID})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		} `json:"auth"`
	}
	status, said, err := v.ask(ctx, http.MethodPost, "auth/"+l.Mount+"/login", body, &answer)
	switch {
	case err != nil:
		v.client.CloseIdleConnections()
		return nil, err
	case status != http.StatusOK || answer.Auth.ClientToken == "":
		v.client.CloseIdleConnections()
		return nil, core.Errorf(core.Conflict, "the vault %q refuses the AppRole (status %d%s): look whether the role exists at auth/%s, and store a new secret id", s.Name, status, said, l.Mount)
	}
	v.token, v.mine = answer.Auth.ClientToken, true
	return v, nil
}

// Close ends what Open began: a token that was made is revoked, as well as that goes.
func (v *Session) Close(ctx context.Context) {
	if v.mine {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
		defer cancel()
		_, _, _ = v.ask(ctx, http.MethodPost, "auth/token/revoke-self", nil, nil)
	}
	v.client.CloseIdleConnections()
}

// Read returns one value of the secret at a path. Each path is asked for once in a session.
// Errors: Invalid for a path that is none; Conflict when the vault refuses or has no such
// secret or value; Unavailable when it does not answer, or is sealed.
func (v *Session) Read(ctx context.Context, path, key string) (string, error) {
	if err := core.CheckVaultPath(path); err != nil {
		return "", err
	}
	data, known := v.read[path]
	if !known {
		var err error
		if data, err = v.secret(ctx, path); err != nil {
			return "", err
		}
		v.read[path] = data
	}
	switch value := data[key].(type) {
	case string:
		return value, nil
	case nil:
		return "", core.Errorf(core.Conflict, "%s of the vault %q has no value %q", path, v.server.Name, key)
	default:
		text, err := json.Marshal(value)
		return string(text), err
	}
}

// secret asks for all values at a path.
func (v *Session) secret(ctx context.Context, path string) (map[string]any, error) {
	var answer struct {
		Data map[string]any `json:"data"`
	}
	status, said, err := v.ask(ctx, http.MethodGet, path, nil, &answer)
	if err != nil {
		return nil, err
	}
	data, second := versioned(answer.Data)
	switch {
	case status == http.StatusForbidden:
		return nil, core.Errorf(core.Conflict, "the vault %q refuses %s (status 403%s): the token has ended, or its policy does not let it read there", v.server.Name, path, said)
	case status == http.StatusNotFound && second:
		return nil, core.Errorf(core.Conflict, "the newest version of %s of the vault %q was deleted: undelete it there, or write another", path, v.server.Name)
	case status == http.StatusNotFound:
		return nil, core.Errorf(core.Conflict, "the vault %q has nothing at %s (status 404): write it there, or correct the path; with version 2 of the key/value store, data/ follows the mount", v.server.Name, path)
	case status != http.StatusOK:
		return nil, core.Errorf(core.Conflict, "the vault %q does not understand the request for %s (status %d%s)", v.server.Name, path, status, said)
	case data == nil:
		return nil, core.Errorf(core.Conflict, "%s of the vault %q has no values", path, v.server.Name)
	}
	return data, nil
}

// versioned takes the values out of an answer of version 2, which has them beside metadata.
func versioned(data map[string]any) (values map[string]any, second bool) {
	metadata, _ := data["metadata"].(map[string]any)
	_, numbered := metadata["version"].(json.Number)
	inner, isObject := data["data"].(map[string]any)
	if numbered && len(data) == 2 && (isObject || data["data"] == nil) {
		return inner, true
	}
	return data, false
}

// ask sends one request. The error is Unavailable, for what another attempt may mend; said is
// what the vault says of what it refuses.
func (v *Session) ask(ctx context.Context, method, path string, body []byte, into any) (status int, said string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(v.server.Address, "/")+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", core.Errorf(core.Invalid, "the address of the vault %q cannot be used", v.server.Name)
	}
	req.Header.Set("X-Vault-Request", "true")
	req.Header.Set("Accept", "application/json")
	if v.token != "" {
		req.Header.Set("X-Vault-Token", v.token)
	}
	if v.server.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", v.server.Namespace)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := v.client.Do(req)
	if err != nil {
		var moved *redirected
		if errors.As(err, &moved) {
			return 0, "", core.Errorf(core.Conflict, "the vault %q sends its callers to %s, and a token goes nowhere else than to the address in the guardrails: write there the address of the node that answers, or of what stands before all", v.server.Name, moved.to)
		}
		var asked *url.Error
		if errors.As(err, &asked) {
			err = asked.Err // without the URL
		}
		return 0, "", core.Errorf(core.Unavailable, "the vault %q does not answer: %w", v.server.Name, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, "", core.Errorf(core.Unavailable, "the vault %q does not answer: %w", v.server.Name, err)
	case len(text) > maxAnswer:
		return 0, "", core.Errorf(core.Conflict, "the vault %q answers with more than %d bytes", v.server.Name, maxAnswer)
	}
	said = v.complaint(text)
	switch {
	case res.StatusCode == http.StatusServiceUnavailable && strings.Contains(strings.ToLower(said), "sealed"):
		return 0, "", core.Errorf(core.Unavailable, "the vault %q is sealed: somebody has to unseal it", v.server.Name)
	case res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		return 0, "", core.Errorf(core.Unavailable, "the vault %q cannot answer now (status %d%s)", v.server.Name, res.StatusCode, said)
	}
	if into != nil && len(text) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(into); err != nil && res.StatusCode == http.StatusOK {
			return 0, "", core.Errorf(core.Conflict, "what answers as the vault %q does not speak its language: its answer is no JSON", v.server.Name)
		}
	}
	return res.StatusCode, said, nil
}

// complaint is what an answer says is wrong, made fit for a sentence, without the token.
func (v *Session) complaint(text []byte) string {
	var answer struct {
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(text, &answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	words := strings.Join(strings.Fields(strings.Join(answer.Errors, "; ")), " ")
	if v.token != "" {
		words = strings.ReplaceAll(words, v.token, "(hidden)")
	}
	if len(words) > maxSaid {
		words = words[:maxSaid] + "…"
	}
	return ": " + strconv.Quote(words)
}

// redirected is a redirect that is not followed.
type redirected struct{ to string }

func (r *redirected) Error() string { return "it sends to " + r.to }

// stays follows redirects on the same host alone, since the token goes along.
func stays(req *http.Request, via []*http.Request) error {
	if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme || len(via) > maxHops {
		return &redirected{req.URL.Scheme + "://" + req.URL.Host}
	}
	return nil
}

func transportOf(s Server) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(s.CA)) {
			return nil, core.Errorf(core.Invalid, "ca of the vault %q has no certificate", s.Name)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}
