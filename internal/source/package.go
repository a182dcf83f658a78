package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
)

// Bounds of what is packed, before compression.
const (
	maxPackage      = 64 << 20
	maxPackageFiles = 20_000
)

// Package is a module's folder as engines fetch it.
type Package struct {
	// Archive is a tar, compressed by gzip. The same commit and folder give the same bytes.
	Archive []byte
	// Folder is the module's in it; "" when the archive is that folder. It has the whole
	// repository when the module uses what is elsewhere in it.
	Folder string
}

// Package packs the module in a folder of a commit. Symbolic links become what they point
// to. Errors: Invalid when the folder has no configuration, is too large, or has a symbolic
// link that leaves the repository.
func (s *Source) Package(ctx context.Context, repo, commit, dir string) (Package, error) {
	dir = path.Clean(dir)
	t, err := s.Tree(ctx, repo, commit)
	if err != nil {
		return Package{}, err
	}
	key := strings.Join([]string{repo, t.hash, dir}, "\x00")
	if p, ok := s.packs.get(key); ok {
		return p, nil
	}
	m := s.pin(repo)
	defer s.unpin(m)
	defer s.parses.flush()
	p := packer{tree: t, mirror: m, base: dir}
	if len(t.configFiles(dir, "tofu"))+len(t.configFiles(dir, "terraform")) == 0 {
		return Package{}, core.Errorf(core.Invalid, "there is no module in the folder %s of %s at %s: it has no .tf files", quote(dir), repo, core.ShortCommit(commit))
	}
	alone, err := newGraph(t, m, "tofu").alone(dir)
	if err != nil {
		return Package{}, core.Errorf(core.Internal, "cannot read the files of %s: %w", repo, err)
	}
	out := Package{}
	if !alone {
		p.base, out.Folder = ".", dir
	}
	if err = p.list(); err == nil {
		out.Archive, err = p.pack()
	}
	if err != nil {
		code := core.CodeOf(err)
		if onlyLeaves(err) != nil {
			code = core.Invalid
		}
		return Package{}, core.Errorf(code, "%s at %s cannot be a module: %w", repo, core.ShortCommit(commit), err)
	}
	s.packs.put(key, out, len(out.Archive)+200)
	return out, nil
}

// alone reports whether a module uses nothing of its repository but its own folder.
func (g *graph) alone(dir string) (bool, error) {
	if dir == "." {
		return true, nil
	}
	for folder := range g.tree.folders().configs {
		if !within(folder, dir) {
			continue
		}
		s, err := g.summarise(folder)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(s.modules, func(called string) bool { return !within(called, dir) }) {
			return false, nil
		}
		for _, r := range s.reads {
			p := locate(r.path, folder)
			if p.known && !p.outside && !within(p.path, dir) && (g.tree.find(p.path) != nil || len(g.tree.under(p.path)) > 0) {
				return false, nil
			}
		}
	}
	return true, nil
}

// packer lists and packs the files below base.
type packer struct {
	tree   *Tree
	mirror *mirror
	base   string

	names  []string // in the archive
	files  []*entry
	looked int // at entries, of symbolic links as often as they lead there
}

// list finds the files, and what symbolic links point to.
func (p *packer) list() error {
	real, err := p.tree.resolve(p.base)
	if err != nil {
		return err
	}
	under := p.tree.under(real)
	for i := range under {
		name := under[i].path
		if real != "." {
			name = name[len(real)+1:]
		}
		if err := p.add(name, &under[i], 0); err != nil {
			return err
		}
	}
	return nil
}

// maxLinked is how deep symbolic links to folders may lead into each other.
const maxLinked = 8

func (p *packer) add(name string, e *entry, depth int) error {
	if p.looked++; p.looked > maxPackageFiles {
		return core.Errorf(core.Invalid, "it has more than %d files", maxPackageFiles)
	}
	switch e.kind {
	case submodule:
		return nil // its files are elsewhere
	case file, program:
		p.names, p.files = append(p.names, name), append(p.files, e)
		return nil
	}
	if depth == maxLinked {
		return core.Errorf(core.Invalid, "its symbolic link %s leads to folders that lead to each other", quote(e.path))
	}
	to, err := p.tree.resolve(e.path)
	if onlyLeaves(err) != nil {
		return err
	} else if err != nil {
		return nil //nolint:nilerr // it leads nowhere, and would for the engine
	}
	if target := p.tree.find(to); target != nil {
		return p.add(name, target, depth+1)
	}
	under := p.tree.under(to)
	for i := range under {
		inner := under[i].path
		if to != "." {
			inner = inner[len(to)+1:]
		}
		if err := p.add(name+"/"+inner, &under[i], depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) pack() ([]byte, error) {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(zip)
	oids := make([]string, len(p.files))
	for i, e := range p.files {
		oids[i] = p.tree.oid(e)
	}
	var size int64
	err = p.mirror.readMany(oids, maxPackage, func(i int, _ string, content []byte, err error) error {
		if size += int64(len(content)); size > maxPackage || errors.Is(err, git.ErrTooLarge) {
			return core.Errorf(core.Invalid, "its files have more than %d MiB", maxPackage>>20)
		} else if err != nil {
			return err
		}
		head := &tar.Header{Typeflag: tar.TypeReg, Name: p.names[i], Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if p.files[i].kind == program {
			head.Mode = 0o755
		}
		if err := archive.WriteHeader(head); err != nil {
			return err
		}
		_, err = archive.Write(content)
		return err
	})
	if err == nil {
		err = errors.Join(archive.Close(), zip.Close())
	}
	return out.Bytes(), err
}
