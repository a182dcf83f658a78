-- What runs saw of states that the stacks' own backends keep (state = "stack").

-- +goose Up

CREATE TABLE own_states (
    project     TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT COLLATE "C" NOT NULL,
    stack       TEXT COLLATE "C" NOT NULL,
    backend     TEXT COLLATE "C" NOT NULL,
    lineage     TEXT COLLATE "C" NOT NULL,
    serial      BIGINT NOT NULL CHECK (serial >= 0),
    resources   BIGINT NOT NULL,
    digest      TEXT COLLATE "C" NOT NULL,
    run         TEXT COLLATE "C" NOT NULL,
    seen        BIGINT NOT NULL,
    PRIMARY KEY (project, environment, stack)
);
