package client

import (
	"context"
	"encoding/json"

	"github.com/terrace-cd/terrace/internal/wire"
)

// What people ask: one try each.

func get[T any](ctx context.Context, c *Client, path string, q ...string) (out T, err error) {
	err = c.do(ctx, request{method: "GET", path: path, query: query(q...)}, nil, &out)
	return out, err
}

func post[T any](ctx context.Context, c *Client, path string, in any) (out T, err error) {
	err = c.do(ctx, request{method: "POST", path: path}, in, &out)
	return out, err
}

// Projects lists the projects.
func (c *Client) Projects(ctx context.Context) ([]wire.Project, error) {
	return get[[]wire.Project](ctx, c, "/projects")
}

// AddProject adds a project. The answer holds its webhook.
func (c *Client) AddProject(ctx context.Context, p wire.AddProject) (wire.Project, error) {
	return post[wire.Project](ctx, c, "/projects", p)
}

// Project shows a project.
func (c *Client) Project(ctx context.Context, name string) (wire.Project, error) {
	return get[wire.Project](ctx, c, path("projects", name))
}

// RemoveProject forgets a project and what Terrace knows of it. With force it does so
// even while states have resources, which are forgotten, not destroyed.
func (c *Client) RemoveProject(ctx context.Context, name string, force bool) error {
	asked := ""
	if force {
		asked = "true"
	}
	return c.do(ctx, request{method: "DELETE", path: path("projects", name), query: query("force", asked)}, nil, nil)
}

// Acknowledge accepts that deployed commits are gone from the branch (rule 2).
func (c *Client) Acknowledge(ctx context.Context, name string) (wire.Project, error) {
	return post[wire.Project](ctx, c, path("projects", name, "acknowledge"), struct{}{})
}

// Status is the board of a project; why adds each instance's differences.
func (c *Client) Status(ctx context.Context, project string, why bool) (wire.Status, error) {
	asked := ""
	if why {
		asked = "true"
	}
	return get[wire.Status](ctx, c, path("projects", project, "status"), "why", asked)
}

// Rollouts lists a project's rollouts, newest first; limit 0 is the server's default.
func (c *Client) Rollouts(ctx context.Context, project string, limit int) ([]wire.Rollout, error) {
	return get[[]wire.Rollout](ctx, c, path("projects", project, "rollouts"), "limit", number(limit))
}

// StartRollout starts a rollout.
func (c *Client) StartRollout(ctx context.Context, project string, s wire.StartRollout) (wire.Rollout, error) {
	return post[wire.Rollout](ctx, c, path("projects", project, "rollouts"), s)
}

// Rollout shows a rollout with its runs.
func (c *Client) Rollout(ctx context.Context, id string) (wire.Rollout, error) {
	return get[wire.Rollout](ctx, c, path("rollouts", id))
}

// CancelRollout stops a rollout.
func (c *Client) CancelRollout(ctx context.Context, id string) (wire.Rollout, error) {
	return post[wire.Rollout](ctx, c, path("rollouts", id, "cancel"), struct{}{})
}

// RunFilter selects runs; empty fields select all.
type RunFilter struct {
	Environment, Rollout, Stack string
	Limit                       int
}

// Runs lists a project's runs, newest first.
func (c *Client) Runs(ctx context.Context, project string, f RunFilter) ([]wire.Run, error) {
	return get[[]wire.Run](ctx, c, path("projects", project, "runs"),
		"environment", f.Environment, "rollout", f.Rollout, "stack", f.Stack, "limit", number(f.Limit))
}

// Run shows a run.
func (c *Client) Run(ctx context.Context, id string) (wire.Run, error) {
	return get[wire.Run](ctx, c, path("runs", id))
}

// Plan shows what a run proposes.
func (c *Client) Plan(ctx context.Context, id string) (wire.Plan, error) {
	return get[wire.Plan](ctx, c, path("runs", id, "plan"))
}

// CancelRun asks a run to stop.
func (c *Client) CancelRun(ctx context.Context, id string) (wire.Run, error) {
	return post[wire.Run](ctx, c, path("runs", id, "cancel"), struct{}{})
}

// AbandonRun gives up a runner that does not answer. In an apply the outcome is unknown
// then.
func (c *Client) AbandonRun(ctx context.Context, id, reason string) (wire.Run, error) {
	return post[wire.Run](ctx, c, path("runs", id, "abandon"), wire.Reason{Reason: reason})
}

// RecoverRun starts a recover run for an unknown outcome (rule 20). unlock is the ID of
// a lock in the stack's own backend to take away first, "" for none.
func (c *Client) RecoverRun(ctx context.Context, id, unlock string) (wire.Run, error) {
	return post[wire.Run](ctx, c, path("runs", id, "recover"), wire.Recover{Unlock: unlock})
}

// States lists the instances that have a state.
func (c *Client) States(ctx context.Context, project string) ([]wire.StateVersion, error) {
	return get[[]wire.StateVersion](ctx, c, path("projects", project, "states"))
}

// State shows an instance's state, its lock and its recovery slot.
func (c *Client) State(ctx context.Context, project, environment, stack string) (wire.State, error) {
	return get[wire.State](ctx, c, path("projects", project, "states", environment, stack))
}

// StateVersions lists an instance's state versions, newest first.
func (c *Client) StateVersions(ctx context.Context, project, environment, stack string) ([]wire.StateVersion, error) {
	return get[[]wire.StateVersion](ctx, c, path("projects", project, "states", environment, stack, "versions"))
}

