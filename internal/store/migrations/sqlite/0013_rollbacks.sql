-- Rollbacks (rule 21): which release was verified where and when, what a rollback goes back
-- from, and what it keeps.

-- +goose Up

ALTER TABLE rollouts ADD COLUMN kind TEXT NOT NULL DEFAULT 'promotion';
ALTER TABLE rollouts ADD COLUMN from_release INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollouts ADD COLUMN reason TEXT NOT NULL DEFAULT '';

ALTER TABLE stages ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0 CHECK (withdrawn IN (0, 1));

ALTER TABLE environments ADD COLUMN present INTEGER NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN undone INTEGER NOT NULL DEFAULT 0;
UPDATE environments SET present = entered;

ALTER TABLE instances ADD COLUMN kept TEXT NOT NULL DEFAULT '{}';

ALTER TABLE runs ADD COLUMN refuted INTEGER NOT NULL DEFAULT 0 CHECK (refuted IN (0, 1));

CREATE TABLE verifications (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    project        TEXT NOT NULL,
    environment    TEXT NOT NULL,
    release_number INTEGER NOT NULL,
    release_commit TEXT NOT NULL,
    rollout        TEXT NOT NULL,
    at             INTEGER NOT NULL,
    FOREIGN KEY (project, release_commit) REFERENCES releases (project, commit_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX verifications_environment ON verifications (project, environment, seq);

INSERT INTO verifications (project, environment, release_number, release_commit, rollout, at)
SELECT s.project, s.environment, r.release_number, r.release_commit, r.id, s.finished
FROM stages s JOIN rollouts r ON r.id = s.rollout
WHERE s.status = 'succeeded' ORDER BY s.finished, r.seq, s.position;
