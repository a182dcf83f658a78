-- Instances that got another name (rule 27). What is stored of them has the new name; runs
-- and events keep the old one, since they are history.

-- +goose Up

CREATE TABLE moves (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    project        TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment    TEXT NOT NULL,
    from_stack     TEXT NOT NULL,
    to_stack       TEXT NOT NULL,
    release_number INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    CHECK (from_stack <> to_stack)
) STRICT;
CREATE INDEX moves_project ON moves (project, id);

-- The stack that an instance was when it was applied last, '' when it was this one.
ALTER TABLE instances ADD COLUMN moved_from TEXT NOT NULL DEFAULT '';
