-- 0004-identity.sql - users, where they may do what, and their sessions;
-- scopes of tokens.

-- password: as crypto_pwhash_str() of libsodium writes it. home_id: the
-- project whose admins may change and delete the user; NULL: operators only.
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    home_id TEXT REFERENCES projects (id),
    operator INTEGER NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    last_login_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX users_home ON users (home_id);

CREATE TABLE memberships (
    project_id TEXT NOT NULL REFERENCES projects (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role INTEGER NOT NULL,
    PRIMARY KEY (project_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_user ON memberships (user_id, project_id);

-- Only the hash of a session's secret is stored. Its role is that of the
-- user's membership in project_id, whatever that is at the moment; operators
-- and users without any project have no project_id.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    project_id TEXT REFERENCES projects (id),
    hash BLOB NOT NULL UNIQUE,
    cookie INTEGER NOT NULL,
    remote TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_project ON sessions (project_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- "images:read instances:write"; '' is everything that the role may do.
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
