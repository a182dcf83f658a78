package guardrails

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/policy"
	"github.com/terrace-cd/terrace/internal/service/law"
)

// Read returns a version with its files, the newest for 0. While there is none, the newest is
// version 0, with no files.
func (s *Service) Read(ctx context.Context, version int64) (g core.Guardrails, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		g, err = newest(tx, version)
		return err
	})
	return g, err
}

func newest(tx core.Tx, version int64) (core.Guardrails, error) {
	g, err := tx.Guardrails(version)
	if version == 0 && core.CodeOf(err) == core.NotFound {
		return core.Guardrails{}, nil
	}
	return g, err
}

// History lists the versions, newest first, without files.
func (s *Service) History(ctx context.Context) (all []core.Guardrails, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		all, err = tx.GuardrailsHistory()
		return err
	})
	return all, err
}

// Set stores guardrails as a new version and wakes every project. With onTop it does so only
// if that is the newest version, 0 if there is none. What says the same as the newest
// version makes none. The warnings are what an administrator should know of it.
//
// Errors: Invalid with every diagnostic when they do not hold; Conflict when somebody set
// others in the meantime, or when nobody would be an admin any more.
func (s *Service) Set(ctx context.Context, by string, files map[string]string, onTop *int64) (set core.Guardrails, warnings []string, err error) {
	tree := bundle(files)
	if err := tree.check(); err != nil {
		return set, nil, err
	}
	g, diags := config.LoadGuardrails(tree)
	if diags.HasErrors() {
		return set, nil, core.Errorf(core.Invalid, "%s", strings.TrimSpace(config.Render(diags, tree, false)))
	}
	for _, p := range g.Policies {
		if _, err := policy.Compile(law.Guardrail(g, p, fmt.Sprintf("the guardrails (policy %q)", p.Name))); err != nil {
			return set, nil, err
		}
	}
	for name := range files {
		if _, used := g.Bundle[name]; name != config.GuardrailsFile && !used {
			return set, nil, core.Errorf(core.Invalid, "no policy names the file %s; leave it out, or name it in files of a policy block", name)
		}
	}
	stored := false
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		stored, warnings = false, nil
		before, err := newest(tx, 0)
		if err != nil {
			return err
		}
		if onTop != nil && *onTop != before.Version {
			return core.Errorf(core.Conflict, "%s; look at them (terrace guardrails show), and set yours again on top of them", since(before, *onTop))
		}
		if before.Digest == g.Digest {
			set = before
			return nil
		}
		tokens, err := tx.Tokens()
		if err != nil {
			return err
		}
		tokens = slices.DeleteFunc(tokens, func(t core.Token) bool { return !t.LetsIn(tx.Now()) })
		if !slices.ContainsFunc(tokens, func(t core.Token) bool { return AdminEverywhere(g, t) }) {
			return core.Errorf(core.Conflict, "nobody would be an admin any more: no token has the role admin itself, and none is of a user to whom these guardrails give it everywhere. Add them to a role \"admin\" block, or make a token first: terrace token create NAME --role admin")
		}
		warnings = without(g, tokens)
		set = core.Guardrails{Version: before.Version + 1, Digest: g.Digest, Files: files, By: by, Created: tx.Now()}
		if err := tx.AddGuardrails(set); err != nil {
			return err
		}
		stored = true
		return tx.AddEvent(core.Event{By: by, Kind: "guardrails.set", On: "version " + strconv.FormatInt(set.Version, 10), Data: map[string]string{"digest": set.Digest}})
	})
	if err == nil && stored {
		s.Bus.Changed("") // every project is judged anew
	}
	if err == nil && s.Misfits != nil && g.GivesVariables() {
		// No more than a warning: a repository must not be able to keep guardrails out.
		misfits, err := s.Misfits(ctx)
		if err != nil {
			misfits = []string{"whether all projects can take these values is not known: " + core.MessageOf(err)}
		}
		warnings = append(warnings, misfits...)
	}
	return set, warnings, err
}

// since says what became of the guardrails that somebody wants to set others on top of.
func since(now core.Guardrails, onTop int64) string {
	if now.Version == 0 {
		return fmt.Sprintf("there are no guardrails yet, and so no version %d", onTop)
	}
	return fmt.Sprintf("the guardrails are at version %d, which %s set, and not at %d", now.Version, now.By, onTop)
}

// GrantsOf lists what a token lets its user do, and where: its own role, or else what the
// guardrails give the user.
func GrantsOf(g *config.Guardrails, t core.Token) []core.Grant {
	switch {
	case t.Kind != core.TokenPerson:
		return nil
	case t.Role == "":
		return g.Grants("user:" + t.User)
	}
	grant := core.Grant{Role: t.Role}
	if t.Project != "" {
		grant.Projects = []string{t.Project}
	}
	if t.Environment != "" {
		grant.Environments = []string{t.Environment}
	}
	return []core.Grant{grant}
}

// AdminEverywhere reports whether a token lets its user do everything.
func AdminEverywhere(g *config.Guardrails, t core.Token) bool {
	return slices.ContainsFunc(GrantsOf(g, t), func(held core.Grant) bool { return held.Role == core.RoleAdmin && held.Everywhere() })
}

// without names the users whose tokens let them do nothing any more.
func without(g *config.Guardrails, tokens []core.Token) (warnings []string) {
	for _, t := range tokens {
		if t.Kind != core.TokenPerson || len(GrantsOf(g, t)) > 0 {
			continue
		}
		w := fmt.Sprintf("user:%s has no role now: what the token %q lets in can do nothing until a role block names that user", t.User, t.Name)
		if !slices.Contains(warnings, w) {
			warnings = append(warnings, w)
		}
	}
	return warnings
}
