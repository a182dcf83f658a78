package ansible

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Secrets with a meaning. None of them is in Ansible's environment.
const (
	// KeySecret is the private key of SSH connections, which the run's agent holds.
	KeySecret = "SSH_KEY"
	// PassphraseSecret opens it.
	PassphraseSecret = "SSH_KEY_PASSPHRASE"
	// PasswordSecret is the password of SSH connections.
	PasswordSecret = "SSH_PASSWORD"
	// BecomeSecret is the password of sudo, or of another way to become somebody else.
	BecomeSecret = "BECOME_PASSWORD"
	// VaultSecret opens files and values that ansible-vault has encrypted.
	VaultSecret = "VAULT_PASSWORD"
)

// variableOf is the variable that a secret is for Ansible, "" for none.
func variableOf(secret string) string {
	switch secret {
	case KeySecret, PassphraseSecret, VaultSecret:
		return ""
	case PasswordSecret:
		return "ansible_password"
	case BecomeSecret:
		return "ansible_become_password"
	}
	return strings.ToLower(secret)
}

// terrace_hosts.py says in the variable commonArgs how hosts are known. When it is an
// extra variable, which nothing else overrides, it takes that from addedArgs.
const (
	commonArgs = "ansible_ssh_common_args"
	addedArgs  = " {{ terrace_ssh_args | default('') }}"
)

// extraVariables is what -e gets: the block's variables, and its secrets.
func extraVariables(p wire.Provision, secrets map[string]string) ([]byte, error) {
	vars := map[string]any{}
	for name, text := range p.Variables {
		var value any
		if err := decode(text, &value); err != nil {
			return nil, core.Errorf(core.Invalid, "the variable %s for Ansible cannot be read: %w", name, err)
		}
		vars[name] = data(value)
	}
	for _, name := range p.Secrets {
		value, ok := secrets[name]
		if !ok {
			return nil, &Failed{fmt.Sprintf("the ansible block names the secret %s, which the environment does not have; list it in the environment's secrets and set it with: terrace secret set", name)}
		}
		if as := variableOf(name); as != "" {
			if name == PasswordSecret || name == BecomeSecret {
				value = strings.TrimRight(value, "\r\n") // as files and forms end
			}
			vars[as] = data(value)
		}
	}
	if own, ok := vars[commonArgs].(string); ok {
		vars[commonArgs] = own + addedArgs
	}
	return json.Marshal(vars)
}

// clean drops what would change Ansible's or SSH's behaviour, and secrets that have a
// meaning here.
func clean(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case BecomeSecret, VaultSecret:
			return true
		}
		return strings.HasPrefix(name, "ANSIBLE_") || strings.HasPrefix(name, "TERRACE_") || strings.HasPrefix(name, "SSH_")
	})
}
