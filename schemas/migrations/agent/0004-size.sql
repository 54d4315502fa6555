-- What the run was started with, for who bills it. 0: not known, of runs from
-- before.
ALTER TABLE instance ADD COLUMN vcpus INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN disk_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE observation ADD COLUMN vcpus INTEGER NOT NULL DEFAULT 0;
ALTER TABLE observation ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE observation ADD COLUMN disk_bytes INTEGER NOT NULL DEFAULT 0;
