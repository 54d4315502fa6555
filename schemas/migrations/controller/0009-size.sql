-- Of a run that a node may have begun by either of two wishes there are two
-- sizes, until the node tells: instance_sizes is a set of what may be, and no
-- row replaces another any more. `run` is the last that a row may be of.
CREATE TABLE instance_sizes_new (
    instance_id TEXT NOT NULL REFERENCES instances (id),
    run INTEGER NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    PRIMARY KEY (instance_id, run, vcpus, memory_bytes, disk_bytes)
) STRICT, WITHOUT ROWID;
INSERT INTO instance_sizes_new SELECT instance_id, run, vcpus, memory_bytes,
    disk_bytes FROM instance_sizes;
DROP TABLE instance_sizes;
ALTER TABLE instance_sizes_new RENAME TO instance_sizes;
