package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// Variable is the environment variable that holds master keys when nothing names them:
// keys of 32 bytes in base64, with commas between.
const Variable = "TERRACE_MASTER_KEY"

// Open returns a keyring that seals with the keys of a file, which is made when it does
// not exist. The file has keys of 32 bytes in base64, one on each line (lines that begin
// with # aside). The first one seals, all of them open. Errors: Invalid when there is no
// usable key or others may read the file, Unavailable when it cannot be read or written.
func Open(path string) (*Keyring, error) {
	keys, _, err := openFile(path)
	return keys, err
}

func openFile(path string) (keys *Keyring, made bool, err error) {
	keys, err = read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, false, err
	}
	if err := generate(path); err != nil {
		return nil, false, core.Errorf(core.Unavailable, "the master key cannot be written: %w", err)
	}
	keys, err = read(path)
	return keys, true, err
}

// maxFile bounds a key file, in bytes: a wrong path is not read into memory.
const maxFile = 64 << 10

func read(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, core.Errorf(core.Unavailable, "the master key cannot be read: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return nil, core.Errorf(core.Invalid, "%s is not a key file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, core.Errorf(core.Invalid, "others may read the master key %s (mode %04o); take that away: chmod 600 %[1]s", path, info.Mode().Perm())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "the master key cannot be read: %w", err)
	}
	return parse(path, string(content))
}

// parse reads keys, one on each line. Its errors name the line, never the key.
func parse(where, text string) (*Keyring, error) {
	var masters [][]byte
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		master, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(master) != keySize {
			return nil, core.Errorf(core.Invalid, "key %d of %s is not 32 bytes in base64; make one with: openssl rand -base64 32", i+1, where)
		}
		masters = append(masters, master)
	}
	if len(masters) == 0 {
		return nil, core.Errorf(core.Invalid, "%s holds no key; restore it from your copy, or, when nothing was ever sealed with it, remove it", where)
	}
	return newKeyring(masters)
}

// generate writes a file with a new key, durably: what is sealed with it right after
// must not outlive it.
func generate(path string) error {
	var master [keySize]byte
	if _, err := rand.Read(master[:]); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".master-key-") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // its other name stays
	_, err = file.WriteString("# The master key of a Terrace server. Without it, its states and secrets are lost:\n# keep a copy elsewhere. To replace it, put a new one in a line\n# above it, restart every server, and then take the old one away.\n" +
		base64.StdEncoding.EncodeToString(master[:]) + "\n")
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	// A link, unlike a rename, never replaces a key that somebody else just made.
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	err = dir.Sync()
	if closeErr := dir.Close(); err == nil {
		err = closeErr
	}
	return err
}
