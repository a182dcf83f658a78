-- What no repository can weaken, and who may do what. Tokens of before could do everything,
-- and go on doing so.

-- +goose Up

CREATE TABLE guardrails (
    version BIGINT PRIMARY KEY CHECK (version > 0),
    digest  TEXT COLLATE "C" NOT NULL CHECK (digest <> ''),
    files   TEXT COLLATE "C" NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL
);

ALTER TABLE tokens ADD COLUMN user_name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN role TEXT COLLATE "C" NOT NULL DEFAULT '' CHECK (role IN ('', 'viewer', 'developer', 'operator', 'admin'));
ALTER TABLE tokens ADD COLUMN project TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN environment TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE tokens SET user_name = name, role = 'admin' WHERE kind = 'admin';

-- The second person of an exception, '' while nobody has confirmed it.
ALTER TABLE exceptions ADD COLUMN confirmed_by TEXT COLLATE "C" NOT NULL DEFAULT '';
