package core

import (
	"regexp"
	"strings"
)

// SopsKey names the secret that keeps the age keys by which the server opens files that are
// encrypted with SOPS. It is the server's own, and no run gets it.
const SopsKey = "SOPS_AGE_KEY"

// vaultPrefix begins the names of secrets with which the server logs in to a vault.
const vaultPrefix = "TERRACE_VAULT_"

// Parts of names of secrets with which the server logs in to a vault.
const (
	VaultToken    = "TOKEN"
	VaultRoleID   = "ROLE_ID"
	VaultSecretID = "SECRET_ID"
)

// VaultCredential names the secret that keeps one part of the credentials for a vault.
func VaultCredential(vault, part string) string {
	return vaultPrefix + strings.ToUpper(strings.ReplaceAll(vault, "-", "_")) + "_" + part
}

// IsVaultCredential reports whether a name is one of VaultCredential.
func IsVaultCredential(name string) bool {
	rest, ok := strings.CutPrefix(name, vaultPrefix)
	if !ok {
		return false
	}
	for _, part := range []string{VaultToken, VaultRoleID, VaultSecretID} {
		if vault, ok := strings.CutSuffix(rest, "_"+part); ok && ValidName(vault) {
			return true
		}
	}
	return false
}

// IsServerSecret reports whether a secret is for the server alone: what a repository writes
// must not bring it into a run.
func IsServerSecret(name string) bool { return name == SopsKey || strings.HasPrefix(name, vaultPrefix) }

var vaultPathRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@:-]*(/[A-Za-z0-9_.@:-]+)+$`)

// CheckVaultPath refuses what is no path of a secret: kv/data/shop/production.
func CheckVaultPath(path string) error {
	first, _, _ := strings.Cut(path, "/")
	switch {
	case !vaultPathRE.MatchString(path) || strings.Contains("/"+path+"/", "/../") || strings.Contains("/"+path+"/", "/./"):
		return Errorf(Invalid, "%q is not the path of a secret, such as kv/data/shop/production: names of letters, digits and _ . @ : - with / between", path)
	case first == "v1" || first == "sys" || first == "auth" || first == "identity":
		return Errorf(Invalid, "%q is not the path of a secret: %s/ is an interface of the vault; write the mount first, for example kv/data/shop/production", path, first)
	}
	return nil
}
