-- Generations, quotas, keypairs, labels, what instances were given.
ALTER TABLE projects ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tokens ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE flavors ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE images ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE nodes ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
-- A decimal number as text; no price is not the price 0.
ALTER TABLE flavors ADD COLUMN price_per_hour TEXT;

-- For what a create looks up by name.
CREATE INDEX images_public ON images (name) WHERE public = 1;

-- What a project may have; -1 is unlimited, and so is what has no row (those
-- of before, and the default project). What it has follows from the rows of
-- what it has.
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
CREATE INDEX keypairs_project ON keypairs (project_id, id);

-- labels: a JSON object of strings; keypairs: names with commas. NULL: none.
ALTER TABLE instances ADD COLUMN labels TEXT;
ALTER TABLE instances ADD COLUMN keypairs TEXT;
ALTER TABLE instances ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN delete_protection INTEGER NOT NULL DEFAULT 0;

-- What instances were given for their first boot, aside from the rows that
-- lists read; keys are lines. Gone with the instance.
CREATE TABLE instance_seeds (
    instance_id TEXT PRIMARY KEY REFERENCES instances (id),
    user_data TEXT,
    keys TEXT
) STRICT;
CREATE TRIGGER instance_seeds_end AFTER UPDATE OF deleted_at ON instances
WHEN new.deleted_at IS NOT NULL AND old.deleted_at IS NULL
BEGIN
    DELETE FROM instance_seeds WHERE instance_id = new.id;
END;

-- The labels of live instances once more, to find them by: kept by the
-- triggers alone, so that they cannot drift from instances.labels.
CREATE TABLE instance_labels (
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    PRIMARY KEY (project, key, instance_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX instance_labels_value
    ON instance_labels (project, key, value, instance_id);
CREATE INDEX instance_labels_all ON instance_labels (key, value, instance_id);
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
