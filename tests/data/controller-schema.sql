CREATE TRIGGER instance_labels_begin AFTER INSERT ON instances
WHEN new.labels IS NOT NULL AND new.deleted_at IS NULL
BEGIN
    INSERT INTO instance_labels (project, key, value, instance_id)
        SELECT new.project_id, l.key, l.value, new.id
        FROM json_each(new.labels) l;
END;
CREATE TRIGGER instance_labels_change
AFTER UPDATE OF labels, deleted_at ON instances
WHEN (old.labels IS NOT NULL OR new.labels IS NOT NULL)
    AND (old.labels IS NOT new.labels
        OR (old.deleted_at IS NULL) != (new.deleted_at IS NULL))
BEGIN
    DELETE FROM instance_labels WHERE project = old.project_id
        AND key IN (SELECT l.key FROM json_each(old.labels) l)
        AND instance_id = old.id;
    INSERT INTO instance_labels (project, key, value, instance_id)
        SELECT new.project_id, l.key, l.value, new.id
        FROM json_each(new.labels) l WHERE new.deleted_at IS NULL;
END;
CREATE TRIGGER instance_seeds_end AFTER UPDATE OF deleted_at ON instances
WHEN new.deleted_at IS NOT NULL AND old.deleted_at IS NULL
BEGIN
    DELETE FROM instance_seeds WHERE instance_id = new.id;
