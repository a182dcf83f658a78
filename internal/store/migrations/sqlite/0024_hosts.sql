-- What is known of the hosts that instances' inventories have. keys is a JSON array.

-- +goose Up

CREATE TABLE instance_hosts (
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    stack       TEXT NOT NULL,
    name        TEXT NOT NULL,
    identity    TEXT NOT NULL,
    digest      TEXT NOT NULL,
    run         TEXT NOT NULL,
    at          INTEGER NOT NULL,
    keys        TEXT NOT NULL,
    PRIMARY KEY (project, environment, stack, name)
) STRICT;

-- How many hosts the newest look found to be other than their playbook left them.
ALTER TABLE drifts ADD COLUMN hosts INTEGER NOT NULL DEFAULT 0 CHECK (hosts >= 0);

-- Whether a rollout has Ansible run on hosts, too, that are as its release wants them.
ALTER TABLE rollouts ADD COLUMN all_hosts INTEGER NOT NULL DEFAULT 0 CHECK (all_hosts IN (0, 1));
