package wire

// Verifications are the runs that ask whether what is there works, because a person wants to know.
type Verifications struct {
	Runs    []Run         `json:"runs"`
	Skipped []NotVerified `json:"skipped,omitempty"`
}

// NotVerified is an instance that cannot be asked about now.
type NotVerified struct {
	Instance string `json:"instance"`
	Why      string `json:"why"`
}
