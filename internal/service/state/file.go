package state

import (
	"bytes"
	"crypto/md5" // what the protocol uses, to tell damaged bodies
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
)

// file is what the backend has to know of a state file.
type file struct {
	Version   *int64     `json:"version"`
	Serial    *int64     `json:"serial"`
	Lineage   string     `json:"lineage"`
	Resources []resource `json:"resources"`
	// Encrypted is set when OpenTofu's own state encryption is in use: serial and
	// lineage are readable then, and nothing else.
	Encrypted         there  `json:"encrypted_data"`
	EncryptionVersion string `json:"encryption_version"`

	md5      string
	size     int64
	nameless bool // it is whole but for a lineage
}

// there is whether a value is there; states are large, and it is not copied.
type there bool

func (t *there) UnmarshalJSON(text []byte) error {
	*t = string(text) != "null"
	return nil
}

type outputs map[string]struct {
	Value     json.RawMessage `json:"value"`
	Sensitive bool            `json:"sensitive"`
}

type resource struct {
	Module    string     `json:"module"`
	Mode      string     `json:"mode"`
	Type      string     `json:"type"`
	Name      string     `json:"name"`
	Provider  string     `json:"provider"`
	Instances []instance `json:"instances"`
}

type instance struct {
	IndexKey json.RawMessage `json:"index_key"`
	Status   string          `json:"status"`
	Deposed  string          `json:"deposed"`
}

// parse reads a state file. An Invalid error says what is wrong with it.
func (s *Service) parse(body []byte) (file, error) {
	var f file
	if int64(len(body)) > s.limit {
		return f, core.Errorf(core.Invalid, "the state has %d bytes; at most %d are accepted", len(body), s.limit)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return f, core.Errorf(core.Invalid, "the body is empty; a state file was expected")
	}
	if err := json.Unmarshal(body, &f); err != nil {
		return f, core.Errorf(core.Invalid, "the body is not a state file, or it was cut off: %w", err)
	}
	encrypted := bool(f.Encrypted) && f.EncryptionVersion != ""
	switch {
	case f.Version == nil && !encrypted:
		return f, core.Errorf(core.Invalid, "the body is JSON but not a state file: it has no version")
	case f.Version != nil && *f.Version != 4:
		return f, core.Errorf(core.Invalid, "the state has version %d; version 4 is understood, which engines write since Terraform 0.12", *f.Version)
	case f.Serial == nil || *f.Serial < 0:
		return f, core.Errorf(core.Invalid, "the body is not a state file: it has no serial")
	case f.Lineage == "" || len(f.Lineage) > 200:
		f.nameless = f.Lineage == ""
		f.sum(body)
		return f, core.Errorf(core.Invalid, "the body is not a state file: it has no lineage")
	}
	f.sum(body)
	return f, nil
}

func (f *file) sum(body []byte) {
	sum := md5.Sum(body)
	f.md5, f.size = hex.EncodeToString(sum[:]), int64(len(body))
}

// resources counts the managed instances. An encrypted state counts as one: it may
// hold any number, and must not be taken for empty.
func (f file) resources() int {
	if f.Encrypted {
		return 1
	}
	n := 0
	for _, r := range f.Resources {
		if r.Mode == "managed" {
			n += len(r.Instances)
		}
	}
	return n
}

// address writes a resource instance as the engines do.
func (r resource) address(i instance) string {
	a := r.Type + "." + r.Name
	if r.Mode == "data" {
		a = "data." + a
	}
	if r.Module != "" {
		a = r.Module + "." + a
	}
	if len(i.IndexKey) > 0 {
		a += "[" + string(i.IndexKey) + "]"
	}
	if i.Deposed != "" {
		a += " (deposed " + i.Deposed + ")"
	}
	return a
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
