package reconcile

import (
	"context"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/drift"
)

// sights finds the instances that are looked at now and then, by the configuration of the
// release that is there (rule 25).
func (w *worker) sights(ctx context.Context, s *snapshot) error {
	every := map[string]time.Duration{}
	for name := range s.Environments {
		cfg, err := w.there(ctx, s, name)
		if err != nil {
			return err
		}
		if cfg == nil {
			continue
		}
		for _, e := range cfg.Environments {
			if e.Name == name && e.Drift > 0 {
				every[name] = e.Drift
			}
		}
	}
	if len(every) == 0 {
		return nil
	}
	return w.Store.View(ctx, func(tx core.Tx) (err error) {
		s.Sights, err = drift.Sights(tx, w.project, every)
		return err
	})
}
