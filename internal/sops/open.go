package sops

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/terrace-cd/terrace/internal/core"
)

// Values are what a file says, by place.
type Values map[string]string

// Open decrypts everything with age identities, one a line (AGE-SECRET-KEY-1…), and checks
// that nobody changed it. Conflict when none of them is a recipient; Invalid when the keys are
// none, or the file was changed since it was encrypted.
func (f *File) Open(keys string) (Values, error) {
	identities, err := age.ParseIdentities(strings.NewReader(keys))
	if err != nil {
		// What the parser says may show part of a key.
		return nil, core.Errorf(core.Invalid, "what is stored as %s is no age key: it is one line AGE-SECRET-KEY-1…, as age-keygen writes it", KeyName)
	}
	key, err := f.dataKey(identities)
	if err != nil {
		return nil, err
	}
	values, mac, err := f.decrypt(key)
	if err != nil {
		return nil, core.Errorf(core.Invalid, "%s cannot be decrypted: %w; encrypt it anew", f.name, err)
	}
	wrote, err := decryptValue(key, f.meta.mac, f.meta.modified.Format(time.RFC3339))
	want, ok := wrote.(string)
	if err != nil || !ok || subtle.ConstantTimeCompare([]byte(want), []byte(mac)) != 1 {
		return nil, core.Errorf(core.Invalid, "%s was changed since it was encrypted: its MAC does not fit; edit it with sops, or encrypt it anew", f.name)
	}
	return values, nil
}

// KeyName is the name of the secret that a place keeps its age keys under.
const KeyName = core.SopsKey

// dataKey decrypts the key of the values.
func (f *File) dataKey(identities []age.Identity) ([]byte, error) {
	const size = 32
	for _, r := range f.meta.age {
		plain, err := age.Decrypt(armor.NewReader(strings.NewReader(r.enc)), identities...)
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			continue
		}
		if err != nil {
			return nil, core.Errorf(core.Invalid, "%s: the key for %s in it is damaged; encrypt it anew", f.name, r.recipient)
		}
		key, err := io.ReadAll(io.LimitReader(plain, size+1))
		if err != nil || len(key) != size {
			return nil, core.Errorf(core.Invalid, "%s: the key for %s in it is damaged; encrypt it anew", f.name, r.recipient)
		}
		return key, nil
	}
	var mine []string
	for _, id := range identities {
		if x, ok := id.(*age.X25519Identity); ok {
			mine = append(mine, x.Recipient().String())
		}
	}
	return nil, core.Errorf(core.Conflict, "%s is encrypted for %s, and the key that is stored as %s is that of %s; encrypt it for this one as well (sops updatekeys), or store another",
		f.name, orNobody(f.Recipients()), KeyName, orNobody(mine))
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody known"
	}
	return strings.Join(names, ", ")
}

// decrypt opens all values and computes the code of authenticity over them.
func (f *File) decrypt(key []byte) (Values, string, error) {
	out := Values{}
	sum := sha512.New()
	if f.meta.macOnlyEncrypted {
		sum.Write(macOnlyEncrypted)
	}
	err := walk(f.tree, nil, func(at []string, leaf any) error {
		place := strings.Join(at, ".")
		encrypted := f.meta.encrypts(at)
		value := leaf
		if encrypted {
			text, ok := leaf.(string)
			if !ok {
				return fmt.Errorf("%s is not encrypted", place)
			}
			var err error
			if value, err = decryptValue(key, text, strings.Join(at, ":")+":"); err != nil {
				return fmt.Errorf("%s: %w", place, err)
			}
		}
		if _, ok := value.(comment); ok {
			return nil
		}
		if !f.meta.macOnlyEncrypted || encrypted {
			authenticate(sum, value)
		}
		out[place] = textOf(value)
		return nil
	})
	keys := f.Keys()
	maps.DeleteFunc(out, func(place, _ string) bool { _, found := slices.BinarySearch(keys, place); return !found })
	return out, fmt.Sprintf("%X", sum.Sum(nil)), err
}

// macOnlyEncrypted makes the code of a file whose plain values are not authenticated differ
// from that of any other.
var macOnlyEncrypted = []byte{0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69}

// authenticate adds a value as SOPS writes it, which is not always as people do.
func authenticate(sum hash.Hash, value any) {
	switch v := value.(type) {
	case bool:
		if v {
			sum.Write([]byte("True"))
		} else {
			sum.Write([]byte("False"))
		}
	default:
		sum.Write([]byte(textOf(v)))
	}
}

func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		text, _ := v.MarshalText()
		return string(text)
	}
	return ""
}

// comment is a value that is none: lists keep comments so.
type comment string

var encryptedRE = regexp.MustCompile(`^ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:(.+)\]`)

// decryptValue opens one value, which is bound to its place.
func decryptValue(key []byte, text, place string) (any, error) {
	if text == "" {
		return "", nil // as it is written
	}
	m := encryptedRE.FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("it is not encrypted")
	}
	var parts [3][]byte
	for i := range parts {
		var err error
		if parts[i], err = base64.StdEncoding.DecodeString(m[i+1]); err != nil || len(parts[i]) == 0 {
			return nil, errors.New("it is damaged")
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(parts[1]))
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, parts[1], append(parts[0], parts[2]...), []byte(place))
	if err != nil {
		return nil, errors.New("it was changed, or moved there from another place")
	}
	return typed(m[4], string(plain))
}

// typed gives a decrypted text its type. Errors do not show it.
func typed(kind, text string) (value any, err error) {
	switch kind {
	case "str", "bytes":
		return text, nil
	case "int":
		value, err = strconv.Atoi(text)
	case "float":
		value, err = strconv.ParseFloat(text, 64)
	case "bool":
		value, err = strconv.ParseBool(text)
	case "time":
		var t time.Time
		err = t.UnmarshalText([]byte(text))
		value = t
	case "comment":
		return comment(text), nil
	default:
		return nil, errors.New("its type is not known")
	}
	if err != nil {
		return nil, errors.New("it is not of the type that is written there")
	}
	return value, nil
}
