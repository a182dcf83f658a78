package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// attemptTimeout bounds one try of one call, not the call.
	attemptTimeout = time.Minute
	firstPause     = 100 * time.Millisecond
	longestPause   = 5 * time.Second
	// maxAnswer bounds an answer in memory. States are the largest.
	maxAnswer = 1 << 30
)

// Client is safe for concurrent use.
type Client struct {
	url   string
	token string
	http  *http.Client
}

// New returns a client of the server at url, for example "http://127.0.0.1:8750".
// token may be empty: the server then refuses all but its public pages.
func New(url, token string) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 4
	return &Client{
		url:   strings.TrimRight(url, "/"),
		token: token,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// URL is the address that the client talks to.
func (c *Client) URL() string { return c.url }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one call. body is nil or what to send; it is kept so that it can be sent
// again.
type request struct {
	method string
	path   string
	query  url.Values
	body   []byte
	accept string
}

// once sends r one time and returns the body of a 2xx answer.
func (c *Client) once(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, &Unreachable{URL: c.url, Cause: err}
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s to %s %s is longer than %d bytes", c.url, r.method, r.path, maxAnswer)
	}
	return body, nil
}

// send sends r and returns a 2xx answer with its body still to be read; any other
// answer is an *Error, no answer an *Unreachable.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	address := c.url + "/api/v1" + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("%q is not the address of a server: %w", c.url, err)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &Unreachable{URL: c.url, Cause: err}
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what can be read of an explanation is enough
	return nil, refusal(resp, text)
}

// do is a person's call: one try.
func (c *Client) do(ctx context.Context, r request, in, out any) error {
	if err := r.encode(in); err != nil {
		return err
	}
	body, err := c.once(ctx, r)
	if err != nil {
		return err
	}
	return c.decode(r, body, out)
}

// insist is a runner's call: tried until the server answers yes or a definite no, or
// ctx ends. What ended it last is in the error.
func (c *Client) insist(ctx context.Context, r request, in, out any) error {
	if err := r.encode(in); err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		body, err := c.once(ctx, r)
		if err == nil {
			return c.decode(r, body, out)
		}
		var gone *Unreachable
		var refused *Error
		if !errors.As(err, &gone) && !(errors.As(err, &refused) && refused.Temporary()) {
			return err
		}
		// Runners that lost the same server must not come back all at once.
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (r *request) encode(in any) (err error) {
	if in == nil {
		return nil
	}
	if raw, ok := in.([]byte); ok {
		r.body = raw
		return nil
	}
	r.body, err = json.Marshal(in)
	return err
}

// decode reads an answer into out: a pointer to []byte takes it as it is. An empty
// answer leaves out alone.
func (c *Client) decode(r request, body []byte, out any) error {
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = body
		return nil
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the answer of %s to %s %s cannot be read (%w); is it a Terrace server of this version?", c.url, r.method, r.path, err)
	}
	return nil
}

// path joins segments, each escaped.
func path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// query drops what is empty.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" && pairs[i+1] != "0" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func number[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }
