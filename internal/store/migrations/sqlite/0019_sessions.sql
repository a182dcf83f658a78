-- The token of whoever asked for a browser's link: the browser's ends with it.

-- +goose Up

ALTER TABLE tokens ADD COLUMN parent TEXT NOT NULL DEFAULT '';
