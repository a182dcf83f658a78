-- What no repository can weaken, and who may do what. Tokens of before could do everything,
-- and go on doing so.

-- +goose Up

CREATE TABLE guardrails (
    version INTEGER PRIMARY KEY CHECK (version > 0),
    digest  TEXT NOT NULL CHECK (digest <> ''),
    files   TEXT NOT NULL,
    actor   TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;

ALTER TABLE tokens ADD COLUMN user_name TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN role TEXT NOT NULL DEFAULT '' CHECK (role IN ('', 'viewer', 'developer', 'operator', 'admin'));
ALTER TABLE tokens ADD COLUMN project TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN environment TEXT NOT NULL DEFAULT '';
UPDATE tokens SET user_name = name, role = 'admin' WHERE kind = 'admin';

-- The second person of an exception, '' while nobody has confirmed it.
ALTER TABLE exceptions ADD COLUMN confirmed_by TEXT NOT NULL DEFAULT '';
