package modules

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/terrace-cd/terrace/internal/core"
)

// semantic is what a version looks like. One with build metadata is none: engines do not
// tell 1.0.0+a from 1.0.0+b.
var semantic = regexp.MustCompile(`^v?((?:0|[1-9][0-9]{0,8})\.(?:0|[1-9][0-9]{0,8})\.(?:0|[1-9][0-9]{0,8})(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)$`)

// versionOf is the version that a tag stands for: what is in the place of the * of the
// pattern, without "v".
func versionOf(pattern, tag string) (string, bool) {
	before, after, _ := strings.Cut(pattern, "*")
	if len(tag) < len(before)+len(after) || !strings.HasPrefix(tag, before) || !strings.HasSuffix(tag, after) {
		return "", false
	}
	found := semantic.FindStringSubmatch(tag[len(before) : len(tag)-len(after)])
	if found == nil || len(found[1]) > 100 {
		return "", false
	}
	if _, err := version.NewVersion(found[1]); err != nil {
		return "", false
	}
	return found[1], true
}

// freshTags are the tags of versions that are not known yet. Where two tags stand for one
// version, v1.0.0 and 1.0.0, the one with "v" counts.
func freshTags(pattern string, tags map[string]string, known map[string]bool) []string {
	by := map[string]string{}
	for _, tag := range slices.Sorted(maps.Keys(tags)) { // digits come before "v"
		if v, ok := versionOf(pattern, tag); ok && !known[v] {
			by[v] = tag
		}
	}
	return slices.Sorted(maps.Values(by))
}

// newest is the newest version that fits a constraint, as engines choose it.
func newest(all []core.ModuleVersion, constraint string) (best core.ModuleVersion, ok bool) {
	var bestOf *version.Version
	for _, v := range all {
		parsed, err := version.NewVersion(v.Version)
		if err != nil || v.Gone || !fits(constraint, parsed) {
			continue
		}
		if bestOf == nil || parsed.GreaterThan(bestOf) {
			best, bestOf = v, parsed
		}
	}
	return best, bestOf != nil
}

// fits reports whether a version is one that a constraint means. One that comes before a
// release has to be asked for exactly.
func fits(constraint string, v *version.Version) bool {
	if v.Prerelease() != "" {
		exact := strings.TrimPrefix(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(constraint), "=")), "v")
		return exact == v.String()
	}
	if constraint == "" {
		return true
	}
	wanted, err := version.NewConstraint(constraint)
	return err == nil && wanted.Check(v)
}

// older reports whether a version comes before another.
func older(a, b string) bool {
	x, err := version.NewVersion(a)
	y, err2 := version.NewVersion(b)
	return err == nil && err2 == nil && x.LessThan(y)
}

func newestFirst(all []core.ModuleVersion) []core.ModuleVersion {
	slices.SortFunc(all, func(a, b core.ModuleVersion) int {
		switch {
		case older(a.Version, b.Version):
			return 1
		case older(b.Version, a.Version):
			return -1
		}
		return strings.Compare(a.Version, b.Version)
	})
	return all
}
