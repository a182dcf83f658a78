// Package seal encrypts what Terrace stores: states, plans, secrets. Each thing gets a
// data key of its own, wrapped by a sealing key, and the purpose is bound into the seal,
// so that a sealed thing moved to another place does not open. The sealing keys are
// stored beside the data, wrapped by the master key, which is not: it is in a file, in
// an environment variable, or never leaves a key management service.
//
// A sealed thing, version 1, is
//
//	1 byte    version
//	8 bytes   id of the sealing key
//	12 bytes  nonce, then 48 bytes: the data key under the sealing key
//	12 bytes  nonce, then the content under the data key, with a tag of 16 bytes
//
// both with AES-256-GCM. Everything before the content, and the purpose, is
// authenticated with it.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"

	"github.com/terrace-cd/terrace/internal/core"
)

const (
	version   = 1
	keySize   = 32
	idSize    = 8
	nonceSize = 12
	tagSize   = 16

	wrapStart  = 1 + idSize
	wrapSize   = nonceSize + keySize + tagSize
	headerSize = wrapStart + wrapSize
	overhead   = headerSize + nonceSize + tagSize
)

// Keyring seals with its first key and opens with any of them. It is safe for
// concurrent use.
type Keyring struct {
	set     atomic.Pointer[set]
	missing func(id string) error
}

var _ core.Sealer = (*Keyring)(nil)

type set struct {
	keys   []cipherKey
	digest []byte
}

type cipherKey struct {
	Key
	id   [idSize]byte
	wrap cipher.AEAD
}

// Key is what a Keyring seals with: 32 random bytes, and the name that is written into
// what it sealed, from which they cannot be computed.
type Key struct {
	ID     string // 16 hexadecimal digits
	Secret []byte
}

// NewKey makes a key.
func NewKey() (Key, error) {
	secret := make([]byte, keySize)
	if _, err := rand.Read(secret); err != nil {
		return Key{}, err
	}
	return KeyOf(secret)
}

// KeyOf names a key. Errors: Invalid when it has not 32 bytes.
func KeyOf(secret []byte) (Key, error) {
	if len(secret) != keySize {
		return Key{}, core.Errorf(core.Invalid, "a key has %d bytes, not %d", keySize, len(secret))
	}
	id, err := hkdf.Key(sha256.New, secret, nil, "terrace key id 1", idSize)
	return Key{ID: hex.EncodeToString(id), Secret: secret}, err
}

// DigestKey derives the key of Digest from one that used to be a keyring's oldest.
func DigestKey(secret []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, nil, "terrace digest 1", keySize)
}

