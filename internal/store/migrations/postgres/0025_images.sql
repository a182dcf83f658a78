-- Images that were built, and the kind of run that builds one.

-- +goose Up

ALTER TABLE runs DROP CONSTRAINT runs_kind_check;
ALTER TABLE runs ADD CONSTRAINT runs_kind_check CHECK (kind IN ('deploy', 'destroy', 'recover', 'verify', 'preview', 'drift', 'sandbox', 'image'));
ALTER TABLE runs DROP CONSTRAINT runs_status_check;
ALTER TABLE runs ADD CONSTRAINT runs_status_check CHECK (status IN ('queued', 'preparing', 'planning', 'checking', 'awaiting_approval', 'applying',
    'provisioning', 'verifying', 'building', 'succeeded', 'failed', 'errored', 'cancelled', 'superseded', 'unknown'));

CREATE TABLE images (
    project        TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    name           TEXT COLLATE "C" NOT NULL,
    digest         TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    run            TEXT COLLATE "C" NOT NULL,
    release_number BIGINT NOT NULL,
    release_commit TEXT COLLATE "C" NOT NULL,
    created        BIGINT NOT NULL,
    PRIMARY KEY (project, name, digest)
);

-- At most one run at a time builds an image.
CREATE UNIQUE INDEX runs_builder ON runs (project, stack, input_digest)
    WHERE kind = 'image' AND status IN ('queued', 'preparing', 'building');

-- Invariant I2 as before, with every status that is not over.
DROP INDEX runs_writer;
CREATE UNIQUE INDEX runs_writer ON runs (project, environment, stack)
    WHERE kind IN ('deploy', 'destroy', 'recover')
      AND status IN ('queued', 'preparing', 'planning', 'checking', 'awaiting_approval', 'applying', 'provisioning', 'verifying', 'building');
