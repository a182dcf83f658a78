-- Resources that people ask to be replaced by the next run, as a taint does.

-- +goose Up

CREATE TABLE replacements (
    id          TEXT PRIMARY KEY,
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    stack       TEXT NOT NULL,
    address     TEXT NOT NULL CHECK (address <> ''),
    reason      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    created     INTEGER NOT NULL,
    run         TEXT NOT NULL,
    ended       INTEGER NOT NULL,
    taken_back  TEXT NOT NULL,
    CHECK (taken_back = '' OR ended <> 0)
) STRICT;
CREATE INDEX replacements_project ON replacements (project, created);

-- One that is still to be done is asked for once.
CREATE UNIQUE INDEX replacements_open ON replacements (project, environment, stack, address) WHERE ended = 0;
