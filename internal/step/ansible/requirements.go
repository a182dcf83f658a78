package ansible

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// required is what a requirements file names.
type required struct {
	file               string // inside of the repository
	content            []byte
	roles, collections []wanted
}

// wanted is a role or a collection.
type wanted struct {
	Name    string `yaml:"name"`
	Src     string `yaml:"src"`
	Source  string `yaml:"source"`
	Version string `yaml:"version"`
	Type    string `yaml:"type"`
	Scm     string `yaml:"scm"`
	Include string `yaml:"include"`
}

// UnmarshalYAML also takes the short form: a name, and in one with a comma a version.
func (w *wanted) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		name, version, _ := strings.Cut(node.Value, ",")
		*w = wanted{Name: strings.TrimSpace(name), Version: strings.TrimSpace(version)}
		if at := strings.LastIndexByte(w.Name, ':'); w.Version == "" && at > 0 && fullName.MatchString(w.Name[:at]) {
			w.Name, w.Version = w.Name[:at], w.Name[at+1:]
		}
		return nil
	}
	type long wanted
	return node.Decode((*long)(w))
}

var (
	fullName = regexp.MustCompile(`^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$`)
	exactly  = regexp.MustCompile(`^=?=?\s*v?[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.+-]+)?$`)
	moving   = regexp.MustCompile(`^(|\*|HEAD|main|master|devel|develop|trunk|latest)$`)
)

// readRequirements reads a file, and the ones that it includes.
func (o Options) readRequirements(file string) ([]required, error) {
	var all []required
	queue := []string{file}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if len(all) > 20 {
			return nil, &Failed{fmt.Sprintf("the requirements %s include more files than can be meant", file)}
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, &Failed{fmt.Sprintf("the requirements %q are not inside the repository", name)}
		}
		content, err := os.ReadFile(filepath.Join(o.Tree, filepath.FromSlash(name)))
		if err != nil {
			return nil, &Failed{fmt.Sprintf("the requirements %s are not in the repository at this commit", name)}
		}
		r := required{file: name, content: content}
		if err := r.parse(); err != nil {
			return nil, &Failed{fmt.Sprintf("the requirements %s cannot be read: %v", name, err)}
		}
		for _, role := range r.roles {
			if role.Include != "" {
				queue = append(queue, filepath.ToSlash(filepath.Join(filepath.Dir(name), role.Include)))
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// parse reads both forms: a list of roles, or an object with roles and collections.
func (r *required) parse() error {
	var doc yaml.Node
	if err := yaml.Unmarshal(r.content, &doc); err != nil {
		return err
	}
	if len(doc.Content) == 0 {
		return nil // an empty file
	}
	if doc.Content[0].Kind == yaml.SequenceNode {
		return doc.Decode(&r.roles)
	}
	var both struct {
		Roles       []wanted `yaml:"roles"`
		Collections []wanted `yaml:"collections"`
	}
	err := doc.Decode(&both)
	r.roles, r.collections = both.Roles, both.Collections
	return err
}

// origin is where it comes from, when that is not a Galaxy server.
func (w wanted) origin() string {
	for _, s := range []string{w.Src, w.Source, w.Name} {
		if strings.ContainsAny(s, "/@") {
			return s
		}
	}
	return ""
}

// exact reports whether the same is installed every time.
func (w wanted) exact(collection bool) bool {
	origin := w.origin()
	switch {
	case w.Include != "":
		return true
	case w.Type == "git" || w.Scm != "" || strings.HasPrefix(origin, "git+") || strings.HasPrefix(origin, "git@") || strings.HasSuffix(origin, ".git"):
		return !moving.MatchString(w.Version)
	case w.Type == "url" || w.Type == "file" || w.Type == "dir" || w.Type == "subdirs" || strings.HasSuffix(origin, ".tar.gz"):
		return true
	case collection:
		return exactly.MatchString(w.Version)
	}
	return !moving.MatchString(w.Version)
}

// warnings name what may be another tomorrow.
func (r required) warnings() (out []string) {
	tell := func(kind string, all []wanted, collection bool) {
		for _, w := range all {
			if !w.exact(collection) {
				name := w.Name
				if name == "" {
					name = w.origin()
				}
				out = append(out, fmt.Sprintf("%s: the %s %s has no exact version, so what is installed may differ from machine to machine", r.file, kind, name))
			}
		}
	}
	tell("role", r.roles, false)
	tell("collection", r.collections, true)
	return out
}

// requirementsDigest says what is installed: the files, what they name in the repository,
// and the Ansible that installs it.
func (o Options) requirementsDigest(all []required, ansible installed) (string, error) {
	h := sha256.New()
	add := func(parts ...string) {
		for _, p := range parts {
			_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // a hash takes everything
		}
	}
	add("requirements 1", ansible.core)
	for _, r := range all {
		add(string(r.content))
		for _, w := range append(r.roles[:len(r.roles):len(r.roles)], r.collections...) {
			origin := w.origin()
			if origin == "" || strings.Contains(origin, "://") || strings.HasPrefix(origin, "git@") {
				continue
			}
			add(origin)
			path := origin
			if !filepath.IsAbs(path) {
				path = filepath.Join(o.root(), path)
			}
			if err := hashTree(h, path); err != nil {
				return "", &Failed{fmt.Sprintf("%s names %s, which cannot be read: %v", r.file, origin, err)}
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:32], nil
}

// hashTree adds names and contents of files. What is not there is no business of ours.
func hashTree(h hash.Hash, path string) error {
	return filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read from
		rel, err := filepath.Rel(path, file)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(h, "%d:%s", len(rel), rel)
		_, err = io.Copy(h, f)
		return err
	})
}
