-- Approvals (rule 11): what people said to plans, and what a plan that waits was made from.

-- +goose Up

CREATE TABLE votes (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    project        TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment    TEXT NOT NULL,
    stage          TEXT NOT NULL,
    run            TEXT NOT NULL,
    stack          TEXT NOT NULL,
    release_number INTEGER NOT NULL,
    plan_digest    TEXT NOT NULL CHECK (plan_digest <> ''),
    plan_lineage   TEXT NOT NULL,
    plan_serial    INTEGER NOT NULL,
    guardrails     TEXT NOT NULL,
    actor          TEXT NOT NULL CHECK (actor <> ''),
    at             INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    approves       INTEGER NOT NULL CHECK (approves IN (0, 1)),
    void           TEXT NOT NULL
) STRICT;
CREATE INDEX votes_stage ON votes (stage, stack, seq);
CREATE INDEX votes_run ON votes (run, seq);

ALTER TABLE runs ADD COLUMN plan_lineage TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN plan_serial INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN guardrails TEXT NOT NULL DEFAULT '';
-- A plan that was approved before votes were kept has to be approved again.
ALTER TABLE runs DROP COLUMN approved;

ALTER TABLE releases ADD COLUMN committer TEXT NOT NULL DEFAULT '';
