-- A database as the first released schema left it. Never changed.
PRAGMA application_id = 0x54525243;
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
CREATE TABLE projects (
    name          TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
    repo          TEXT NOT NULL,
    branch        TEXT NOT NULL,
    path          TEXT NOT NULL,
    created       INTEGER NOT NULL,
    head          TEXT NOT NULL,
    checked       INTEGER NOT NULL,
    check_error   TEXT NOT NULL,
    stopped       TEXT NOT NULL,
    stopped_head  TEXT NOT NULL,
    acknowledged  INTEGER NOT NULL,
    webhook_token TEXT NOT NULL
) STRICT;
CREATE TABLE releases (
    project   TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    number    INTEGER NOT NULL CHECK (number > 0),
    commit_id TEXT NOT NULL CHECK (commit_id <> ''),
    author    TEXT NOT NULL,
    message   TEXT NOT NULL,
    committed INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    barrier   INTEGER NOT NULL CHECK (barrier IN (0, 1)),
    invalid   TEXT NOT NULL,
    PRIMARY KEY (project, commit_id),
    UNIQUE (project, number)
) STRICT;
CREATE TABLE rollouts (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    project        TEXT NOT NULL,
    release_number INTEGER NOT NULL,
    release_commit TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'errored', 'cancelled', 'superseded', 'unknown')),
    actor          TEXT NOT NULL,
    manual         INTEGER NOT NULL CHECK (manual IN (0, 1)),
    cancel         INTEGER NOT NULL CHECK (cancel IN (0, 1)),
    created        INTEGER NOT NULL,
    finished       INTEGER NOT NULL,
    FOREIGN KEY (project, release_commit) REFERENCES releases (project, commit_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX rollouts_project ON rollouts (project, seq);
CREATE INDEX rollouts_release ON rollouts (project, release_commit);
CREATE INDEX rollouts_open ON rollouts (project, seq) WHERE status IN ('running', 'unknown');
CREATE TABLE stages (
    id          TEXT PRIMARY KEY,
    rollout     TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    position    INTEGER NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('waiting', 'running', 'baking', 'succeeded', 'failed', 'errored', 'cancelled', 'superseded', 'unknown')),
    waits_for   TEXT NOT NULL,
    fence       INTEGER NOT NULL,
    started     INTEGER NOT NULL,
    finished    INTEGER NOT NULL,
    baked       INTEGER NOT NULL,
    UNIQUE (rollout, position),
    UNIQUE (rollout, environment)
) STRICT;
CREATE UNIQUE INDEX stages_lease ON stages (project, environment) WHERE status IN ('running', 'baking', 'unknown');
CREATE TABLE environments (
    project      TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    fence        INTEGER NOT NULL,
    stage        TEXT NOT NULL,
    hold_kind    TEXT CHECK (hold_kind IN ('failure', 'person', 'rollback')),
    hold_reason  TEXT NOT NULL,
    hold_actor   TEXT NOT NULL,
    hold_since   INTEGER NOT NULL,
    hold_release INTEGER NOT NULL,
    entered      INTEGER NOT NULL,
    verified     INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT;
CREATE TABLE runs (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    project          TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    stage            TEXT NOT NULL,
    rollout          TEXT NOT NULL,
    stack            TEXT NOT NULL,
    environment      TEXT NOT NULL,
    kind             TEXT NOT NULL CHECK (kind IN ('deploy', 'destroy', 'recover', 'verify', 'preview', 'drift', 'sandbox')),
    status           TEXT NOT NULL CHECK (status IN ('queued', 'preparing', 'planning', 'checking', 'awaiting_approval', 'applying',
                         'provisioning', 'verifying', 'succeeded', 'failed', 'errored', 'cancelled', 'superseded', 'unknown')),
    release_number   INTEGER NOT NULL,
    release_commit   TEXT NOT NULL,
    attempt          INTEGER NOT NULL,
    fence            INTEGER NOT NULL,
    input_digest     TEXT NOT NULL,
    components       TEXT NOT NULL,
    provision_digest TEXT NOT NULL,
    to_create        INTEGER NOT NULL,
    to_update        INTEGER NOT NULL,
    to_replace       INTEGER NOT NULL,
    to_delete        INTEGER NOT NULL,
    has_plan         INTEGER NOT NULL CHECK (has_plan IN (0, 1)),
    no_changes       INTEGER NOT NULL CHECK (no_changes IN (0, 1)),
    applied          INTEGER NOT NULL CHECK (applied IN (0, 1)),
    plan_digest      TEXT NOT NULL,
    approved         TEXT NOT NULL,
    error_code       TEXT,
    error_message    TEXT NOT NULL,
    cancel           INTEGER NOT NULL CHECK (cancel IN (0, 1)),
    cancel_actor     TEXT NOT NULL,
    created          INTEGER NOT NULL,
    started          INTEGER NOT NULL,
    finished         INTEGER NOT NULL,
    heartbeat        INTEGER NOT NULL,
    phase_at         INTEGER NOT NULL,
    pid              INTEGER NOT NULL,
    pid_start        TEXT NOT NULL,
    not_before       INTEGER NOT NULL,
    log_seq          INTEGER NOT NULL DEFAULT 0,
    log_bytes        INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX runs_project ON runs (project, seq);
CREATE INDEX runs_instance ON runs (project, environment, stack, seq);
CREATE INDEX runs_rollout ON runs (rollout, seq);
CREATE INDEX runs_stage ON runs (stage, seq);
CREATE INDEX runs_status ON runs (status, seq);
CREATE INDEX runs_logs ON runs (finished, seq, status, log_bytes) WHERE log_bytes > 0;
CREATE UNIQUE INDEX runs_writer ON runs (project, environment, stack)
    WHERE kind IN ('deploy', 'destroy', 'recover')
      AND status IN ('queued', 'preparing', 'planning', 'checking', 'awaiting_approval', 'applying', 'provisioning', 'verifying');
CREATE TABLE run_docs (
    run    TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    kind   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (run, kind)
) STRICT;
CREATE TABLE log_chunks (
    run      TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq      INTEGER NOT NULL CHECK (seq > 0),
    start_at INTEGER NOT NULL,
    phase    TEXT NOT NULL,
    body     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT;
CREATE TABLE instances (
    project        TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment    TEXT NOT NULL,
    stack          TEXT NOT NULL,
    digest         TEXT NOT NULL,
    components     TEXT NOT NULL,
    provision      TEXT NOT NULL,
    release_number INTEGER NOT NULL,
    release_commit TEXT NOT NULL,
    since          INTEGER NOT NULL,
    run            TEXT NOT NULL,
    run_status     TEXT NOT NULL,
    unknown_run    TEXT NOT NULL,
    applied        INTEGER NOT NULL,
    applied_commit TEXT NOT NULL,
    PRIMARY KEY (project, environment, stack)
) STRICT;
CREATE TABLE state_versions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    stack       TEXT NOT NULL,
    serial      INTEGER NOT NULL CHECK (serial >= 0),
    lineage     TEXT NOT NULL,
    md5         TEXT NOT NULL,
    size        INTEGER NOT NULL,
    resources   INTEGER NOT NULL,
    blob        TEXT NOT NULL,
    run         TEXT NOT NULL,
    actor       TEXT NOT NULL,
    fence       INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    current     INTEGER NOT NULL CHECK (current IN (0, 1)),
    CHECK ((blob = '') = (lineage = ''))
) STRICT;
CREATE INDEX state_versions_instance ON state_versions (project, environment, stack, id);
CREATE UNIQUE INDEX state_versions_current ON state_versions (project, environment, stack) WHERE current;
CREATE UNIQUE INDEX state_versions_serial ON state_versions (project, environment, stack, lineage, serial) WHERE lineage <> '';
CREATE TABLE state_locks (
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    stack       TEXT NOT NULL,
    id          TEXT NOT NULL CHECK (id <> ''),
    info        TEXT NOT NULL,
    fence       INTEGER NOT NULL CHECK (fence > 0),
    actor       TEXT NOT NULL,
    run         TEXT NOT NULL,
    created     INTEGER NOT NULL,
    PRIMARY KEY (project, environment, stack)
) STRICT;
CREATE TABLE recovered (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    stack       TEXT NOT NULL,
    serial      INTEGER NOT NULL,
    lineage     TEXT NOT NULL,
    md5         TEXT NOT NULL,
    size        INTEGER NOT NULL,
    blob        TEXT NOT NULL,
    run         TEXT NOT NULL,
    actor       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    created     INTEGER NOT NULL,
    used        INTEGER NOT NULL CHECK (used IN (0, 1))
) STRICT;
CREATE INDEX recovered_instance ON recovered (project, environment, stack, id);
CREATE TABLE tokens (
    id      TEXT PRIMARY KEY,
    hash    TEXT NOT NULL UNIQUE,
    kind    TEXT NOT NULL CHECK (kind IN ('admin', 'run')),
    name    TEXT NOT NULL,
    run     TEXT REFERENCES runs (id) ON DELETE CASCADE,
    fence   INTEGER NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),
    CHECK ((kind = 'run') = (run IS NOT NULL))
) STRICT;
CREATE INDEX tokens_run ON tokens (run);
CREATE TABLE secrets (
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    sealed      BLOB NOT NULL,
    PRIMARY KEY (project, environment, name)
) STRICT;
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    project TEXT NOT NULL,
    subject TEXT NOT NULL,
    data    TEXT NOT NULL,
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL
) STRICT;
CREATE INDEX events_project ON events (project, seq);
CREATE TABLE event_head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq  INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
DELETE FROM counters;
INSERT INTO counters ("name", "value") VALUES ('fence', 1);
INSERT INTO projects ("acknowledged", "branch", "check_error", "checked", "created", "head", "name", "path", "repo", "stopped", "stopped_head", "webhook_token") VALUES (0, 'main', '', 0, 1763877600000000, '', 'shop', '.', '/r', '', '', '');
INSERT INTO releases ("author", "barrier", "commit_id", "committed", "created", "invalid", "message", "number", "project") VALUES ('Ana', 0, 'abc', 0, 0, '', 'first line two ✓', 1, 'shop');
INSERT INTO rollouts ("actor", "cancel", "created", "finished", "id", "manual", "project", "release_commit", "release_number", "seq", "status") VALUES ('', 0, 1795416760622114, 0, 'ro-1', 0, 'shop', 'abc', 1, 1, 'running');
INSERT INTO stages ("baked", "environment", "fence", "finished", "id", "position", "project", "rollout", "started", "status", "waits_for") VALUES (0, 'dev', 1, 0, 'st-1', 0, 'shop', 'ro-1', 0, 'running', '');
INSERT INTO environments ("entered", "fence", "hold_actor", "hold_kind", "hold_reason", "hold_release", "hold_since", "name", "project", "stage", "verified") VALUES (0, 1, '', 'person', 'wait', 0, 1795416760622114, 'dev', 'shop', '', 0);
INSERT INTO runs ("applied", "approved", "attempt", "cancel", "cancel_actor", "components", "created", "environment", "error_code", "error_message", "fence", "finished", "has_plan", "heartbeat", "id", "input_digest", "kind", "log_bytes", "log_seq", "no_changes", "not_before", "phase_at", "pid", "pid_start", "plan_digest", "project", "provision_digest", "release_commit", "release_number", "rollout", "seq", "stack", "stage", "started", "status", "to_create", "to_delete", "to_replace", "to_update") VALUES (0, '', 0, 0, '', '{}', 1795416760622114, 'dev', NULL, '', 2, 0, 0, 0, 'r-1', '', 'deploy', 9, 3, 0, 0, 0, 0, '', '', 'shop', '', 'abc', 1, '', 1, 'web', '', 0, 'applying', 0, 0, 0, 0);
INSERT INTO run_docs ("kind", "run", "sealed") VALUES ('plan', 'r-1', x'0001ff');
INSERT INTO log_chunks ("at", "body", "phase", "run", "seq", "start_at") VALUES (1795416760622114, 'é', 'plan', 'r-1', 1, 0);
INSERT INTO log_chunks ("at", "body", "phase", "run", "seq", "start_at") VALUES (1795416760622114, 'xé', 'plan', 'r-1', 2, 1);
INSERT INTO log_chunks ("at", "body", "phase", "run", "seq", "start_at") VALUES (1795416760622114, 'xxé', 'plan', 'r-1', 3, 2);
INSERT INTO instances ("applied", "applied_commit", "components", "digest", "environment", "project", "provision", "release_commit", "release_number", "run", "run_status", "since", "stack", "unknown_run") VALUES (0, '', '{"a":"b"}', '', 'dev', 'shop', '', '', 0, '', '', 0, 'web', '');
INSERT INTO state_versions ("actor", "blob", "created", "current", "environment", "fence", "id", "lineage", "md5", "project", "resources", "run", "serial", "size", "stack") VALUES ('', 'states/0', 0, 0, 'dev', 0, 1, 'x', 'm', 'shop', 0, '', 0, 0, 'web');
INSERT INTO state_versions ("actor", "blob", "created", "current", "environment", "fence", "id", "lineage", "md5", "project", "resources", "run", "serial", "size", "stack") VALUES ('', 'states/1', 0, 0, 'dev', 0, 2, 'x', 'm', 'shop', 0, '', 1, 0, 'web');
INSERT INTO state_versions ("actor", "blob", "created", "current", "environment", "fence", "id", "lineage", "md5", "project", "resources", "run", "serial", "size", "stack") VALUES ('', 'states/2', 0, 0, 'dev', 0, 3, 'x', 'm', 'shop', 0, '', 2, 0, 'web');
INSERT INTO state_versions ("actor", "blob", "created", "current", "environment", "fence", "id", "lineage", "md5", "project", "resources", "run", "serial", "size", "stack") VALUES ('', 'states/3', 0, 0, 'dev', 0, 4, 'x', 'm', 'shop', 0, '', 3, 0, 'web');
INSERT INTO state_versions ("actor", "blob", "created", "current", "environment", "fence", "id", "lineage", "md5", "project", "resources", "run", "serial", "size", "stack") VALUES ('', 'states/4', 0, 1, 'dev', 0, 5, 'x', 'm', 'shop', 0, '', 4, 0, 'web');
INSERT INTO state_locks ("actor", "created", "environment", "fence", "id", "info", "project", "run", "stack") VALUES ('', 1795416760622114, 'dev', 3, 'l', '', 'shop', '', 'web');
INSERT INTO recovered ("actor", "blob", "created", "environment", "id", "lineage", "md5", "project", "reason", "run", "serial", "size", "stack", "used") VALUES ('', 'states/r', 0, 'dev', 1, 'x', 'm', 'shop', '', '', 9, 0, 'web', 0);
INSERT INTO tokens ("created", "expires", "fence", "hash", "id", "kind", "name", "revoked", "run") VALUES (1795416760622114, 0, 0, 'h1', 'tok-1', 'admin', 'ana', 0, NULL);
INSERT INTO tokens ("created", "expires", "fence", "hash", "id", "kind", "name", "revoked", "run") VALUES (1795416760622114, 0, 0, 'h2', 'tok-2', 'run', '', 0, 'r-1');
INSERT INTO secrets ("environment", "name", "project", "sealed") VALUES ('dev', 'TOKEN', 'shop', x'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO events ("actor", "at", "data", "hash", "kind", "prev", "project", "seq", "subject") VALUES ('user:ana', 1795416760622114, '{"n":"0"}', '749b1d421ca6f35751d62c742857741752fee124378c8f4ffa41515efd5df5c8', 'test', '', 'shop', 1, '');
INSERT INTO events ("actor", "at", "data", "hash", "kind", "prev", "project", "seq", "subject") VALUES ('user:ana', 1795416760622114, '{"n":"1"}', 'a36dbc53a3c511f1747bc028729b233847011b4b6c8641400551b4c410f19b85', 'test', '749b1d421ca6f35751d62c742857741752fee124378c8f4ffa41515efd5df5c8', 'shop', 2, '');
INSERT INTO events ("actor", "at", "data", "hash", "kind", "prev", "project", "seq", "subject") VALUES ('user:ana', 1795416760622114, '{"n":"2"}', 'db56507f9f054d0d8fba6af87e45607294f882050aebf0a2a4bbae03f17c7b0d', 'test', 'a36dbc53a3c511f1747bc028729b233847011b4b6c8641400551b4c410f19b85', 'shop', 3, '');
INSERT INTO events ("actor", "at", "data", "hash", "kind", "prev", "project", "seq", "subject") VALUES ('user:ana', 1795416760622114, '{"n":"3"}', 'f9908beb25d32f5cdfd8158a03ac3c0b26f35cd04929a7cc2c0313f08c2bb3c4', 'test', 'db56507f9f054d0d8fba6af87e45607294f882050aebf0a2a4bbae03f17c7b0d', 'shop', 4, '');
INSERT INTO events ("actor", "at", "data", "hash", "kind", "prev", "project", "seq", "subject") VALUES ('user:ana', 1795416760622114, '{"n":"4"}', '3e774dfd5ae39e4f82de48d98a6de949cac5662ac6621c218baf1dbd9a1bcd1a', 'test', 'f9908beb25d32f5cdfd8158a03ac3c0b26f35cd04929a7cc2c0313f08c2bb3c4', 'shop', 5, '');
DELETE FROM event_head;
INSERT INTO event_head ("hash", "only", "seq") VALUES ('3e774dfd5ae39e4f82de48d98a6de949cac5662ac6621c218baf1dbd9a1bcd1a', 1, 5);
CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')));
INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1);
