-- Events, webhooks, dead letters, the audit log.

-- What happened. seq grows with the order of commits; the latest row is never
-- removed, so that no number is given twice.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    project_id TEXT,
    resource_type TEXT NOT NULL,
    resource_id TEXT,
    resource_name TEXT,
    state TEXT,
    request_id TEXT
) STRICT;
CREATE INDEX events_project ON events (project_id, seq);

-- Where events are sent to. Without a project: every event. The secret is
-- kept as it is, since each delivery is signed with it. delivered_seq: all
-- events up to here were delivered or given up; failures counts the attempts
-- for the one that is next. kinds: patterns with commas, '' for all.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    kinds TEXT NOT NULL DEFAULT '',
    disabled INTEGER NOT NULL DEFAULT 0,
    delivered_seq INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    next_attempt_at INTEGER,
    generation INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX webhooks_name ON webhooks (coalesce(project_id, ''), name);

-- event is its JSON: the row in events goes after a while. due: to be tried
-- once more.
CREATE TABLE dead_letters (
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT,
    due INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_letters_webhook ON dead_letters (webhook_id, id);

-- Who changed or tried to change what. As with events, seq is never reused.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    project_id TEXT,
    actor_type TEXT NOT NULL,
    actor_id TEXT,
    actor TEXT,
    remote TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER NOT NULL,
    code TEXT,
    resource_type TEXT,
    resource_id TEXT,
    request_id TEXT
) STRICT;
CREATE INDEX audit_project ON audit (project_id, seq);
