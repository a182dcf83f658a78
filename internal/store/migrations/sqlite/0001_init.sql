-- The schema of a Terrace database on SQLite.
--
-- Times are microseconds since 1970 in UTC, 0 for "never"; durations are
-- nanoseconds; booleans are 0 and 1; maps are JSON objects. What a status may be,
-- and what may exist only once, is said here a second time, so that a defect in the
-- program is refused instead of stored.

-- +goose Up

PRAGMA application_id = 0x54525243;

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('fence', 0);

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

-- One release per commit (rule 3), one commit per number (rule 2).
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
-- Rule 4: at most one stage holds an environment's lease.
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
-- Invariant I2: at most one run at a time may change an instance.
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

-- Append-only, except for retention. A row without a blob says that the state was
-- deleted; the next write after it may begin a new lineage.
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

-- The audit log outlives projects. The head is kept apart, so that cutting off the
-- newest events shows as well.
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
INSERT INTO event_head (only, seq, hash) VALUES (1, 0, '');
