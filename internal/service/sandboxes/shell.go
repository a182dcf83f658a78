package sandboxes

import (
	"context"
	"fmt"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Shell returns with what an engine works on a stack of a sandbox as a run of the newest
// commit would, its secrets among it. Errors: NotFound when the sandbox does not have the
// stack; Conflict while what it reads from others has no outputs.
func (s *Service) Shell(ctx context.Context, by, project, name, stack string) (wire.SandboxShell, error) {
	p, err := s.Get(ctx, project, name)
	if err != nil {
		return wire.SandboxShell{}, err
	}
	var release core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		release, err = tx.LatestRelease(p.Name)
		return err
	}); err != nil {
		return wire.SandboxShell{}, err
	}
	cfg, err := s.Wanted.Config(ctx, p, release.Commit)
	if err != nil {
		return wire.SandboxShell{}, err
	}
	contents, err := s.Wanted.Contents(ctx, p, release.Commit, name)
	if err != nil {
		return wire.SandboxShell{}, err
	}
	w, err := s.Wanted.Instance(ctx, p, release, cfg, name, stack, contents[stack])
	if err != nil {
		return wire.SandboxShell{}, err
	}
	if !w.Ready {
		return wire.SandboxShell{}, w.NotReady(core.InstanceName(stack, name))
	}
	secrets, err := s.Runs.SecretsOf(ctx, cfg, p.Name, name)
	if err != nil {
		return wire.SandboxShell{}, err
	}
	out := wire.SandboxShell{Instance: core.InstanceName(stack, name), Path: w.Inputs.Path, Engine: cfg.Project.Engine, VarFiles: w.Inputs.VarFiles,
		Variables: w.Inputs.Variables, Secrets: secrets, Registry: s.Runs.RegistryHost, State: fmt.Sprintf("/state/%s/%s/%s", p.Name, name, stack)}
	if out.VarFiles == nil {
		out.VarFiles = []string{}
	}
	return out, s.Store.Update(ctx, func(tx core.Tx) error {
		return event(tx, by, "sandbox.shell", p, map[string]string{"stack": stack})
	})
}

// BranchGone ends a sandbox whose branch was deleted.
func (s *Service) BranchGone(ctx context.Context, p core.Project) error {
	_, err := s.Destroy(ctx, "server", p.Sandbox.Of, p.Sandbox.Name, "its branch "+p.Branch+" was deleted")
	return err
}
