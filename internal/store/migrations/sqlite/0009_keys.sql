-- The keys that seal what is stored, wrapped by a master key, which is not. The newest
-- sealing key (the highest seq) seals; all of them open.

-- +goose Up

CREATE TABLE keys (
    id      TEXT PRIMARY KEY,
    kind    TEXT NOT NULL CHECK (kind IN ('seal', 'digest')),
    seq     INTEGER NOT NULL UNIQUE,
    master  TEXT NOT NULL CHECK (master <> ''),
    wrapped BLOB NOT NULL,
    made    INTEGER NOT NULL
) STRICT;
