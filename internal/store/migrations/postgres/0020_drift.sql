-- The newest look at each instance: how what is there differs from its state (rule 25).

-- +goose Up

CREATE TABLE drifts (
    project     TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT COLLATE "C" NOT NULL,
    stack       TEXT COLLATE "C" NOT NULL,
    run         TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    changed     BIGINT NOT NULL CHECK (changed >= 0),
    gone        BIGINT NOT NULL CHECK (gone >= 0),
    outputs     BIGINT NOT NULL CHECK (outputs >= 0),
    looked      BIGINT NOT NULL,
    error       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, environment, stack)
);

-- What a repair is about: a rollout of the release that is there, because something drifted.
ALTER TABLE rollouts ADD COLUMN repairs TEXT COLLATE "C" NOT NULL DEFAULT '[]';
