package wire

// GoBack asks for a rollback.
type GoBack struct {
	To     string `json:"to,omitempty" maxLength:"64" doc:"a commit or a release number; default: the release verified there before the one that is there"`
	Reason string `json:"reason,omitempty" maxLength:"1000"`
	DryRun bool   `json:"dry_run,omitempty" doc:"only plan: nothing is rolled back"`
}

// Rollback is what a rollback is, or would be.
type Rollback struct {
	Environment string  `json:"environment"`
	From        int64   `json:"from" doc:"the number of the release that is there"`
	To          Release `json:"to"`
	// Rollout is nil for a dry run.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Previews are the runs of a dry run, which only plan. An instance whose inputs are the
	// same in both releases has none.
	Previews []Run `json:"previews"`
	// Removed are stacks that the older release does not have. Their destruction waits for
	// an approval, and a no keeps them.
	Removed []string `json:"removed"`
}
