-- What runs saw of states that the stacks' own backends keep (state = "stack").

-- +goose Up

CREATE TABLE own_states (
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    stack       TEXT NOT NULL,
    backend     TEXT NOT NULL,
    lineage     TEXT NOT NULL,
    serial      INTEGER NOT NULL CHECK (serial >= 0),
    resources   INTEGER NOT NULL,
    digest      TEXT NOT NULL,
    run         TEXT NOT NULL,
    seen        INTEGER NOT NULL,
    PRIMARY KEY (project, environment, stack)
) STRICT;
