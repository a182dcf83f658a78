package wanted

import (
	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/promotion"
)

// Windows are those of an environment in a configuration.
func Windows(cfg *config.Config, environment string) promotion.Windows {
	var out promotion.Windows
	for _, e := range cfg.Environments {
		if e.Name != environment {
			continue
		}
		for _, w := range e.Windows {
			out = append(out, promotion.Window{Days: w.Days, From: w.From, To: w.To, Zone: w.Zone})
		}
	}
	return out
}
