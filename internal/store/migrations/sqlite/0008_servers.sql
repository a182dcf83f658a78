-- Several servers may share a database: what one of them does for all is done by the
-- holder of a lease. Times as everywhere: microseconds since 1970 in UTC.

-- +goose Up

CREATE TABLE leases (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL CHECK (holder <> ''),
    url     TEXT NOT NULL,
    fence   INTEGER NOT NULL CHECK (fence > 0),
    taken   INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

-- What every server that uses this database has to agree on.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
