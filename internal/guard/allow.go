package guard

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Names of the checks on what a plan uses.
const (
	Engines   = "engines"
	Providers = "providers"
	Modules   = "modules"
)

// Allowed judges what a run uses by what the guardrails allow. All of several have to
// allow it. It says nothing where nothing is limited.
func Allowed(instance string, uses wire.Uses, all []wire.Allow) []wire.Check {
	var v Verdict
	for _, allow := range all {
		if len(allow.Engines) > 0 && !slices.Contains(allow.Engines, uses.Engine) {
			v.add(Engines, Deny, "%s would be planned with %s. %s. Set engine in terrace.hcl, or ask an administrator to allow it",
				instance, uses.Engine, only("engines", allow.Engines, allow.From))
		}
		if allow.EngineVersions != "" && !fits(allow.EngineVersions, uses.Version) {
			v.add(Engines, Deny, "%s would be planned with %s %s. Allowed are engine_versions = %q in %s. Set engine_version in terrace.hcl, or ask an administrator to allow it",
				instance, uses.Engine, uses.Version, allow.EngineVersions, allow.From)
		}
		if len(allow.Providers) > 0 {
			for _, p := range uses.Providers {
				if !means(allow.Providers, p.Address) {
					v.add(Providers, Deny, "%s uses the provider %s, %s. %s. Take it out of the code, or ask an administrator to allow it",
						instance, strings.TrimSpace(p.Address+" "+p.Version), wanted(p.Where), only("providers", allow.Providers, allow.From))
				}
			}
		}
		if len(allow.Modules) > 0 {
			for _, m := range uses.Modules {
				climbing := ""
				if climbs(m.Source) || climbs(m.Written) {
					climbing = `, and a source with ".." is none of them`
				}
				if climbing != "" || !means(allow.Modules, sources(m)...) {
					v.add(Modules, Deny, "%s gets %s from %s. %s%s. Take it from where it is allowed, or ask an administrator",
						instance, m.Where, strings.TrimSpace(m.Source+" "+m.Version), only("modules", allow.Modules, allow.From), climbing)
				}
			}
		}
	}
	v.passed(uses, all)
	return v.Checks
}

// passed says what was looked at and found allowed.
func (v *Verdict) passed(uses wire.Uses, all []wire.Allow) {
	for _, kind := range []struct {
		name   string
		limits func(wire.Allow) []string
		used   string
	}{
		{Engines, func(a wire.Allow) []string { return append(slices.Clone(a.Engines), a.EngineVersions) }, strings.TrimSpace(uses.Engine + " " + uses.Version)},
		{Providers, func(a wire.Allow) []string { return a.Providers }, fmt.Sprintf("%d of %[1]d providers", len(uses.Providers))},
		{Modules, func(a wire.Allow) []string { return a.Modules }, fmt.Sprintf("%d of %[1]d modules from elsewhere", len(uses.Modules))},
	} {
		limited := slices.ContainsFunc(all, func(a wire.Allow) bool {
			return slices.ContainsFunc(kind.limits(a), func(limit string) bool { return limit != "" })
		})
		if limited && !slices.ContainsFunc(v.Checks, func(c wire.Check) bool { return c.Name == kind.name }) {
			v.add(kind.name, Pass, "allowed: %s", kind.used)
		}
	}
}

// fits reports whether a version is one that a constraint means.
func fits(constraint, v string) bool {
	wanted, err := version.NewConstraint(constraint)
	if err != nil {
		return false // what is not understood allows nothing
	}
	have, err := version.NewVersion(v)
	return err == nil && wanted.Check(have)
}

// means reports whether a pattern means one of the texts. What allows had better mean too
// little than too much: a text is compared as it is, but for upper and lower case.
func means(patterns []string, texts ...string) bool {
	for _, p := range patterns {
		if slices.ContainsFunc(texts, func(text string) bool { return core.Matches(strings.ToLower(p), strings.ToLower(text)) }) {
			return true
		}
	}
	return false
}

// sources are a module's source in the ways in which a pattern may mean it: as the engine
// reads it and as it is written, with and without what asks for a version of it.
func sources(m wire.UsedModule) []string {
	var all []string
	for _, source := range []string{m.Source, m.Written} {
		if source == "" {
			continue
		}
		before, _, _ := strings.Cut(source, "?")
		all = append(all, source, before)
	}
	return all
}

// climbs reports whether a source has "..", with which it can lead somewhere else than it
// seems to.
func climbs(source string) bool {
	for range 3 { // however often it was encoded
		if slices.Contains(strings.FieldsFunc(source, func(r rune) bool { return r == '/' || r == '\\' }), "..") {
			return true
		}
		plain, err := url.PathUnescape(source)
		if err != nil {
			return strings.Contains(source, "%")
		}
		source = plain
	}
	return false
}

// wanted says which modules name a provider.
func wanted(where []string) string {
	if len(where) == 0 {
		return "which no module names: its lock file or its state asks for it"
	}
	named := make([]string, len(where))
	for i, w := range where {
		named[i] = w
		if w == "" {
			named[i] = "the root module"
		}
	}
	return "which " + some(named) + " names"
}

func only(kind string, patterns []string, from string) string {
	quoted := make([]string, len(patterns))
	for i, p := range patterns {
		quoted[i] = fmt.Sprintf("%q", p)
	}
	return fmt.Sprintf("Allowed are %s = [%s] in %s", kind, some(quoted), from)
}

// some lists the first few of many.
func some(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
