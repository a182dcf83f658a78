package runs

import (
	"context"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

// SecretsOf opens the secrets of an environment that its configuration names, wherever they
// are kept. Invalid when one has no value; the errors of the places where they are.
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
	for _, e := range cfg.Environments {
		if e.Name == in {
			return s.openOf(ctx, cfg, in, e.Secrets, from)
		}
	}
	return map[string]string{}, nil
}

// openOf opens some secrets of an environment.
func (s *Service) openOf(ctx context.Context, cfg *config.Config, in string, names []string, from []shelf) (map[string]string, error) {
	var environment config.Environment
	for _, e := range cfg.Environments {
		if e.Name == in {
			environment = e
		}
	}
	out := map[string]string{}
	outside := elsewhere{in: in, from: from, wants: map[string]config.SecretFrom{}}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		clear(out)
		clear(outside.wants)
		for _, name := range names {
			if core.IsServerSecret(name) {
				return core.Errorf(core.Invalid, "%s wants the secret %s, which is for the server alone", in, name)
			}
			place, external := environment.From[name]
			if external && len(from) == 1 {
				outside.wants[name] = place
				continue
			}
			value, _, err := s.stored(tx, from, name)
			switch {
			case core.CodeOf(err) == core.NotFound && external:
				outside.wants[name] = place
			case err != nil:
				return noValue(err, in, name, from)
			default:
				out[name] = value
			}
		}
		return s.credentials(tx, &outside)
	})
	if err == nil && len(outside.wants) > 0 {
		err = s.fromElsewhere(ctx, cfg, outside, out)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// stored opens a secret that the server keeps, from the first place that has it. NotFound when
// none has.
func (s *Service) stored(tx core.Tx, from []shelf, name string) (value string, at shelf, err error) {
	for _, at := range from {
		sealed, err := tx.Secret(at.project, at.environment, name)
		if core.CodeOf(err) == core.NotFound {
			continue
		}
		if err != nil {
			return "", at, err
		}
		plain, err := s.Seal.Open(SecretPurpose(at.project, at.environment, name), sealed)
		return string(plain), at, err
	}
	return "", shelf{}, core.Errorf(core.NotFound, "there is no secret %s", name)
}

// noValue says what to do where stored found nothing.
func noValue(err error, in, name string, from []shelf) error {
	if core.CodeOf(err) != core.NotFound {
		return err
	}
	last := from[len(from)-1]
	return core.Errorf(core.Invalid, "%s needs the secret %s, which has no value%s: terrace secret set %s %[2]s --project %[5]s", in, name, whose(last), last.environment, last.project)
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
