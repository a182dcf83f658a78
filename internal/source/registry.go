package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
)

// RegistryCall is a module call whose source is an address in a registry.
type RegistryCall struct {
	Host, Module string // Module is NAMESPACE/NAME/SYSTEM
	Folder       string // in the module, after //; "" for its root
	Constraint   string // as it is written; "" for any version
	// Known is false when the constraint is only known in the plan.
	Known bool
	Path  string
	Line  int
}

// RegistryAddress splits a module's source that names the host of its registry:
// HOST/NAMESPACE/NAME/SYSTEM, perhaps with //FOLDER. ok is false for every other source.
func RegistryAddress(source string) (host, module, folder string, ok bool) {
	if strings.ContainsAny(source, allMarks) {
		return "", "", "", false
	}
	source, folder, _ = strings.Cut(source, "//")
	host, module, ok = strings.Cut(source, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" || strings.HasPrefix(host, ".") || host == "github.com" || host == "bitbucket.org" {
		return "", "", "", false
	}
	return strings.ToLower(host), module, folder, core.ValidModule(module)
}

// register adds a call of a registry's module to the summary of the caller.
func (s *summary) register(in *scope, file string, r registered) {
	host, module, folder, ok := RegistryAddress(r.source)
	if !ok {
		return
	}
	for _, version := range in.expand(r.version) {
		for _, version := range substitute(version, markVariable, func(name string) []string { return s.defaults[name] }) {
			c := RegistryCall{Host: host, Module: module, Folder: folder, Constraint: strings.TrimSpace(version), Known: true, Path: file, Line: r.line}
			if strings.ContainsAny(version, allMarks) {
				c.Constraint, c.Known = "", false
				s.warnings = append(s.warnings, Warning{Path: file, Line: r.line,
					Message: "which version of " + module + " is used is not known before the plan; write the constraint as text, or a change in it starts no run"})
			}
			s.registry = append(s.registry, c)
		}
	}
}

// RegistryCalls lists, for each of the folders, the calls of registries' modules in its code
// and in that of the local modules that it calls.
func (s *Source) RegistryCalls(ctx context.Context, repo, commit, engine string, dirs []string) (map[string][]RegistryCall, error) {
	t, err := s.Tree(ctx, repo, commit)
	if err != nil {
		return nil, err
	}
	m := s.pin(repo)
	defer s.unpin(m)
	defer s.parses.flush()
	if err := t.prefetch(ctx, m, engine, dirs); err != nil {
		return nil, core.Errorf(core.Internal, "cannot read the files of %s: %w", repo, err)
	}
	g := newGraph(t, m, engine)
	out := make(map[string][]RegistryCall, len(dirs))
	for _, dir := range dirs {
		sum, err := g.summarise(dir)
		if err != nil {
			return nil, core.Errorf(core.Internal, "cannot read the files in %s of %s: %w", dir, repo, err)
		}
		out[dir] = sum.registry
	}
	return out, nil
}

// maxTags bounds the tags of a repository that are looked at.
const maxTags = 20_000

// Tags lists the tags of a remote that could be fetched, with the commits that they point
// to. Errors are those of Check.
func (s *Source) Tags(ctx context.Context, repo string) (map[string]string, error) {
	if err := checkNames(repo, ""); err != nil {
		return nil, err
	}
	refs, _, err := s.lsRemote(ctx, repo, "refs/tags/*")
	if err != nil {
		return nil, explain(err, repo)
	}
	if len(refs) > 2*maxTags {
		return nil, core.Errorf(core.Invalid, "%s has more than %d tags; keep its modules in a repository with fewer", repo, maxTags)
	}
	out := make(map[string]string, len(refs))
	for ref, oid := range refs {
		tag := strings.TrimPrefix(ref, "refs/tags/")
		if peeled, ok := strings.CutSuffix(tag, "^{}"); ok {
			out[peeled] = oid // what an annotated tag points to
		} else if out[tag] == "" {
			out[tag] = oid
		}
	}
	for tag := range out {
		if git.ValidBranch(tag) != nil {
			delete(out, tag)
		}
	}
	return out, nil
}

// tagsAtOnce is how many tags one conversation with the remote brings.
const tagsAtOnce = 100

// BringTags fetches tags into the mirror, which keeps them wherever the remote moves them,
// and returns the commit of each. What is not there, or is no commit, is left out.
func (s *Source) BringTags(ctx context.Context, repo string, tags []string) (map[string]string, error) {
	if err := checkNames(repo, ""); err != nil {
		return nil, err
	}
	m := s.pin(repo)
	defer s.unpin(m)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := s.open(ctx, m); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for from := 0; from < len(tags); from += tagsAtOnce {
		some := tags[from:min(len(tags), from+tagsAtOnce)]
		var refspecs []string
		for _, tag := range some {
			if err := git.ValidBranch(tag); err != nil {
				return nil, core.Errorf(core.Invalid, "%q cannot be the name of a tag: %w", shown(tag), err)
			}
			refspecs = append(refspecs, "+refs/tags/"+tag+":"+tagRef(tag))
		}
		if err := s.bringAll(ctx, m, refspecs); err != nil {
			return nil, explain(err, repo)
		}
		for _, tag := range some {
			commit := m.ref(ctx, tagRef(tag))
			if commit == "" {
				continue
			}
			if _, err := m.git(ctx, "update-ref", keptRef(commit), commit); err != nil {
				return nil, core.Errorf(core.Unavailable, "cannot keep a tag of %s: %w", repo, err)
			}
			out[tag] = commit
		}
	}
	return out, nil
}

// BringVersion makes sure that the mirror has a commit that a tag pointed to: by its name, or,
// from a server that does not give out commits, by the tag. NotFound when neither works.
func (s *Source) BringVersion(ctx context.Context, repo, commit, tag string) error {
	if !git.ValidOID(commit) {
		return core.Errorf(core.Invalid, "%q is not the full name of a commit", shown(commit))
	}
	if s.has(repo, commit) {
		return nil
	}
	err := s.bringCommit(ctx, repo, commit)
	if core.CodeOf(err) != core.NotFound {
		return err
	}
	brought, err := s.BringTags(ctx, repo, []string{tag})
	if err == nil && brought[tag] != commit {
		return noCommit(repo, commit)
	}
	return err
}

func tagRef(tag string) string {
	sum := sha256.Sum256([]byte(tag))
	return "refs/terrace/tags/" + hex.EncodeToString(sum[:16])
}
