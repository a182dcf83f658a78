-- The keys that seal what is stored, wrapped by a master key, which is not. The newest
-- sealing key (the highest seq) seals; all of them open.

-- +goose Up

CREATE TABLE keys (
    id      TEXT COLLATE "C" PRIMARY KEY,
    kind    TEXT COLLATE "C" NOT NULL CHECK (kind IN ('seal', 'digest')),
    seq     BIGINT NOT NULL UNIQUE,
    master  TEXT COLLATE "C" NOT NULL CHECK (master <> ''),
    wrapped BYTEA NOT NULL,
    made    BIGINT NOT NULL
);
