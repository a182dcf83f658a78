// Package policy judges plans by Rego, with the conventions of conftest: in package main
// (or the packages that a set names) the rules deny, deny_NAME, violation and
// violation_NAME deny a plan, warn and warn_NAME warn of it.
//
// A set of files is compiled by itself, so that no policy can change what another says.
// It sees the plan and nothing else: there are no built-ins for the network, files, the
// environment, chance or the time, and time and memory are bounded. What cannot be
// compiled or evaluated denies. Sources and a plan go in, verdicts come out.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Main is the package whose rules judge when a set names none.
const Main = "main"

// Extension is what the name of a policy's file ends with.
const Extension = ".rego"

// IsTest reports whether a file has tests of policies, which judge no plan.
func IsTest(file string) bool { return strings.HasSuffix(path.Base(file), "_test"+Extension) }

// Digest identifies what a set says and where it is from.
func Digest(p wire.Policy) string {
	h := sha256.New()
	write := func(texts ...string) {
		_, _ = fmt.Fprintf(h, "%d;", len(texts)) // a hash takes everything
		for _, t := range texts {
			_, _ = fmt.Fprintf(h, "%d:%s", len(t), t)
		}
	}
	write(p.Name, p.From)
	write(namespaces(p)...)
	for _, f := range sorted(p.Files) {
		write(f.Path, f.Text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Same reports whether two sets say the same, whatever they are called and wherever they
// are from.
func Same(a, b wire.Policy) bool {
	a.Name, a.From, b.Name, b.From = "", "", "", ""
	return Digest(a) == Digest(b)
}

// namespaces are the packages whose rules judge.
func namespaces(p wire.Policy) []string {
	if len(p.Namespaces) == 0 {
		return []string{Main}
	}
	out := slices.Sorted(slices.Values(p.Namespaces))
	return slices.Compact(out)
}

func sorted(files []wire.PolicyFile) []wire.PolicyFile {
	return slices.SortedFunc(slices.Values(files), func(a, b wire.PolicyFile) int { return strings.Compare(a.Path, b.Path) })
}
