package democloud

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Client talks to a cloud: the provider as one tenant, tests as anyone. Its errors
// carry the codes of package core; Unavailable also when the cloud can't be reached.
type Client struct {
	// URL of the cloud.
	URL string
	// Tenant that resources belong to, "default" when empty.
	Tenant string
	// Caller is sent along and ends up in the journal.
	Caller Caller
}

func (c *Client) resources(t Type, id string) string {
	tenant := c.Tenant
	if tenant == "" {
		tenant = "default"
	}
	path := "/v1/" + url.PathEscape(tenant) + "/" + url.PathEscape(string(t))
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return path
}

// Create makes a resource; it may still be in state Creating. latency nil means the
// cloud's own.
func (c *Client) Create(ctx context.Context, t Type, name string, spec Spec, latency *time.Duration) (Resource, error) {
	return call[Resource](ctx, c, http.MethodPost, c.resources(t, ""), want{name, spec, (*Duration)(latency)})
}

// Get returns a resource as it is. NotFound when the tenant has none of that id.
func (c *Client) Get(ctx context.Context, t Type, id string) (Resource, error) {
	return call[Resource](ctx, c, http.MethodGet, c.resources(t, id), nil)
}

// WaitReady returns a resource when it is no longer being created.
func (c *Client) WaitReady(ctx context.Context, t Type, id string) (Resource, error) {
	return call[Resource](ctx, c, http.MethodGet, c.resources(t, id)+"?wait=ready", nil)
}

// Update changes a resource in place. Invalid for a field that can't be.
func (c *Client) Update(ctx context.Context, t Type, id, name string, spec Spec) (Resource, error) {
	return call[Resource](ctx, c, http.MethodPut, c.resources(t, id), want{Name: name, Spec: spec})
}

// Delete destroys a resource. Conflict for a network that is in use.
func (c *Client) Delete(ctx context.Context, t Type, id string) error {
	return discard(call[struct{}](ctx, c, http.MethodDelete, c.resources(t, id), nil))
}

// Stop switches a server off, as a crash does; it keeps its folder and its address.
func (c *Client) Stop(ctx context.Context, id string) error {
	return discard(call[struct{}](ctx, c, http.MethodPost, c.resources(Server, id)+"/stop", nil))
}

// Start switches a server on again.
func (c *Client) Start(ctx context.Context, id string) error {
	return discard(call[struct{}](ctx, c, http.MethodPost, c.resources(Server, id)+"/start", nil))
}

// List returns the resources of all tenants, or only of the client's when it names
// one, by type; "" for all types.
func (c *Client) List(ctx context.Context, t Type) ([]Resource, error) {
	query := url.Values{"tenant": {c.Tenant}, "type": {string(t)}}
	return call[[]Resource](ctx, c, http.MethodGet, "/v1/resources?"+query.Encode(), nil)
}

// Resolve looks a DNS name up, in all tenants or only the client's when it names one.
func (c *Client) Resolve(ctx context.Context, name string) ([]Record, error) {
	query := url.Values{"tenant": {c.Tenant}, "name": {name}}
	a, err := call[answer](ctx, c, http.MethodGet, "/resolve?"+query.Encode(), nil)
	return a.Records, err
}

// Inject makes operations go wrong, and returns the fault with its id.
func (c *Client) Inject(ctx context.Context, f Fault) (Fault, error) {
	return call[Fault](ctx, c, http.MethodPost, "/faults", f)
}

// Faults lists the faults that are in place, with how often they hit.
func (c *Client) Faults(ctx context.Context) ([]Fault, error) {
	return call[[]Fault](ctx, c, http.MethodGet, "/faults", nil)
}

// ClearFaults removes a fault, or all for "", and lets go what hangs on it.
func (c *Client) ClearFaults(ctx context.Context, id string) error {
	path := "/faults"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return discard(call[struct{}](ctx, c, http.MethodDelete, path, nil))
}

// Journal returns every change after the one numbered after, oldest first.
func (c *Client) Journal(ctx context.Context, after int64) ([]Entry, error) {
	return call[[]Entry](ctx, c, http.MethodGet, "/journal?after="+strconv.FormatInt(after, 10), nil)
}

func discard(_ struct{}, err error) error { return err }

func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var got, none T
	text, err := json.Marshal(body)
	if err != nil {
		return none, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(text))
	if err != nil {
		return none, core.Errorf(core.Invalid, "democloud at %q: %w", c.URL, err)
	}
	req.Header.Set("Content-Type", "application/json")
	for header, value := range map[string]string{RunHeader: c.Caller.Run, FenceHeader: c.Caller.Fence} {
		if value != "" {
			req.Header.Set(header, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return none, fmt.Errorf("%s %s: %w", method, path, ctx.Err())
		}
		return none, core.Errorf(core.Unavailable, "democloud cannot be reached at %s: %w", c.URL, err)
	}
	defer func() { _ = resp.Body.Close() }() // what was needed of it is read
	answer := json.NewDecoder(resp.Body)
	if resp.StatusCode >= 300 {
		var p problem
		if err := answer.Decode(&p); err != nil || p.Code == "" {
			return none, core.Errorf(core.Unavailable, "%s answered %s: is it a democloud?", c.URL, resp.Status)
		}
		return none, core.Errorf(p.Code, "%s", p.Message)
	}
	if err := answer.Decode(&got); err != nil {
		return none, core.Errorf(core.Unavailable, "%s gave an answer that can't be read: %w", c.URL, err)
	}
	return got, nil
}
