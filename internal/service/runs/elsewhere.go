package runs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/sops"
	"github.com/terrace-cd/terrace/internal/vault"
)

// elsewhere are the secrets of an environment that the server does not keep, and with what it
// gets at them. Which credentials there are decides what can be had: those of an environment
// are not those of a sandbox of it.
type elsewhere struct {
	in     string
	from   []shelf
	wants  map[string]config.SecretFrom
	age    string // keys
	vaults map[string]vaultLogin
}

// vaultLogin is a vault, with the place whose credentials are used.
type vaultLogin struct {
	vault config.Vault
	login vault.Login
	at    shelf
}

// credentials reads what the wanted secrets are opened with. Invalid when there is none.
func (s *Service) credentials(tx core.Tx, o *elsewhere) (err error) {
	o.age, o.vaults = "", map[string]vaultLogin{}
	for _, name := range slices.Sorted(maps.Keys(o.wants)) {
		from := o.wants[name]
		switch {
		case from.Vault != "" && o.vaults[from.Vault].vault.Name == "":
			if o.vaults[from.Vault], err = s.vaultLogin(tx, *o, name, from.Vault); err != nil {
				return err
			}
		case from.File != "" && o.age == "":
			if o.age, _, err = s.stored(tx, o.from, core.SopsKey); err != nil {
				return o.missing(err, name, "in "+from.File, core.SopsKey)
			}
		}
	}
	return nil
}

// missing says which secret cannot be had without which credential.
func (o elsewhere) missing(err error, name, place, credential string) error {
	if core.CodeOf(err) != core.NotFound {
		return err
	}
	if len(o.from) > 1 {
		return noValue(err, o.in, name, o.from) // nobody would want its base's here
	}
	at := o.from[0]
	return core.Errorf(core.Invalid, "%s needs the secret %s, which is %s, and the server has nothing to open it with: terrace secret set %s %s --project %s",
		o.in, name, place, at.environment, credential, at.project)
}

// vaultLogin finds a vault of the guardrails, and the credentials for it.
func (s *Service) vaultLogin(tx core.Tx, o elsewhere, name, label string) (v vaultLogin, err error) {
	rails, err := s.Guardrails.In(tx)
	if err != nil {
		return v, err
	}
	part := func(part string) (value string, err error) {
		credential := core.VaultCredential(label, part)
		if value, v.at, err = s.stored(tx, o.from, credential); err != nil {
			err = o.missing(err, name, fmt.Sprintf("in the vault %q", label), credential)
		}
		return strings.TrimSpace(value), err
	}
	for _, candidate := range rails.Vaults {
		if candidate.Name != label {
			continue
		}
		if candidate.AppRole {
			v.login.Mount = candidate.Mount
			if v.login.RoleID, err = part(core.VaultRoleID); err != nil {
				return v, err
			}
			if v.login.SecretID, err = part(core.VaultSecretID); err != nil {
				return v, err
			}
		} else if v.login.Token, err = part(core.VaultToken); err != nil {
			return v, err
		}
	}
	if v.at == (shelf{}) {
		v.at = o.from[0]
	}
	// Where the credentials are from decides: a sandbox with its own has no more than it.
	v.vault, err = rails.VaultOf(label, projectOf(v.at.project), v.at.environment)
	if core.CodeOf(err) == core.NotFound {
		err = core.Errorf(core.Invalid, "%s needs the secret %s: %w", o.in, name, err)
	}
	return v, err
}

// projectOf is the project that a sandbox is of, or the project itself.
func projectOf(project string) string {
	base, _, _ := core.SandboxOf(project)
	return base
}

// fromElsewhere reads the wanted secrets. Nothing of them is kept.
func (s *Service) fromElsewhere(ctx context.Context, cfg *config.Config, o elsewhere, out map[string]string) error {
	files := map[string]sops.Values{}
	sessions := map[string]*vault.Session{}
	defer func() {
		for _, session := range sessions {
			session.Close(ctx)
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(o.wants)) {
		from := o.wants[name]
		var value string
		var err error
		if from.Vault != "" {
			value, err = fromVault(ctx, sessions, o.vaults[from.Vault], from)
		} else {
			value, err = fromFile(cfg, files, o, from)
		}
		if err == nil {
			err = fit(value)
		}
		if err != nil {
			return notHad(o.in, name, err)
		}
		out[name] = value
	}
	return nil
}

// MaxSecret bounds a secret's value, in bytes.
const MaxSecret = 64 << 10

// fit refuses what cannot be a variable of a process's environment.
func fit(value string) error {
	if len(value) == 0 || len(value) > MaxSecret || strings.ContainsRune(value, 0) {
		return core.Errorf(core.Invalid, "its value has %d bytes; 1 to %d are possible, none of them NUL", len(value), MaxSecret)
	}
	return nil
}

// notHad names the secret that an error is about, and keeps its code: what another attempt may
// mend is not the end of the run.
func notHad(in, name string, err error) error {
	code := core.CodeOf(err)
	if code == core.Internal {
		return fmt.Errorf("%s needs the secret %s: %w", in, name, err)
	}
	return core.Errorf(code, "%s needs the secret %s: %w", in, name, err)
}

func fromFile(cfg *config.Config, files map[string]sops.Values, o elsewhere, from config.SecretFrom) (string, error) {
	values, known := files[from.File]
	if !known {
		file, err := cfg.SecretFile(from.File)
		if err != nil {
			return "", err
		}
		if values, err = file.Open(o.age); err != nil {
			return "", err
		}
		files[from.File] = values
	}
	value, ok := values[from.Key]
	if !ok {
		return "", core.Errorf(core.Invalid, "%s has no value %q", from.File, from.Key)
	}
	return value, nil
}

func fromVault(ctx context.Context, sessions map[string]*vault.Session, l vaultLogin, from config.SecretFrom) (string, error) {
	if !l.vault.Allows(from.Path, projectOf(l.at.project), l.at.environment) {
		return "", core.Errorf(core.Invalid, "the guardrails do not let %s of %s read %s of the vault %q: an administrator adds it to paths there, or another path is written in %s",
			l.at.environment, projectOf(l.at.project), from.Path, from.Vault, config.FileName)
	}
	session := sessions[from.Vault]
	if session == nil {
		var err error
		server := vault.Server{Name: l.vault.Name, Address: l.vault.Address, Namespace: l.vault.Namespace, CA: l.vault.CA}
		if session, err = vault.Open(ctx, server, l.login); err != nil {
			return "", err
		}
		sessions[from.Vault] = session
	}
	return session.Read(ctx, from.Path, from.Key)
}