// newKeyring makes a keyring; the first key seals. The key of Digest is derived from
// the last one, which is the oldest: digests stay the same when a key is put in front.
func newKeyring(secrets [][]byte) (*Keyring, error) {
	var keys []Key
	for _, secret := range secrets {
		key, err := KeyOf(secret)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	digest, err := DigestKey(secrets[len(secrets)-1])
	if err != nil {
		return nil, err
	}
	k := &Keyring{}
	return k, k.Set(keys, digest)
}

// NewKeyring makes a keyring without a key, for Set. missing is asked, when something is
// sealed with a key that is not there, to Set it if it can be found.
func NewKeyring(missing func(id string) error) *Keyring {
	return &Keyring{missing: missing}
}

// Set replaces the keys; the first one seals.
func (k *Keyring) Set(keys []Key, digest []byte) error {
	if len(keys) == 0 || len(digest) == 0 {
		return core.Errorf(core.Internal, "a keyring needs a key")
	}
	s := &set{digest: digest}
	for _, key := range keys {
		wrap, err := hkdf.Key(sha256.New, key.Secret, nil, "terrace wrap 1", keySize)
		if err != nil {
			return err
		}
		id, err := hex.DecodeString(key.ID)
		if err != nil || len(id) != idSize {
			return core.Errorf(core.Internal, "%q is no name of a key", key.ID)
		}
		aead, err := gcm(wrap)
		if err != nil {
			return err
		}
		s.keys = append(s.keys, cipherKey{Key: key, id: [idSize]byte(id), wrap: aead})
	}
	k.set.Store(s)
	return nil
}

// Ready reports whether there are keys.
func (k *Keyring) Ready() bool { return k.set.Load() != nil }

// Keys returns the keys; the first one seals.
func (k *Keyring) Keys() []Key {
	var keys []Key
	for _, key := range k.set.Load().keys {
		keys = append(keys, key.Key)
	}
	return keys
}

// KeyID returns the name of the key that something is sealed with, "" when it is not
// sealed by this version of Terrace.
func KeyID(sealed []byte) string {
	if len(sealed) < overhead || sealed[0] != version {
		return ""
	}
	return hex.EncodeToString(sealed[1:wrapStart])
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// bound is what is authenticated beside the encrypted bytes.
func bound(header []byte, purpose string) []byte {
	return append(append(make([]byte, 0, len(header)+len(purpose)), header...), purpose...)
}

// Seal encrypts plain for a purpose.
func (k *Keyring) Seal(purpose string, plain []byte) ([]byte, error) {
	master := k.set.Load().keys[0]
	var dataKey [keySize]byte
	out := make([]byte, headerSize+nonceSize, overhead+len(plain))
	out[0] = version
	copy(out[1:], master.id[:])
	for _, random := range [][]byte{dataKey[:], out[wrapStart : wrapStart+nonceSize], out[headerSize:]} {
		if _, err := rand.Read(random); err != nil {
			return nil, err
		}
	}
	wrapNonce := out[wrapStart : wrapStart+nonceSize]
	master.wrap.Seal(out[:wrapStart+nonceSize], wrapNonce, dataKey[:], bound(out[:wrapStart], purpose))
	data, err := gcm(dataKey[:])
	if err != nil {
		return nil, err
	}
	return data.Seal(out, out[headerSize:headerSize+nonceSize], plain, bound(out[:headerSize], purpose)), nil
}

// Open decrypts what Seal made for the same purpose. Errors: Unavailable when its key
// is not in the keyring; Internal when it was changed, cut off, or made
// for another purpose.
func (k *Keyring) Open(purpose string, sealed []byte) ([]byte, error) {
	return k.open(purpose, sealed, nil)
}

// OpenOver is Open that writes the content over what was sealed.
func (k *Keyring) OpenOver(purpose string, sealed []byte) ([]byte, error) {
	return k.open(purpose, sealed, sealed)
}

func (k *Keyring) open(purpose string, sealed, into []byte) ([]byte, error) {
	if len(sealed) < overhead || sealed[0] != version {
		return nil, core.Errorf(core.Internal, "%s is not sealed by this version of Terrace, or it was cut off", purpose)
	}
	id := [idSize]byte(sealed[1:wrapStart])
	key, ok := k.find(id)
	if !ok && k.missing != nil {
		if err := k.missing(hex.EncodeToString(id[:])); err != nil {
			return nil, core.Errorf(core.Unavailable, "%s is sealed with the key %x, which is not here: %w", purpose, id, err)
		}
		key, ok = k.find(id)
	}
	if !ok {
		return nil, core.Errorf(core.Unavailable, "%s is sealed with the key %x, which is not here; bring it back from a copy", purpose, id)
	}
	plain, err := key.open(purpose, sealed, into)
	if err != nil {
		return nil, core.Errorf(core.Internal, "%s does not open: it was changed, or made for another place: %w", purpose, err)
	}
	return plain, nil
}

func (k *Keyring) find(id [idSize]byte) (cipherKey, bool) {
	for _, key := range k.set.Load().keys {
		if key.id == id {
			return key, true
		}
	}
	return cipherKey{}, false
}

// open decrypts into the memory of into, which is sealed or nil.
func (c cipherKey) open(purpose string, sealed, into []byte) ([]byte, error) {
	header := sealed[:headerSize]
	if into != nil {
		into = into[headerSize+nonceSize : headerSize+nonceSize]
	}
	wrapNonce, wrapped := header[wrapStart:wrapStart+nonceSize], header[wrapStart+nonceSize:]
	dataKey, err := c.wrap.Open(nil, wrapNonce, wrapped, bound(header[:wrapStart], purpose))
	if err != nil {
		return nil, err
	}
	data, err := gcm(dataKey)
	if err != nil {
		return nil, err
	}
	return data.Open(into, sealed[headerSize:headerSize+nonceSize], sealed[headerSize+nonceSize:], bound(header, purpose))
}

// Digest returns an HMAC-SHA-256 in hex.
func (k *Keyring) Digest(plain []byte) string {
	mac := hmac.New(sha256.New, k.set.Load().digest)
	mac.Write(plain)
	return hex.EncodeToString(mac.Sum(nil))
}
