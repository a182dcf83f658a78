-- Pull requests, previews of them, and what is said of them on a forge. facts are JSON.

-- +goose Up

ALTER TABLE projects ADD COLUMN forge TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN preview TEXT NOT NULL DEFAULT '';
CREATE INDEX runs_preview ON runs (preview) WHERE preview <> '';

CREATE TABLE pulls (
    project TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    open    INTEGER NOT NULL CHECK (open IN (0, 1)),
    facts   TEXT NOT NULL,
    PRIMARY KEY (project, number)
) STRICT;

CREATE TABLE previews (
    id      TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    pull    INTEGER NOT NULL,
    status  TEXT NOT NULL,
    created INTEGER NOT NULL,
    tree    TEXT NOT NULL,
    facts   TEXT NOT NULL
) STRICT;
CREATE INDEX previews_project ON previews (project, created);
CREATE INDEX previews_tree ON previews (project, tree);

CREATE TABLE posts (
    project TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    facts   TEXT NOT NULL,
    PRIMARY KEY (project, key)
) STRICT;
