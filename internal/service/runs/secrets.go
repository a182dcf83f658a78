package runs

import (
	"context"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

// SecretsOf opens the secrets of an environment that its configuration names. Invalid when
// one has no value.
func (s *Service) SecretsOf(ctx context.Context, cfg *config.Config, of, in string) (map[string]string, error) {
	var names []string
	for _, e := range cfg.Environments {
		if e.Name == in {
			names = e.Secrets
		}
	}
	out := map[string]string{}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		for _, name := range names {
			project, environment := of, in
			sealed, err := tx.Secret(project, environment, name)
			base, _, boxed := core.SandboxOf(of)
			if boxed && core.CodeOf(err) == core.NotFound {
				// Never the base's (rule 26), but those that are for all sandboxes.
				project, environment = base, core.SandboxSecrets
				sealed, err = tx.Secret(project, environment, name)
			}
			if core.CodeOf(err) == core.NotFound {
				return core.Errorf(core.Invalid, "%s needs the secret %s, which has no value: terrace secret set %s %[2]s --project %[4]s", in, name, environment, project)
			}
			if err != nil {
				return err
			}
			plain, err := s.Seal.Open(SecretPurpose(project, environment, name), sealed)
			if err != nil {
				return err
			}
			out[name] = string(plain)
		}
		return nil
	})
	return out, err
}

// SecretPurpose binds a sealed secret to its place.
func SecretPurpose(project, environment, name string) string {
	return "secret:" + project + "/" + environment + "/" + name
}
