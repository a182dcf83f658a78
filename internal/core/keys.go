package core

import "time"

// KeyKind is what a stored key is for.
type KeyKind string

// The kinds of keys.
const (
	SealKey   KeyKind = "seal"
	DigestKey KeyKind = "digest" // of Sealer.Digest; there is one, and it stays
)

// StoredKey is a key as it is stored: wrapped by a master key.
type StoredKey struct {
	ID      string
	Kind    KeyKind
	Seq     int64 // grows; the highest of the sealing keys seals. AddKey gives it when it is 0
	Master  string
	Wrapped []byte
	Made    time.Time
}
