// Package access keeps what lets people and runs in: tokens, environments' secrets,
// and holds, the way people keep releases out.
package access

import (
	"context"
	"regexp"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/runs"
)

// Service is safe for concurrent use.
type Service struct {
	Store      core.Store
	Guardrails *guardrails.Service
	Seal       core.Sealer
	Bus        *bus.Bus

	entries entries
}

var secretRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// SetSecret stores a value for an environment. The name becomes an environment
// variable of runs.
func (s *Service) SetSecret(ctx context.Context, by, project, environment, name string, value []byte) error {
	if err := core.CheckName("environment", strings.TrimSuffix(environment, core.PreviewSecretsOf(""))); err != nil {
		return err
	}
	if !secretRE.MatchString(name) || strings.HasPrefix(name, "TF_") && !strings.HasPrefix(name, "TF_VAR_") || strings.HasPrefix(name, "TERRACE_") && !core.IsVaultCredential(name) {
		return core.Errorf(core.Invalid, "%q cannot name a secret: it becomes an environment variable, so use letters, digits and _, and neither TF_ (but TF_VAR_) nor TERRACE_ in front", name)
	}
	if len(value) == 0 || len(value) > runs.MaxSecret {
		return core.Errorf(core.Invalid, "the value of %s has %d bytes; 1 to %d are possible", name, len(value), runs.MaxSecret)
	}
	sealed, err := s.Seal.Seal(runs.SecretPurpose(project, environment, name), value)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		if err := tx.PutSecret(project, environment, name, sealed); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "secret.set", Project: project, On: environment, Data: map[string]string{"name": name}})
	})
}

// Secrets lists names; values never leave.
func (s *Service) Secrets(ctx context.Context, project, environment string) (names []string, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		names, err = tx.SecretNames(project, environment)
		return err
	})
	return names, err
}

// RemoveSecret forgets a value.
func (s *Service) RemoveSecret(ctx context.Context, by, project, environment, name string) error {
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if _, err := tx.Secret(project, environment, name); err != nil {
			return err
		}
		if err := tx.DeleteSecret(project, environment, name); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "secret.removed", Project: project, On: environment, Data: map[string]string{"name": name}})
	})
}

// Hold puts a person's hold on an environment (rule 22).
func (s *Service) Hold(ctx context.Context, by, project, environment, reason string) error {
	return s.hold(ctx, by, project, environment, func(tx core.Tx) (*core.Hold, error) {
		if reason == "" {
			reason = "set by " + by
		}
		return &core.Hold{Kind: core.HoldPerson, Reason: reason, By: by, Since: tx.Now()}, nil
	}, "environment.held")
}

// Unhold lifts any hold.
func (s *Service) Unhold(ctx context.Context, by, project, environment string) error {
	return s.hold(ctx, by, project, environment, func(tx core.Tx) (*core.Hold, error) {
		e, err := tx.Environment(project, environment)
		if err == nil && e.Hold == nil {
			err = core.Errorf(core.Conflict, "there is no hold on %s", environment)
		}
		return nil, err
	}, "environment.unheld")
}

func (s *Service) hold(ctx context.Context, by, project, environment string, change func(core.Tx) (*core.Hold, error), kind string) error {
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		if err := known(tx, project, environment); err != nil {
			return err
		}
		e, err := tx.Environment(project, environment)
		if err != nil {
			return err
		}
		if e.Hold, err = change(tx); err != nil {
			return err
		}
		if err := tx.PutEnvironment(e); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: kind, Project: project, On: environment})
	})
	s.Bus.Changed(project)
	return err
}