END;
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
CREATE TABLE dead_letters (
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT,
    due INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE TABLE flavors (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    vcpus INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL
, cpu_shares INTEGER NOT NULL DEFAULT 100, cpu_limit_percent INTEGER NOT NULL DEFAULT 0, cpu_reservation_percent INTEGER NOT NULL DEFAULT 0, disk_iops INTEGER NOT NULL DEFAULT 0, disk_bytes_per_second INTEGER NOT NULL DEFAULT 0, net_bytes_per_second INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 1, price_per_hour TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency (
    token_id TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    status INTEGER NOT NULL,
    location TEXT,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (token_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE image_parts (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    format INTEGER NOT NULL,
    size_bytes INTEGER,
    virtual_bytes INTEGER,
    sha256 TEXT,
    PRIMARY KEY (image_id, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE images (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    public INTEGER NOT NULL,
    cmdline TEXT,
    created_at INTEGER NOT NULL, generation INTEGER NOT NULL DEFAULT 1,
    UNIQUE (project_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE instance_labels (
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (project, key, instance_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE instance_seeds (
    instance_id TEXT PRIMARY KEY REFERENCES instances (id),
    user_data TEXT,
    keys TEXT
) STRICT;
CREATE TABLE "instance_sizes" (
    instance_id TEXT NOT NULL REFERENCES instances (id),
    run INTEGER NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    PRIMARY KEY (instance_id, run, vcpus, memory_bytes, disk_bytes)
) STRICT, WITHOUT ROWID;
CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    flavor_id TEXT NOT NULL,
    flavor_name TEXT NOT NULL,
    image_id TEXT NOT NULL,
    image_name TEXT NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    power INTEGER NOT NULL,
    force INTEGER NOT NULL DEFAULT 0,
    run INTEGER NOT NULL,
    ended_run INTEGER NOT NULL DEFAULT 0,
    seq INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state INTEGER NOT NULL,
    stop_reason TEXT,
    fault_code TEXT,
    fault_message TEXT,
    operation_id TEXT NOT NULL,
    request_id TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    deleted_at INTEGER
, restart_policy INTEGER NOT NULL DEFAULT 1, restart_count INTEGER NOT NULL DEFAULT 0, last_end_reason TEXT, cpu_shares INTEGER NOT NULL DEFAULT 100, cpu_limit_percent INTEGER NOT NULL DEFAULT 0, cpu_reservation_percent INTEGER NOT NULL DEFAULT 0, disk_iops INTEGER NOT NULL DEFAULT 0, disk_bytes_per_second INTEGER NOT NULL DEFAULT 0, net_bytes_per_second INTEGER NOT NULL DEFAULT 0, labels TEXT, keypairs TEXT, locked INTEGER NOT NULL DEFAULT 0, delete_protection INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0, disk_epoch INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE join_tokens (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    node_id TEXT,
    key_hash TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE keypairs (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    UNIQUE (project_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_floors (
    log INTEGER NOT NULL,
    project TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (log, project)
) STRICT, WITHOUT ROWID;
CREATE TABLE lost_nodes (
    id TEXT PRIMARY KEY,
    lost_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE memberships (
    project_id TEXT NOT NULL REFERENCES projects (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role INTEGER NOT NULL, generation INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (project_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    schedulable INTEGER NOT NULL DEFAULT 1,
    observed_seq INTEGER NOT NULL DEFAULT 0,
    driver TEXT,
    accel TEXT,
    agent_version TEXT,
    hypervisor TEXT,
    vcpus INTEGER NOT NULL DEFAULT 0,
    memory_bytes INTEGER NOT NULL DEFAULT 0,
    disk_bytes INTEGER NOT NULL DEFAULT 0,
    traits TEXT NOT NULL DEFAULT '',
    quarantined TEXT NOT NULL DEFAULT '',
    last_seen_at INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
, generation INTEGER NOT NULL DEFAULT 1, told_up INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE numbers (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    project_id TEXT,
    kind TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    state INTEGER NOT NULL,
    step TEXT,
    problem_code TEXT,
    problem_message TEXT,
    request_id TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
, reason TEXT, attempt INTEGER NOT NULL DEFAULT 1, generation INTEGER NOT NULL DEFAULT 1, updated_at INTEGER NOT NULL DEFAULT 0, can_cancel INTEGER NOT NULL DEFAULT 0, node_id TEXT, seq INTEGER NOT NULL DEFAULT 0, undo TEXT, undone_by TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
, generation INTEGER NOT NULL DEFAULT 1) STRICT, WITHOUT ROWID;
CREATE TABLE quotas (
    project_id TEXT PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    instances INTEGER NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    volumes INTEGER NOT NULL,
    addresses INTEGER NOT NULL,
    networks INTEGER NOT NULL,
    images INTEGER NOT NULL,
    tokens INTEGER NOT NULL
, image_bytes INTEGER NOT NULL DEFAULT -1) STRICT, WITHOUT ROWID;
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
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    project_id TEXT REFERENCES projects (id),
    name TEXT NOT NULL,
    role INTEGER NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
, scopes TEXT NOT NULL DEFAULT '', generation INTEGER NOT NULL DEFAULT 1, user_id TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE usage_intervals (
    instance_id TEXT NOT NULL REFERENCES instances (id),
    run INTEGER NOT NULL,
    project_id TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER,
    vcpus INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    PRIMARY KEY (instance_id, run)
) STRICT, WITHOUT ROWID;
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
CREATE INDEX audit_project ON audit (project_id, seq);
CREATE INDEX dead_letters_webhook ON dead_letters (webhook_id, id);
CREATE INDEX events_project ON events (project_id, seq);
CREATE INDEX idempotency_age ON idempotency (created_at);
CREATE INDEX images_public ON images (name) WHERE public = 1;
CREATE INDEX instance_labels_all ON instance_labels (key, value, instance_id);
CREATE INDEX instance_labels_value
    ON instance_labels (project, key, value, instance_id);
CREATE INDEX instances_image ON instances (image_id) WHERE deleted_at IS NULL;
CREATE INDEX instances_live ON instances (project_id, id)
    WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX instances_name ON instances (project_id, name)
    WHERE deleted_at IS NULL;
CREATE INDEX instances_node ON instances (node_id, seq)
    WHERE deleted_at IS NULL;
CREATE INDEX instances_state ON instances (state) WHERE deleted_at IS NULL;
CREATE INDEX keypairs_project ON keypairs (project_id, id);
CREATE INDEX memberships_user ON memberships (user_id, project_id);
CREATE INDEX operations_project ON operations (project_id, id);
CREATE INDEX operations_resource ON operations (resource_id, id);
CREATE INDEX operations_running ON operations (id) WHERE state = 0;
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX sessions_project ON sessions (project_id);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE UNIQUE INDEX tokens_name ON tokens (coalesce(project_id, ''), name);
CREATE INDEX tokens_user ON tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX usage_project ON usage_intervals (project_id, instance_id);
CREATE INDEX users_home ON users (home_id);
CREATE UNIQUE INDEX webhooks_name ON webhooks (coalesce(project_id, ''), name);
