package seal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// Master is a master key: it wraps sealing keys and digest keys, and nothing else. What
// it wrapped for one name does not unwrap for another.
type Master interface {
	// Name says which key it is, as far as that may be shown and stored.
	Name() string
	// Names are those of the master keys whose work it unwraps: its own, and those of
	// keys that it replaces.
	Names() []string
	Wrap(ctx context.Context, id string, secret []byte) ([]byte, error)
	// Unwrap fails with Unavailable when the key cannot be asked now, and with another
	// error when it did not wrap that.
	Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error)
}

// Masters are the master keys of a server, the first of which wraps.
type Masters struct {
	All []Master
	// Former are the secrets of the keys that are in files and variables, newest first.
	// Servers used to seal with them directly.
	Former [][]byte
	// Made is the file that was made because it did not exist, "" when none was.
	Made string
}

// OpenMasters opens master keys by what names them: file:PATH, env:VARIABLE, or the URL
// of a key in a key management service, as KMS describes. Without any, it is the variable
// TERRACE_MASTER_KEY when that is set, else the file standard, which is made when make
// says so and it does not exist.
func OpenMasters(ctx context.Context, names []string, standard string, make bool) (m Masters, err error) {
	if len(names) == 0 {
		names = []string{"file:" + standard}
		if _, set := os.LookupEnv(Variable); set {
			names = []string{"env:" + Variable}
		}
	}
	for _, name := range names {
		kind, rest, _ := strings.Cut(name, ":")
		var keys *Keyring
		switch {
		case strings.HasPrefix(rest, "//"):
			master, err := KMS(ctx, name)
			if err != nil {
				return m, err
			}
			m.All = append(m.All, master)
			continue
		case kind == "file" && rest == standard && make:
			var made bool
			if keys, made, err = openFile(rest); made {
				m.Made = rest
			}
		case kind == "file" && rest != "":
			if keys, err = read(rest); errors.Is(err, fs.ErrNotExist) {
				err = core.Errorf(core.NotFound, "there is no master key %s; put a copy back, or name the right one with --master-key (or %s)", rest, Variable)
			}
		case kind == "env" && rest != "":
			value, set := os.LookupEnv(rest)
			if !set {
				return m, core.Errorf(core.NotFound, "the environment variable %s, which is to hold the master key, is not set", rest)
			}
			keys, err = parse(rest, strings.ReplaceAll(value, ",", "\n"))
		default:
			return m, core.Errorf(core.Invalid, "%q names no master key; write file:PATH, env:VARIABLE, or the URL of a key, such as awskms://alias/terrace?region=eu-west-1", name)
		}
		if err != nil {
			return m, err
		}
		m.All = append(m.All, local{keys})
		for _, key := range keys.Keys() {
			m.Former = append(m.Former, key.Secret)
		}
	}
	return m, nil
}

// Find returns the master key that unwraps what the one of that name wrapped.
func (m Masters) Find(name string) (Master, error) {
	var given []string
	for _, master := range m.All {
		if slices.Contains(master.Names(), name) {
			return master, nil
		}
		given = append(given, master.Names()...)
	}
	return nil, core.Errorf(core.Invalid, "the keys of this installation are wrapped with the master key %s, and the server has %s: bring that one back. While it is being replaced, give both, the new one first (--master-key NEW --master-key OLD, or two lines in the file)",
		name, strings.Join(given, ", "))
}

// local is a master key whose secret the server has.
type local struct{ keys *Keyring }

const localPrefix = "key:"

func (l local) Name() string { return localPrefix + l.keys.Keys()[0].ID }

func (l local) Names() (names []string) {
	for _, key := range l.keys.Keys() {
		names = append(names, localPrefix+key.ID)
	}
	return names
}

func wrapPurpose(id string) string { return "key:" + id }

func (l local) Wrap(_ context.Context, id string, secret []byte) ([]byte, error) {
	return l.keys.Seal(wrapPurpose(id), secret)
}

func (l local) Unwrap(_ context.Context, id string, wrapped []byte) ([]byte, error) {
	return l.keys.Open(wrapPurpose(id), wrapped)
}
