-- Exceptions from the protection of addresses (rule 13): each lets one apply do what it names.

-- +goose Up

CREATE TABLE exceptions (
    id          TEXT COLLATE "C" PRIMARY KEY,
    project     TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT COLLATE "C" NOT NULL,
    stack       TEXT COLLATE "C" NOT NULL,
    address     TEXT COLLATE "C" NOT NULL CHECK (address <> ''),
    reason      TEXT COLLATE "C" NOT NULL CHECK (reason <> ''),
    actor       TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    expires     BIGINT NOT NULL,
    ended       BIGINT NOT NULL,
    used_by     TEXT COLLATE "C" NOT NULL,
    CHECK (used_by = '' OR ended <> 0)
);
CREATE INDEX exceptions_project ON exceptions (project, created);
