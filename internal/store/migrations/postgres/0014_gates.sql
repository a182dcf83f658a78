-- What stages wait for, as data; gates that people skipped (rule 23); freezes (rule 24).

-- +goose Up

ALTER TABLE stages ADD COLUMN waits TEXT COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE stages ADD COLUMN skips TEXT COLLATE "C" NOT NULL DEFAULT '[]';

-- The release that entered without having been verified in the environments of ahead_of.
ALTER TABLE environments ADD COLUMN ahead BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN ahead_of TEXT COLLATE "C" NOT NULL DEFAULT '[]';

-- A freeze of no environment is one of all. One that ends at 0 goes on until it is lifted.
CREATE TABLE freezes (
    id          TEXT COLLATE "C" PRIMARY KEY,
    project     TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT COLLATE "C" NOT NULL,
    begins      BIGINT NOT NULL,
    ends        BIGINT NOT NULL CHECK (ends = 0 OR ends > begins),
    reason      TEXT COLLATE "C" NOT NULL CHECK (reason <> ''),
    actor       TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    lifted      BIGINT NOT NULL,
    lifted_by   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX freezes_project ON freezes (project, created);
