-- What is known of the hosts that instances' inventories have. keys is a JSON array.

-- +goose Up

CREATE TABLE instance_hosts (
    project     TEXT COLLATE "C" NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT COLLATE "C" NOT NULL,
    stack       TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    identity    TEXT COLLATE "C" NOT NULL,
    digest      TEXT COLLATE "C" NOT NULL,
    run         TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    keys        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, environment, stack, name)
);

-- How many hosts the newest look found to be other than their playbook left them.
ALTER TABLE drifts ADD COLUMN hosts BIGINT NOT NULL DEFAULT 0 CHECK (hosts >= 0);

-- Whether a rollout has Ansible run on hosts, too, that are as its release wants them.
ALTER TABLE rollouts ADD COLUMN all_hosts BIGINT NOT NULL DEFAULT 0 CHECK (all_hosts IN (0, 1));
