package seal

import (
	"bytes"
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms"        // awskms://
	_ "gocloud.dev/secrets/azurekeyvault" // azurekeyvault://
	_ "gocloud.dev/secrets/gcpkms"        // gcpkms://
	_ "gocloud.dev/secrets/hashivault"    // hashivault://

	"github.com/terrace-cd/terrace/internal/core"
)

// services are the key management services; each takes its credentials from where its
// own tools take them.
var services = []string{"awskms", "azurekeyvault", "gcpkms", "hashivault"}

// askWithin bounds a question to a key management service.
const askWithin = 20 * time.Second

// KMS opens a key in a key management service: awskms://KEY?region=REGION,
// gcpkms://projects/…/cryptoKeys/KEY, azurekeyvault://VAULT.vault.azure.net/keys/KEY, or
// hashivault://KEY for the transit engine of Vault and OpenBao (VAULT_SERVER_URL,
// VAULT_SERVER_TOKEN); see https://gocloud.dev/howto/secrets/. Errors: Invalid.
func KMS(ctx context.Context, name string) (Master, error) {
	u, err := url.Parse(name)
	if err != nil || !slices.Contains(services, u.Scheme) || u.Host == "" {
		return nil, core.Errorf(core.Invalid, "%q names no key management service; there are %s://", name, strings.Join(services, "://, "))
	}
	keeper, err := secrets.OpenKeeper(ctx, name)
	if err != nil {
		return nil, core.Errorf(core.Invalid, "the master key %s cannot be opened: %w", shownKey(u), err)
	}
	return &kms{name: shownKey(u), keeper: keeper}, nil
}

// shownKey is the name without its settings, which say how to reach the key, not which
// one it is.
func shownKey(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// kms is a master key that never leaves its service.
type kms struct {
	name   string
	keeper *secrets.Keeper
}

func (k *kms) Name() string { return k.name }

func (k *kms) Names() []string { return []string{k.name} }

// bind puts the name before the secret: services wrap bytes and know no names.
func bind(id string, secret []byte) []byte {
	return slices.Concat([]byte(wrapPurpose(id)+"\n"), secret)
}

func (k *kms) Wrap(ctx context.Context, id string, secret []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	wrapped, err := k.keeper.Encrypt(ctx, bind(id, secret))
	return wrapped, k.explain(err)
}

func (k *kms) Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	plain, err := k.keeper.Decrypt(ctx, wrapped)
	if err != nil {
		return nil, k.explain(err)
	}
	secret, ok := bytes.CutPrefix(plain, bind(id, nil))
	if !ok {
		return nil, core.Errorf(core.Internal, "%s unwrapped another key than %s: the two were swapped", k.name, id)
	}
	return secret, nil
}

func (k *kms) explain(err error) error {
	switch gcerrors.Code(err) {
	case gcerrors.OK:
		return nil
	case gcerrors.InvalidArgument:
		return core.Errorf(core.Internal, "the master key %s did not wrap that, or it was changed: %w", k.name, err)
	case gcerrors.PermissionDenied:
		return core.Errorf(core.Unavailable, "these credentials may not use the master key %s; they need to encrypt and decrypt with it: %w", k.name, err)
	case gcerrors.NotFound:
		return core.Errorf(core.Unavailable, "there is no master key %s: %w", k.name, err)
	}
	return core.Errorf(core.Unavailable, "the master key %s cannot be asked; what it keeps is safe, try again when it answers: %w", k.name, err)
}
