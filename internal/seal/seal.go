// Package seal encrypts what Terrace stores: states, plans, secrets. Each thing gets
// a data key of its own, wrapped by a master key, so that a master key can be
// replaced without touching the data, and the purpose is bound into the seal, so
// that a sealed thing moved to another place does not open.
//
// A sealed thing, version 1, is
//
//	1 byte    version
//	8 bytes   id of the master key
//	12 bytes  nonce, then 48 bytes: the data key under the master key
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

// Keyring seals with its first master key and opens with any of them. It is safe for
// concurrent use.
type Keyring struct {
	keys   []masterKey
	digest []byte
}

var _ core.Sealer = (*Keyring)(nil)

type masterKey struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// newKeyring makes a keyring; the first key seals. The key of Digest is derived from
// the last one, which is the oldest: digests stay the same when a key is put in front.
func newKeyring(masters [][]byte) (*Keyring, error) {
	k := &Keyring{}
	for _, master := range masters {
		id, err := hkdf.Key(sha256.New, master, nil, "terrace key id 1", idSize)
		if err != nil {
			return nil, err
		}
		wrap, err := hkdf.Key(sha256.New, master, nil, "terrace wrap 1", keySize)
		if err != nil {
			return nil, err
		}
		if k.digest, err = hkdf.Key(sha256.New, master, nil, "terrace digest 1", keySize); err != nil {
			return nil, err
		}
		aead, err := gcm(wrap)
		if err != nil {
			return nil, err
		}
		k.keys = append(k.keys, masterKey{id: [idSize]byte(id), aead: aead})
	}
	return k, nil
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
	master := k.keys[0]
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
	master.aead.Seal(out[:wrapStart+nonceSize], wrapNonce, dataKey[:], bound(out[:wrapStart], purpose))
	data, err := gcm(dataKey[:])
	if err != nil {
		return nil, err
	}
	return data.Seal(out, out[headerSize:headerSize+nonceSize], plain, bound(out[:headerSize], purpose)), nil
}

// Open decrypts what Seal made for the same purpose. Errors: Unavailable when its
// master key is not in the keyring; Internal when it was changed, cut off, or made
// for another purpose.
func (k *Keyring) Open(purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < overhead || sealed[0] != version {
		return nil, core.Errorf(core.Internal, "%s is not sealed by this version of Terrace, or it was cut off", purpose)
	}
	header := sealed[:headerSize]
	for _, master := range k.keys {
		if [idSize]byte(header[1:wrapStart]) != master.id {
			continue
		}
		wrapNonce, wrapped := header[wrapStart:wrapStart+nonceSize], header[wrapStart+nonceSize:]
		dataKey, err := master.aead.Open(nil, wrapNonce, wrapped, bound(header[:wrapStart], purpose))
		if err == nil {
			var data cipher.AEAD
			if data, err = gcm(dataKey); err == nil {
				var plain []byte
				if plain, err = data.Open(nil, sealed[headerSize:headerSize+nonceSize], sealed[headerSize+nonceSize:], bound(header, purpose)); err == nil {
					return plain, nil
				}
			}
		}
		return nil, core.Errorf(core.Internal, "%s does not open: it was changed, or made for another place: %w", purpose, err)
	}
	return nil, core.Errorf(core.Unavailable, "%s is sealed with the master key %s, which this server does not have; bring back that key file, or add its key to it",
		purpose, hex.EncodeToString(header[1:wrapStart]))
}

// Digest returns an HMAC-SHA-256 in hex.
func (k *Keyring) Digest(plain []byte) string {
	mac := hmac.New(sha256.New, k.digest)
	mac.Write(plain)
	return hex.EncodeToString(mac.Sum(nil))
}
