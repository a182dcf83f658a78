-- Resources that people ask to be replaced by the next run, as a taint does.

-- +goose Up

CREATE TABLE replacements (
    id          TEXT COLLATE "C" PRIMARY KEY,
    project     TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT COLLATE "C" NOT NULL,
    stack       TEXT COLLATE "C" NOT NULL,
    address     TEXT COLLATE "C" NOT NULL CHECK (address <> ''),
    reason      TEXT COLLATE "C" NOT NULL,
    actor       TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    run         TEXT COLLATE "C" NOT NULL,
    ended       BIGINT NOT NULL,
    taken_back  TEXT COLLATE "C" NOT NULL,
    CHECK (taken_back = '' OR ended <> 0)
);
CREATE INDEX replacements_project ON replacements (project, created);

-- One that is still to be done is asked for once.
CREATE UNIQUE INDEX replacements_open ON replacements (project, environment, stack, address) WHERE ended = 0;
