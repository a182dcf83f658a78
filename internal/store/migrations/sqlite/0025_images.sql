-- Images that were built, and the kind of run that builds one.

-- +goose Up

-- SQLite cannot change a CHECK, and what it allows is not in the rows: the schema's text is
-- changed, as https://sqlite.org/lang_altertable.html (7) describes it. Its other way, a new
-- table in place of the old one, would lose rows: dropping runs drops what belongs to each run,
-- and foreign keys cannot be switched off inside of a transaction, which this has to be.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    '''drift'', ''sandbox'')', '''drift'', ''sandbox'', ''image'')'),
    '''verifying'', ''succeeded'',', '''verifying'', ''building'', ''succeeded'',')
WHERE type = 'table' AND name = 'runs';
PRAGMA writable_schema = RESET;

CREATE TABLE images (
    project        TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    name           TEXT NOT NULL,
    digest         TEXT NOT NULL,
    id             TEXT NOT NULL CHECK (id <> ''),
    run            TEXT NOT NULL,
    release_number INTEGER NOT NULL,
    release_commit TEXT NOT NULL,
    created        INTEGER NOT NULL,
    PRIMARY KEY (project, name, digest)
) STRICT;

-- At most one run at a time builds an image.
CREATE UNIQUE INDEX runs_builder ON runs (project, stack, input_digest)
    WHERE kind = 'image' AND status IN ('queued', 'preparing', 'building');

-- Invariant I2 as before, with every status that is not over.
DROP INDEX runs_writer;
CREATE UNIQUE INDEX runs_writer ON runs (project, environment, stack)
    WHERE kind IN ('deploy', 'destroy', 'recover')
      AND status IN ('queued', 'preparing', 'planning', 'checking', 'awaiting_approval', 'applying', 'provisioning', 'verifying', 'building');
