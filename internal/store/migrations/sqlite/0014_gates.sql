-- What stages wait for, as data; gates that people skipped (rule 23); freezes (rule 24).

-- +goose Up

ALTER TABLE stages ADD COLUMN waits TEXT NOT NULL DEFAULT '[]';
ALTER TABLE stages ADD COLUMN skips TEXT NOT NULL DEFAULT '[]';

-- The release that entered without having been verified in the environments of ahead_of.
ALTER TABLE environments ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN ahead_of TEXT NOT NULL DEFAULT '[]';

-- A freeze of no environment is one of all. One that ends at 0 goes on until it is lifted.
CREATE TABLE freezes (
    id          TEXT PRIMARY KEY,
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    begins      INTEGER NOT NULL,
    ends        INTEGER NOT NULL CHECK (ends = 0 OR ends > begins),
    reason      TEXT NOT NULL CHECK (reason <> ''),
    actor       TEXT NOT NULL,
    created     INTEGER NOT NULL,
    lifted      INTEGER NOT NULL,
    lifted_by   TEXT NOT NULL
) STRICT;
CREATE INDEX freezes_project ON freezes (project, created);
