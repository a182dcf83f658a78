package runs

import (
	"context"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

// SecretsOf opens the secrets of an environment that its configuration names. Invalid when
// one has no value.
func (s *Service) SecretsOf(ctx context.Context, cfg *config.Config, project, environment string) (map[string]string, error) {
	return s.open(ctx, cfg, environment, places(project, environment, false))
}

// secretsFor are those that a run is given.
func (s *Service) secretsFor(ctx context.Context, cfg *config.Config, run core.Run) (map[string]string, error) {
	return s.open(ctx, cfg, run.Environment, places(run.Project, run.Environment, run.Preview != ""))
}

// shelf is where secrets are kept.
type shelf struct{ project, environment string }

// places are where a secret of an environment is looked for, in turn. A sandbox has its own, and
// those of all sandboxes, never the base's (rule 26); a preview those of the environment's
// previews, and those of all previews, never what changes the environment.
func places(project, environment string, preview bool) []shelf {
	if of, _, boxed := core.SandboxOf(project); boxed {
		return []shelf{{project, environment}, {of, core.SandboxSecrets}}
	}
	if preview {
		return []shelf{{project, core.PreviewSecretsOf(environment)}, {project, core.PreviewSecrets}}
	}
	return []shelf{{project, environment}}
}

func (s *Service) open(ctx context.Context, cfg *config.Config, in string, from []shelf) (map[string]string, error) {
	var names []string
	for _, e := range cfg.Environments {
		if e.Name == in {
			names = e.Secrets
		}
	}
	out := map[string]string{}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		for _, name := range names {
			sealed, at, err := find(tx, name, from)
			if core.CodeOf(err) == core.NotFound {
				last := from[len(from)-1]
				return core.Errorf(core.Invalid, "%s needs the secret %s, which has no value%s: terrace secret set %s %[2]s --project %[5]s", in, name, whose(last), last.environment, last.project)
			}
			if err != nil {
				return err
			}
			plain, err := s.Seal.Open(SecretPurpose(at.project, at.environment, name), sealed)
			if err != nil {
				return err
			}
			out[name] = string(plain)
		}
		return nil
	})
	return out, err
}

func find(tx core.Tx, name string, from []shelf) (sealed []byte, at shelf, err error) {
	for _, at = range from {
		if sealed, err = tx.Secret(at.project, at.environment, name); core.CodeOf(err) != core.NotFound {
			return sealed, at, err
		}
	}
	return nil, at, err
}

func whose(at shelf) string {
	if at.environment == core.PreviewSecrets {
		return " for previews, and they never have the environment's own"
	}
	return ""
}

// SecretPurpose binds a sealed secret to its place.
func SecretPurpose(project, environment, name string) string {
	return "secret:" + project + "/" + environment + "/" + name
}
