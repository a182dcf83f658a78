package store

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func scanLease(r row) (l core.Lease, err error) {
	return l, r.Scan(&l.Name, &l.Holder, &l.URL, &l.Fence, into(&l.Taken), into(&l.Expires))
}

const leaseColumns = "name, holder, url, fence, taken, expires"

func (t *tx) Lease(name string) (core.Lease, error) {
	return get(t, "lease "+name, scanLease, "SELECT "+leaseColumns+" FROM leases WHERE name = ?", name)
}

func (t *tx) TakeLease(name, holder, url string, ttl time.Duration) (core.Lease, error) {
	l, err := t.Lease(name)
	switch {
	case core.CodeOf(err) == core.NotFound:
		l = core.Lease{Name: name}
	case err != nil:
		return core.Lease{}, err
	case l.Holder != holder && l.Expires.After(t.now):
		return l, core.Errorf(core.Conflict, "%s has the lease %s until %s", l.Holder, name, l.Expires.Format(time.RFC3339))
	}
	if l.Holder != holder {
		if l.Fence, err = t.NextFence(); err != nil {
			return core.Lease{}, err
		}
		l.Holder, l.Taken = holder, t.now
	}
	l.URL, l.Expires = url, t.now.Add(ttl)
	// Where two servers find it free at once, one of them waits here and is refused.
	n, err := t.exec("INSERT INTO leases ("+leaseColumns+") VALUES ("+placeholders(6)+`) ON CONFLICT (name) DO UPDATE SET
		holder = excluded.holder, url = excluded.url, fence = excluded.fence, taken = excluded.taken, expires = excluded.expires
		WHERE leases.holder = excluded.holder OR leases.expires <= ?`, l.Name, l.Holder, l.URL, l.Fence, micros(l.Taken), micros(l.Expires), micros(t.now))
	if err == nil && n == 0 {
		err = core.Errorf(core.Conflict, "another server took the lease %s just now", name)
	}
	return l, err
}

func (t *tx) FreeLease(name, holder string) error {
	_, err := t.exec("DELETE FROM leases WHERE name = ? AND holder = ?", name, holder)
	return err
}

func (t *tx) Setting(name string) (string, error) {
	return get(t, "setting "+name, scanString, "SELECT value FROM settings WHERE name = ?", name)
}

func (t *tx) PutSetting(name, value string) error {
	_, err := t.exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}
