-- The newest look at each instance: how what is there differs from its state (rule 25).

-- +goose Up

CREATE TABLE drifts (
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    stack       TEXT NOT NULL,
    run         TEXT NOT NULL,
    state       TEXT NOT NULL,
    changed     INTEGER NOT NULL CHECK (changed >= 0),
    gone        INTEGER NOT NULL CHECK (gone >= 0),
    outputs     INTEGER NOT NULL CHECK (outputs >= 0),
    looked      INTEGER NOT NULL,
    error       TEXT NOT NULL,
    PRIMARY KEY (project, environment, stack)
) STRICT;

-- What a repair is about: a rollout of the release that is there, because something drifted.
ALTER TABLE rollouts ADD COLUMN repairs TEXT NOT NULL DEFAULT '[]';
