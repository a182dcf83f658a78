-- Several servers may share a database: what one of them does for all is done by the
-- holder of a lease. Times as everywhere: microseconds since 1970 in UTC.

-- +goose Up

CREATE TABLE leases (
    name    TEXT COLLATE "C" PRIMARY KEY,
    holder  TEXT COLLATE "C" NOT NULL CHECK (holder <> ''),
    url     TEXT COLLATE "C" NOT NULL,
    fence   BIGINT NOT NULL CHECK (fence > 0),
    taken   BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

-- What every server that uses this database has to agree on.
CREATE TABLE settings (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);
