-- The module registry: modules, their versions, and what a release gets of them.

-- +goose Up

CREATE TABLE modules (
    address     TEXT NOT NULL PRIMARY KEY,
    repo        TEXT NOT NULL,
    path        TEXT NOT NULL,
    tags        TEXT NOT NULL,
    actor       TEXT NOT NULL,
    created     INTEGER NOT NULL,
    checked     INTEGER NOT NULL,
    check_error TEXT NOT NULL
) STRICT;

CREATE TABLE module_versions (
    module    TEXT NOT NULL REFERENCES modules (address) ON DELETE CASCADE,
    version   TEXT NOT NULL,
    tag       TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    seen      INTEGER NOT NULL,
    moved     TEXT NOT NULL,
    gone      INTEGER NOT NULL,
    PRIMARY KEY (module, version)
) STRICT;

-- Most releases of a project get the same; it is kept once, by its digest.
CREATE TABLE module_sets (
    project TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    digest  TEXT NOT NULL,
    folders TEXT NOT NULL,
    PRIMARY KEY (project, digest)
) STRICT;

CREATE TABLE release_modules (
    project   TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    commit_id TEXT NOT NULL,
    digest    TEXT NOT NULL,
    PRIMARY KEY (project, commit_id)
) STRICT;
