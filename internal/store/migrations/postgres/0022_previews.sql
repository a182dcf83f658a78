-- Pull requests, previews of them, and what is said of them on a forge. facts are JSON.

-- +goose Up

ALTER TABLE projects ADD COLUMN forge TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN preview TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX runs_preview ON runs (preview) WHERE preview <> '';

CREATE TABLE pulls (
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    number  BIGINT NOT NULL,
    open    BIGINT NOT NULL CHECK (open IN (0, 1)),
    facts   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, number)
);

CREATE TABLE previews (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    pull    BIGINT NOT NULL,
    status  TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    tree    TEXT COLLATE "C" NOT NULL,
    facts   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX previews_project ON previews (project, created);
CREATE INDEX previews_tree ON previews (project, tree);

CREATE TABLE posts (
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    key     TEXT COLLATE "C" NOT NULL,
    facts   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, key)
);
