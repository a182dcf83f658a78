package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// What a runner says. Every call insists: it returns nil, a definite refusal
// (*Error), or the end of ctx.

// Claim starts the attempt that the token was made for.
func (c *Client) Claim(ctx context.Context, run string, claim wire.Claim) (job wire.Job, err error) {
	err = c.insist(ctx, request{method: "POST", path: path("runs", run, "claim")}, claim, &job)
	return job, err
}

// Phase reports that a phase begins.
func (c *Client) Phase(ctx context.Context, run, status string) error {
	return c.insist(ctx, request{method: "POST", path: path("runs", run, "phase")}, wire.Phase{Status: status}, nil)
}

// Planned reports a plan and hears what to do with it.
func (c *Client) Planned(ctx context.Context, run string, planned wire.Planned) (next wire.Next, err error) {
	err = c.insist(ctx, request{method: "POST", path: path("runs", run, "planned")}, planned, &next)
	return next, err
}

// Looked reports what a look found.
func (c *Client) Looked(ctx context.Context, run string, looked wire.Looked) error {
	return c.insist(ctx, request{method: "POST", path: path("runs", run, "looked")}, looked, nil)
}

// Applied reports the end of a good apply and hears what follows it.
func (c *Client) Applied(ctx context.Context, run string, applied wire.Applied) (after wire.After, err error) {
	err = c.insist(ctx, request{method: "POST", path: path("runs", run, "applied")}, applied, &after)
	return after, err
}

// During asks, in the middle of an apply, what to provision.
func (c *Client) During(ctx context.Context, run string, during wire.During) (after wire.After, err error) {
	err = c.insist(ctx, request{method: "POST", path: path("runs", run, "during")}, during, &after)
	return after, err
}

// Provisioned reports the end of good provisioning and hears what follows it.
func (c *Client) Provisioned(ctx context.Context, run string, provisioned wire.Provisioned) (after wire.After, err error) {
	err = c.insist(ctx, request{method: "POST", path: path("runs", run, "provisioned")}, provisioned, &after)
	return after, err
}

// Hosts tells how far Ansible is. It is said once: what comes later says more.
func (c *Client) Hosts(ctx context.Context, run string, provisioned wire.Provisioned) error {
	return c.do(ctx, request{method: "POST", path: path("runs", run, "hosts")}, provisioned, nil)
}

// Recovered delivers a state that the engine could not upload, as it is: the server
// keeps it in the instance's recovery slot.
func (c *Client) Recovered(ctx context.Context, run string, state []byte) error {
	return c.insist(ctx, request{method: "POST", path: path("runs", run, "recovered")}, state, nil)
}

// RecoveredState returns the state that a recover run with the stack's own backend is to
// store there.
func (c *Client) RecoveredState(ctx context.Context, run string) (state []byte, err error) {
	err = c.insist(ctx, request{method: "GET", path: path("runs", run, "recovered")}, nil, &state)
	return state, err
}

// Finish ends the attempt.
func (c *Client) Finish(ctx context.Context, run string, finish wire.Finish) error {
	return c.insist(ctx, request{method: "POST", path: path("runs", run, "finish")}, finish, nil)
}

// Heartbeat says that the runner lives, once: the next one is due soon anyway.
func (c *Client) Heartbeat(ctx context.Context, run string) (beat wire.Beat, err error) {
	err = c.do(ctx, request{method: "POST", path: path("runs", run, "heartbeat")}, struct{}{}, &beat)
	return beat, err
}

// SendLogs appends chunks to the run's log.
func (c *Client) SendLogs(ctx context.Context, run string, chunks []wire.LogChunk) error {
	return c.insist(ctx, request{method: "POST", path: path("runs", run, "logs")}, chunks, nil)
}