// PullState returns a stored state as it is; version 0 is the current one.
func (c *Client) PullState(ctx context.Context, project, environment, stack string, version int64) ([]byte, error) {
	return get[[]byte](ctx, c, path("projects", project, "states", environment, stack, "pull"), "version", number(version))
}

// PushState stores a state, under the rules of any write.
func (c *Client) PushState(ctx context.Context, project, environment, stack string, state []byte) (wire.StateVersion, error) {
	return post[wire.StateVersion](ctx, c, path("projects", project, "states", environment, stack, "push"), state)
}

// ImportState stores the first state of an instance; from says where it comes from.
func (c *Client) ImportState(ctx context.Context, project, environment, stack, from string, state []byte) (out wire.StateVersion, err error) {
	err = c.do(ctx, request{method: "POST", path: path("projects", project, "states", environment, stack, "import"), query: query("from", from)}, state, &out)
	return out, err
}

// DiffStates compares two versions; to 0 is the current one, from 0 the one before to.
func (c *Client) DiffStates(ctx context.Context, project, environment, stack string, from, to int64) (wire.StateDiff, error) {
	return get[wire.StateDiff](ctx, c, path("projects", project, "states", environment, stack, "diff"), "from", number(from), "to", number(to))
}

// RestoreState makes an older version current again.
func (c *Client) RestoreState(ctx context.Context, project, environment, stack string, version int64, reason string) (wire.StateVersion, error) {
	return post[wire.StateVersion](ctx, c, path("projects", project, "states", environment, stack, "restore"), wire.RestoreState{Version: version, Reason: reason})
}

// Token is what the client shows to the server.
func (c *Client) Token() string { return c.token }

// UnlockState takes a lock away from who holds it.
func (c *Client) UnlockState(ctx context.Context, project, environment, stack, reason string) error {
	return c.do(ctx, request{method: "POST", path: path("projects", project, "states", environment, stack, "unlock")}, wire.Reason{Reason: reason}, nil)
}

// Inventory returns an instance's Ansible inventory, in the --list form.
func (c *Client) Inventory(ctx context.Context, project, environment, stack string) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, path("projects", project, "inventory", environment, stack))
}

// Secrets lists the names of an environment's secrets.
func (c *Client) Secrets(ctx context.Context, project, environment string) ([]string, error) {
	return get[[]string](ctx, c, path("projects", project, "secrets", environment))
}

// SetSecret stores a secret's value.
func (c *Client) SetSecret(ctx context.Context, project, environment, name, value string) error {
	return c.do(ctx, request{method: "PUT", path: path("projects", project, "secrets", environment, name)}, wire.SecretValue{Value: value}, nil)
}

// RemoveSecret forgets a secret.
func (c *Client) RemoveSecret(ctx context.Context, project, environment, name string) error {
	return c.do(ctx, request{method: "DELETE", path: path("projects", project, "secrets", environment, name)}, nil, nil)
}

// Tokens lists the tokens, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]wire.Token, error) {
	return get[[]wire.Token](ctx, c, "/tokens")
}

// CreateToken makes a token; its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, t wire.CreateToken) (wire.Token, error) {
	return post[wire.Token](ctx, c, "/tokens", t)
}

// CreateEntry makes a link, below the server's URL, that lets a browser in once.
func (c *Client) CreateEntry(ctx context.Context) (wire.Entry, error) {
	return post[wire.Entry](ctx, c, "/entries", struct{}{})
}

// RevokeToken makes a token worthless.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, request{method: "DELETE", path: path("tokens", id)}, nil, nil)
}

// Hold stops an environment: nothing enters it until somebody lifts the hold.
func (c *Client) Hold(ctx context.Context, project, environment, reason string) error {
	return c.do(ctx, request{method: "POST", path: path("projects", project, "environments", environment, "hold")}, wire.Reason{Reason: reason}, nil)
}

// Unhold lifts a hold.
func (c *Client) Unhold(ctx context.Context, project, environment string) error {
	return c.do(ctx, request{method: "DELETE", path: path("projects", project, "environments", environment, "hold")}, nil, nil)
}

// Events returns events after a number, oldest first; project "" means all.
func (c *Client) Events(ctx context.Context, project string, after int64) ([]wire.Event, error) {
	return get[[]wire.Event](ctx, c, "/events", "project", project, "after", number(after))
}

// EventPage is Events with a limit, of at most 1000.
func (c *Client) EventPage(ctx context.Context, project string, after int64, limit int) ([]wire.Event, error) {
	return get[[]wire.Event](ctx, c, "/events", "project", project, "after", number(after), "limit", number(int64(limit)))
}

// VerifyEvents has the server read the whole audit log and compute its hashes anew.
func (c *Client) VerifyEvents(ctx context.Context) (wire.VerifiedEvents, error) {
	return get[wire.VerifiedEvents](ctx, c, "/events/verify")
}

// Keys lists the keys that seal what is stored.
func (c *Client) Keys(ctx context.Context) (wire.Keys, error) {
	return get[wire.Keys](ctx, c, "/keys")
}

// RotateKeys makes a new key; what is stored is sealed with it in the background.
func (c *Client) RotateKeys(ctx context.Context) (wire.Keys, error) {
	return post[wire.Keys](ctx, c, "/keys/rotate", struct{}{})
}

// RetireKey deletes a key on which nothing hangs any more.
func (c *Client) RetireKey(ctx context.Context, id string) error {
	return c.do(ctx, request{method: "DELETE", path: path("keys", id)}, nil, nil)
}
