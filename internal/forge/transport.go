package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

const (
	// answerLimit bounds what is read of one answer, in bytes.
	answerLimit = 8 << 20
	// pageLimit bounds a page of a list. Descriptions of a million characters are allowed on GitLab; of each page, one element at a time is kept.
	pageLimit = 256 << 20
	// mostPages bounds a list; a forge that says "there is more" forever is broken.
	mostPages = 200
)

// conn sends requests to one forge.
type conn struct {
	// name is what errors call it: GitLab (gitlab.com).
	name string
	// api is where its API begins.
	api    string
	client *http.Client
	// header goes with every request.
	header http.Header
	// auth returns what to send as Authorization: a word, a space and the token.
	auth func(ctx context.Context) (string, error)
	// refused is told that a token was not accepted; it may be nil.
	refused func()
	// where says where to get a token, and what it has to be allowed.
	where string
}

// request is one thing asked of a forge.
type request struct {
	// what completes "can't": comment on pull request 7.
	what   string
	method string
	path   string
	query  url.Values
	body   any
}

// do sends a request and reads its answer into a value, which may be nil.
func (c *conn) do(ctx context.Context, r request, into any) (http.Header, error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // what was wanted of it was read
	if into == nil {
		return res.Header, nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, answerLimit)).Decode(into); err != nil {
		return nil, c.unreadable(r, err)
	}
	return res.Header, nil
}

// each gives all elements of a list to take, page by page; size is the name and value that set a page's size. The address of the next page is
// made here and not taken from the answer: forges behind proxies often don't know their own.
func each[T any](ctx context.Context, c *conn, r request, size [2]string, take func(T)) error {
	query := url.Values{}
	for name, values := range r.query {
		query[name] = values
	}
	query.Set(size[0], size[1])
	r.query = query
	for page := 1; page <= mostPages; page++ {
		query.Set("page", strconv.Itoa(page))
		more, err := eachOf(ctx, c, r, take)
		if err != nil || !more {
			return err
		}
	}
	return core.Errorf(core.Invalid, "%s: can't %s: there are more than %d pages of them", c.name, r.what, mostPages)
}

func eachOf[T any](ctx context.Context, c *conn, r request, take func(T)) (more bool, err error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return false, err
	}
	defer func() { _ = res.Body.Close() }() // what was wanted of it was read
	list := json.NewDecoder(io.LimitReader(res.Body, pageLimit))
	start, err := list.Token()
	if err == nil && start != json.Delim('[') {
		err = errors.New("it is no list")
	}
	if err != nil {
		return false, c.unreadable(r, err)
	}
	found := false
	for list.More() {
		var element T
		if err := list.Decode(&element); err != nil {
			return false, c.unreadable(r, err)
		}
		take(element)
		found = true
	}
	if _, err := list.Token(); err != nil {
		return false, c.unreadable(r, err)
	}
	return found && hasNext(res.Header), nil
}

// hasNext reads the Link header, which all forges send with lists.
func hasNext(header http.Header) bool {
	for _, value := range header.Values("Link") {
		for link := range strings.SplitSeq(value, ",") {
			if _, parameters, ok := strings.Cut(link, ">"); ok && strings.Contains(strings.ReplaceAll(parameters, " ", ""), `rel="next"`) {
				return true
			}
		}
	}
	return false
}

// send returns the answer to a request when it is a good one; its body is the caller's to close.
func (c *conn) send(ctx context.Context, r request) (*http.Response, error) {
	auth, err := c.auth(ctx)
	if err != nil {
		return nil, err
	}
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", auth)
	res, err := c.client.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) { // its text is the address, once more
			err = inner.Err
		}
		return nil, core.Errorf(core.Unavailable, "%s can't be reached to %s: %w", c.name, r.what, err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }() // what was wanted of it was read
	if res.StatusCode == http.StatusUnauthorized && c.refused != nil {
		c.refused()
	}
	_, secret, _ := strings.Cut(auth, " ")
	return nil, c.refusal(r, res, secret)
}

func (c *conn) build(ctx context.Context, r request) (*http.Request, error) {
	address := c.api + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, core.Errorf(core.Internal, "what to send to %s to %s can't be written as JSON: %w", c.name, r.what, err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, core.Errorf(core.Invalid, "%s: can't %s: the address is none: %w", c.name, r.what, err)
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "terrace")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// unreadable: an answer that ends too early is one of a broken connection, and one that is no JSON is that of a proxy.
func (c *conn) unreadable(r request, err error) error {
	return core.Errorf(core.Unavailable, "%s: can't %s: its answer is cut off, or none of the API at %s: %w", c.name, r.what, c.api, err)
}

// refusal is the error for an answer that is not a good one.
func (c *conn) refusal(r request, res *http.Response, secret string) error {
	said := message(res, secret)
	status := strconv.Itoa(res.StatusCode)
	if said != "" {
		status += " " + said
	}
	failed := fmt.Sprintf("%s: can't %s (%s)", c.name, r.what, status)
	if after, ok := asksToWait(res, said, time.Now()); ok {
		return core.Errorf(core.Unavailable, "%s: %w", failed, &waiting{after})
	}
	switch code := res.StatusCode; {
	case code < 400:
		return core.Errorf(core.Invalid, "%s: it sends on to %s, where the token would be in wrong hands; give the URL and the path that the repository has now",
			failed, line(elsewhere(res), 200))
	case code == http.StatusUnauthorized:
		return core.Errorf(core.Denied, "%s: the token is not accepted: it is wrong, expired or was revoked. %s", failed, c.where)
	case code == http.StatusForbidden:
		if accepted := line(res.Header.Get("X-Accepted-GitHub-Permissions"), 200); accepted != "" {
			failed += ", which takes " + accepted
		}
		return core.Errorf(core.Denied, "%s: the token may not do that. %s", failed, c.where)
	case code == http.StatusNotFound, code == http.StatusGone:
		return core.Errorf(core.NotFound, "%s: it is not there, or the token may not see it", failed)
	case code == http.StatusLocked:
		return core.Errorf(core.Denied, "%s: the repository is archived", failed)
	case code == http.StatusRequestTimeout, code >= 500:
		return core.Errorf(core.Unavailable, "%s; nothing more is known; it is tried again later", failed)
	default:
		return core.Errorf(core.Invalid, "%s", failed)
	}
}

func elsewhere(res *http.Response) string {
	if to, err := res.Location(); err == nil {
		return to.Scheme + "://" + to.Host
	}
	return "nowhere"
}

// message is what the forge says of an error, in one line and without the token, which a forge might repeat.
func message(res *http.Response, secret string) string {
	data, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return "" // the status says enough
	}
	var said struct {
		Message     any    `json:"message"`
		Error       any    `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(data, &said) != nil {
		return ""
	}
	var parts []string
	for _, part := range []any{said.Message, said.Error, said.Description} {
		if part != nil && part != "" {
			parts = append(parts, fmt.Sprint(part))
		}
	}
	text := strings.Join(parts, ": ")
	if secret != "" {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return line(text, 300)
}
