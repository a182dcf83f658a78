package modules

import (
	"context"
	"crypto/subtle"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/source"
)

// linkLife is how long the address of an archive is good for. Engines fetch it at once, and
// without the credentials that they got the address with.
const linkLife = 10 * time.Minute

// Version returns a version of a module; NotFound when there is none.
func (s *Service) Version(ctx context.Context, address, version string) (core.Module, core.ModuleVersion, error) {
	l, err := s.Get(ctx, address)
	if err != nil {
		return core.Module{}, core.ModuleVersion{}, err
	}
	i := slices.IndexFunc(l.Versions, func(v core.ModuleVersion) bool { return v.Version == version })
	if i < 0 {
		return core.Module{}, core.ModuleVersion{}, core.Errorf(core.NotFound, "the module %s has no version %.100q; terrace module show %[1]s has them", address, version)
	}
	return l.Module, l.Versions[i], nil
}

// Link returns the link of an archive, with the time until which it is good, and the module's
// folder in the archive.
func (s *Service) Link(ctx context.Context, address, version string, now time.Time) (link, folder string, err error) {
	m, v, err := s.Version(ctx, address, version)
	if err != nil {
		return "", "", err
	}
	p, err := s.pack(ctx, m, v)
	if err != nil {
		return "", "", err
	}
	until := strconv.FormatInt(now.Add(linkLife).Unix(), 10)
	return until + "-" + s.sign(address, version, until), p.Folder, nil
}

func (s *Service) sign(address, version, until string) string {
	return s.Seal.Digest([]byte(strings.Join([]string{"module archive", address, version, until}, "\x00")))
}

// Open returns the archive of a link. Denied when the link is none that Link made, or too old.
func (s *Service) Open(ctx context.Context, address, version, link string, now time.Time) (source.Package, error) {
	until, signature, _ := strings.Cut(link, "-")
	end, err := strconv.ParseInt(until, 10, 64)
	if err != nil || subtle.ConstantTimeCompare([]byte(signature), []byte(s.sign(address, version, until))) != 1 || now.Unix() > end {
		return source.Package{}, core.Errorf(core.Denied, "this address of a module's archive is not good, or not any more; ask for the module anew")
	}
	m, v, err := s.Version(ctx, address, version)
	if err != nil {
		return source.Package{}, err
	}
	return s.pack(ctx, m, v)
}

func (s *Service) pack(ctx context.Context, m core.Module, v core.ModuleVersion) (source.Package, error) {
	if err := s.Source.BringVersion(ctx, m.Repo, v.Commit, v.Tag); err != nil {
		return source.Package{}, err
	}
	return s.Source.Package(ctx, m.Repo, v.Commit, m.Path)
}
