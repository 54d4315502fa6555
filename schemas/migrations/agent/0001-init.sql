-- The agent's own state; see agentd/state/state.h.

-- desired_seq, last_alive_us, boot_id
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE instance (
    id TEXT PRIMARY KEY,
    -- What the controller wants, as it came over the wire (JSON), and the
    -- sequence number of that wish.
    seq INTEGER NOT NULL,
    spec TEXT NOT NULL,
    -- How far this node got; see agentd/reconcile.h.
    phase INTEGER NOT NULL DEFAULT 0,
    run INTEGER NOT NULL DEFAULT 0,
    started_us INTEGER NOT NULL DEFAULT 0,
    told_seq INTEGER NOT NULL DEFAULT 0,
    -- The observation that told of the deletion; the row goes when that one
    -- is acknowledged.
    deleted_seq INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX instance_deleted ON instance (deleted_seq)
    WHERE deleted_seq IS NOT NULL;

-- What the controller has not acknowledged yet. AUTOINCREMENT: a number is
-- never given twice, even after its row is gone.
CREATE TABLE observation (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id TEXT NOT NULL,
    run INTEGER NOT NULL,
    state INTEGER NOT NULL,
    -- When it happened: wall clock, and time since boot (which no clock step
    -- bends) while the machine is still in the same boot.
    at_us INTEGER NOT NULL,
    boot_us INTEGER,
    reason TEXT,
    code TEXT,
    message TEXT
) STRICT;
