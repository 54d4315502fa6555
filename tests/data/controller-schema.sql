CREATE TABLE flavors (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    vcpus INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL
, cpu_shares INTEGER NOT NULL DEFAULT 100, cpu_limit_percent INTEGER NOT NULL DEFAULT 0, cpu_reservation_percent INTEGER NOT NULL DEFAULT 0, disk_iops INTEGER NOT NULL DEFAULT 0, disk_bytes_per_second INTEGER NOT NULL DEFAULT 0, net_bytes_per_second INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
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
    created_at INTEGER NOT NULL,
    UNIQUE (project_id, name)
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
, restart_policy INTEGER NOT NULL DEFAULT 1, restart_count INTEGER NOT NULL DEFAULT 0, last_end_reason TEXT, cpu_shares INTEGER NOT NULL DEFAULT 100, cpu_limit_percent INTEGER NOT NULL DEFAULT 0, cpu_reservation_percent INTEGER NOT NULL DEFAULT 0, disk_iops INTEGER NOT NULL DEFAULT 0, disk_bytes_per_second INTEGER NOT NULL DEFAULT 0, net_bytes_per_second INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE join_tokens (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    node_id TEXT,
    key_hash TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE memberships (
    project_id TEXT NOT NULL REFERENCES projects (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role INTEGER NOT NULL,
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
) STRICT, WITHOUT ROWID;
CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
, scopes TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
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
CREATE INDEX idempotency_age ON idempotency (created_at);
CREATE INDEX instances_image ON instances (image_id) WHERE deleted_at IS NULL;
CREATE INDEX instances_live ON instances (project_id, id)
    WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX instances_name ON instances (project_id, name)
    WHERE deleted_at IS NULL;
CREATE INDEX instances_node ON instances (node_id, seq)
    WHERE deleted_at IS NULL;
CREATE INDEX memberships_user ON memberships (user_id, project_id);
CREATE INDEX operations_project ON operations (project_id, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX sessions_project ON sessions (project_id);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE UNIQUE INDEX tokens_name ON tokens (coalesce(project_id, ''), name);
CREATE INDEX usage_project ON usage_intervals (project_id, instance_id);
CREATE INDEX users_home ON users (home_id);
