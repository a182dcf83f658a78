package access

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/terrace-cd/terrace/internal/core"
)

// maxAddress bounds an address, in bytes.
const maxAddress = 1000

// Except lets one apply do to one protected address of an instance what rule 13 forbids,
// within lifetime; where the guardrails want a second person, once somebody else has
// confirmed it. Errors: Invalid; NotFound when the instance has nothing to protect.
func (s *Service) Except(ctx context.Context, by string, e core.Exception, lifetime time.Duration) (Listed, error) {
	name := core.InstanceName(e.Stack, e.Environment)
	switch {
	case strings.Contains(e.Address, "*"):
		return Listed{}, core.Errorf(core.Invalid, "an exception names one address, and %q is a pattern; terrace run show has the address", e.Address)
	case len(e.Address) > maxAddress || !strings.Contains(e.Address, ".") || strings.ContainsFunc(e.Address, unicode.IsControl) || strings.TrimSpace(e.Address) != e.Address:
		return Listed{}, core.Errorf(core.Invalid, "%q is not the address of a resource, as in democloud_database.main or module.db.democloud_database.main[0]", e.Address)
	case strings.TrimSpace(e.Reason) == "":
		return Listed{}, core.Errorf(core.Invalid, "an exception needs a reason, for those who read the audit log later: --reason")
	case lifetime < core.LeastException || lifetime > core.MostException:
		return Listed{}, core.Errorf(core.Invalid, "an exception lasts from %s to %s, and %s is neither", core.LeastException, core.MostException, lifetime)
	}
	var made Listed
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		rails, err := s.Guardrails.In(tx)
		if err != nil {
			return err
		}
		rule := rails.ExceptionRule(e.Project, e.Environment)
		if rule.Most > 0 && lifetime > rule.Most {
			return core.Errorf(core.Invalid, "the guardrails let an exception in %s of %s last %s at most, and not %s: --for %[3]s", e.Environment, e.Project, rule.Most, lifetime)
		}
		kept, err := tx.Held(e.Project, e.Stack, e.Environment)
		if err != nil {
			return err
		}
		if kept.Current == nil && kept.Own == nil {
			return core.Errorf(core.NotFound, "%s has no state, and so nothing that is protected; terrace status lists the instances", name)
		}
		e.Created, e.By = tx.Now(), by
		e.ID, e.Expires = core.NewID(core.PrefixException, e.Created), e.Created.Add(lifetime)
		if err := tx.AddException(e); err != nil {
			return err
		}
		made = Listed{e, rule.Status(e, e.Created)}
		return tx.AddEvent(core.Event{By: by, Kind: "exception.made", Project: e.Project, On: name,
			Data: map[string]string{"exception": e.ID, "address": e.Address, "reason": e.Reason, "expires": e.Expires.Format(time.RFC3339)}})
	})
	return made, err
}

// Listed is an exception with what it is now.
type Listed struct {
	core.Exception
	Status core.ExceptionStatus
}

// Exceptions lists a project's exceptions, newest first.
func (s *Service) Exceptions(ctx context.Context, project string) (all []Listed, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		rails, err := s.Guardrails.In(tx)
		if err != nil {
			return err
		}
		exceptions, err := tx.Exceptions(project)
		all = make([]Listed, 0, len(exceptions))
		for _, e := range exceptions {
			all = append(all, Listed{e, rails.ExceptionRule(project, e.Environment).Status(e, tx.Now())})
		}
		return err
	})
	return all, err
}

// Exception finds one of a project. NotFound when there is none with that ID.
func (s *Service) Exception(ctx context.Context, project, id string) (e Listed, err error) {
	all, err := s.Exceptions(ctx, project)
	if err != nil {
		return e, err
	}
	i := slices.IndexFunc(all, func(e Listed) bool { return e.ID == id })
	if i < 0 {
		return e, core.Errorf(core.NotFound, "%s has no exception %s; terrace except list --all has them", project, id)
	}
	return all[i], nil
}

// ConfirmException is the second person's word. Errors: NotFound; Conflict when it lets
// nothing any more; Denied for who made it.
func (s *Service) ConfirmException(ctx context.Context, by, project, id string) (Listed, error) {
	e, err := s.Exception(ctx, project, id)
	if err != nil {
		return e, err
	}
	if e.By == by {
		return e, core.Errorf(core.Denied, "%s made the exception %s, and another operator has to confirm it: terrace except approve %[2]s", by, id)
	}
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if !tx.Now().Before(e.Expires) {
			return core.Errorf(core.Conflict, "the exception %s has expired; make another one: terrace except %s '%s'", id, core.InstanceName(e.Stack, e.Environment), e.Address)
		}
		if err := tx.ConfirmException(project, id, by); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "exception.confirmed", Project: project, On: core.InstanceName(e.Stack, e.Environment),
			Data: map[string]string{"exception": id, "address": e.Address, "made_by": e.By}})
	})
	if err != nil {
		return e, err
	}
	return s.Exception(ctx, project, id)
}

// EndException takes an exception back. Errors: NotFound; Conflict when it has ended.
func (s *Service) EndException(ctx context.Context, by, project, id string) error {
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if err := tx.EndException(project, id, "", tx.Now()); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "exception.ended", Project: project, On: id})
	})
}
