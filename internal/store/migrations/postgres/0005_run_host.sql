-- Where the number of a run's process means something: a machine, and its boot. A number
-- from another machine, or from before a restart, says nothing here.

-- +goose Up

ALTER TABLE runs ADD COLUMN host TEXT COLLATE "C" NOT NULL DEFAULT '';
