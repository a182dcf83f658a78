-- What makes a project a sandbox (rule 26), as JSON; '' for those that people add.

-- +goose Up

ALTER TABLE projects ADD COLUMN sandbox TEXT COLLATE "C" NOT NULL DEFAULT '';
