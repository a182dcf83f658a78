package core

import "time"

// Lease is the right of one of several servers on one database to do something for
// all of them, until it expires.
type Lease struct {
	Name    string
	Holder  string // a server
	URL     string // where the holder answers
	Fence   int64  // of this holding; grows for ever
	Taken   time.Time
	Expires time.Time
}

// Leases stores servers' leases, and what servers have to agree on.
type Leases interface {
	// TakeLease gives holder the lease, or renews it, for ttl from Now: when it is
	// free, expired, or the holder's own. Conflict when another has it; the lease is
	// returned then too.
	TakeLease(name, holder, url string, ttl time.Duration) (Lease, error)
	Lease(name string) (Lease, error)
	FreeLease(name, holder string) error // no error when it is not the holder's

	Setting(name string) (string, error)
	PutSetting(name, value string) error
}
