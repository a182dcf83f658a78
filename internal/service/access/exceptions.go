package access

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/terrace-cd/terrace/internal/core"
)

// maxAddress bounds an address, in bytes.
const maxAddress = 1000

// Except lets one apply do to one protected address of an instance what rule 13 forbids,
// within lifetime. Errors: Invalid; NotFound when the instance has nothing to protect.
func (s *Service) Except(ctx context.Context, by string, e core.Exception, lifetime time.Duration) (core.Exception, error) {
	name := core.InstanceName(e.Stack, e.Environment)
	switch {
	case strings.Contains(e.Address, "*"):
		return e, core.Errorf(core.Invalid, "an exception names one address, and %q is a pattern; terrace run show has the address", e.Address)
	case len(e.Address) > maxAddress || !strings.Contains(e.Address, ".") || strings.ContainsFunc(e.Address, unicode.IsControl) || strings.TrimSpace(e.Address) != e.Address:
		return e, core.Errorf(core.Invalid, "%q is not the address of a resource, as in democloud_database.main or module.db.democloud_database.main[0]", e.Address)
	case strings.TrimSpace(e.Reason) == "":
		return e, core.Errorf(core.Invalid, "an exception needs a reason, for those who read the audit log later: --reason")
	case lifetime < core.LeastException || lifetime > core.MostException:
		return e, core.Errorf(core.Invalid, "an exception lasts from %s to %s, and %s is neither", core.LeastException, core.MostException, lifetime)
	}
	err := s.Store.Update(ctx, func(tx core.Tx) error {
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
		return tx.AddEvent(core.Event{By: by, Kind: "exception.made", Project: e.Project, On: name,
			Data: map[string]string{"exception": e.ID, "address": e.Address, "reason": e.Reason, "expires": e.Expires.Format(time.RFC3339)}})
	})
	return e, err
}

// Exceptions lists a project's exceptions, newest first, and the time to compare with.
func (s *Service) Exceptions(ctx context.Context, project string) (all []core.Exception, now time.Time, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		now = tx.Now()
		if _, err := tx.Project(project); err != nil {
			return err
		}
		all, err = tx.Exceptions(project)
		return err
	})
	return all, now, err
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
