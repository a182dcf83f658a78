-- Exceptions from the protection of addresses (rule 13): each lets one apply do what it names.

-- +goose Up

CREATE TABLE exceptions (
    id          TEXT PRIMARY KEY,
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    stack       TEXT NOT NULL,
    address     TEXT NOT NULL CHECK (address <> ''),
    reason      TEXT NOT NULL CHECK (reason <> ''),
    actor       TEXT NOT NULL,
    created     INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    ended       INTEGER NOT NULL,
    used_by     TEXT NOT NULL,
    CHECK (used_by = '' OR ended <> 0)
) STRICT;
CREATE INDEX exceptions_project ON exceptions (project, created);
