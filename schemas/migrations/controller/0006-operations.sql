-- What is desired of an instance beyond power and run (docs/PROTOCOL.md), and
-- what keeps tenants from changing it by mistake.
ALTER TABLE instances ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN disk_epoch INTEGER NOT NULL DEFAULT 0;

-- The sizes of runs before the present one, while such a run may still be
-- there: `run` is the last that a row is for. What an instance claims is the
-- largest of these and its own.
CREATE TABLE instance_sizes (
    instance_id TEXT NOT NULL REFERENCES instances (id),
    run INTEGER NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    PRIMARY KEY (instance_id, run)
) STRICT, WITHOUT ROWID;

-- node_id and seq: of the wish that the operation made. undo: what there was
-- before, for who takes it back. undone_by: the operation that did.
ALTER TABLE operations ADD COLUMN reason TEXT;
ALTER TABLE operations ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
ALTER TABLE operations ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE operations ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operations ADD COLUMN can_cancel INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operations ADD COLUMN node_id TEXT;
ALTER TABLE operations ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operations ADD COLUMN undo TEXT;
ALTER TABLE operations ADD COLUMN undone_by TEXT;
UPDATE operations SET updated_at = coalesce(finished_at, created_at);
UPDATE operations SET
    node_id = (SELECT node_id FROM instances i WHERE i.id = resource_id),
    seq = coalesce((SELECT seq FROM instances i WHERE i.id = resource_id), 0)
    WHERE state = 0;
CREATE INDEX operations_running ON operations (id) WHERE state = 0;
