-- The user behind a token: of the session that made it, or of the token that
-- did. NULL: nobody, as before; such a token ends by its expiry or its delete.
ALTER TABLE tokens ADD COLUMN user_id TEXT;
CREATE INDEX tokens_user ON tokens (user_id) WHERE user_id IS NOT NULL;

-- What the files of a project's images may add up to; -1 is unlimited, as for
-- all projects of before.
ALTER TABLE quotas ADD COLUMN image_bytes INTEGER NOT NULL DEFAULT -1;

-- What was told of a node last: 1 after node.up, 0 after node.down and before
-- either.
ALTER TABLE nodes ADD COLUMN told_up INTEGER NOT NULL DEFAULT 0;
UPDATE nodes SET told_up = 1 WHERE vcpus > 0;

-- Nodes that an operator gave up with instances on them: their certificates
-- are void, and their agents are told so.
CREATE TABLE lost_nodes (
    id TEXT PRIMARY KEY,
    lost_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Up to which number rows of a project (or of none: '') were taken out of a
-- log to make room, while later ones of others may still be there.
-- log: 0 events, 1 audit.
CREATE TABLE log_floors (
    log INTEGER NOT NULL,
    project TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (log, project)
) STRICT, WITHOUT ROWID;

ALTER TABLE memberships ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
