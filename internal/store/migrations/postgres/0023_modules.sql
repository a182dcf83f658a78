-- The module registry: modules, their versions, and what a release gets of them.

-- +goose Up

CREATE TABLE modules (
    address     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    repo        TEXT COLLATE "C" NOT NULL,
    path        TEXT COLLATE "C" NOT NULL,
    tags        TEXT COLLATE "C" NOT NULL,
    actor       TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    checked     BIGINT NOT NULL,
    check_error TEXT COLLATE "C" NOT NULL
);

CREATE TABLE module_versions (
    module    TEXT COLLATE "C" NOT NULL REFERENCES modules (address) ON DELETE CASCADE,
    version   TEXT COLLATE "C" NOT NULL,
    tag       TEXT COLLATE "C" NOT NULL,
    commit_id TEXT COLLATE "C" NOT NULL,
    seen      BIGINT NOT NULL,
    moved     TEXT COLLATE "C" NOT NULL,
    gone      BIGINT NOT NULL,
    PRIMARY KEY (module, version)
);

-- Most releases of a project get the same; it is kept once, by its digest.
CREATE TABLE module_sets (
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    digest  TEXT COLLATE "C" NOT NULL,
    folders TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, digest)
);

CREATE TABLE release_modules (
    project   TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    commit_id TEXT COLLATE "C" NOT NULL,
    digest    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, commit_id)
);
