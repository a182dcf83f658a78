package core

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// Prefixes of the identifiers that people see.
const (
	PrefixRun     = "r"
	PrefixRollout = "ro"
	PrefixStage   = "st"
	PrefixToken   = "tok"
	PrefixPreview = "pv"

	PrefixException = "x"
	PrefixFreeze    = "fz"
	PrefixVote      = "v"
	PrefixReplace   = "rp"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns PREFIX-XXXXXXXXXXXXXXXX: 48 bits of now in milliseconds, so that
// identifiers sort by age, then 32 random bits, in lower-case Crockford base 32.
func NewID(prefix string, now time.Time) string {
	var b [10]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	if _, err := rand.Read(b[6:]); err != nil {
		panic(err) // crypto/rand never fails on the systems Go supports
	}
	return prefix + "-" + idEncoding.EncodeToString(b[:])
}

// BlobMade returns when a blob's key was made, by the part of it that NewID made; ok is
// false for keys without one, which are not of something that rows name.
func BlobMade(key string) (made time.Time, ok bool) {
	id, _, _ := strings.Cut(key[strings.LastIndexByte(key, '/')+1:], ".")
	return IDTime(id)
}

// IDTime returns when an identifier was made, in milliseconds; ok is false for what
// NewID did not make.
func IDTime(id string) (made time.Time, ok bool) {
	_, random, found := strings.Cut(id, "-")
	b, err := idEncoding.DecodeString(random)
	if !found || err != nil || len(b) != 10 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, b[:6]...)))).UTC(), true
}
