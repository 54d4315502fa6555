-- The restart policy, 1 is on-failure: for instances of before as well, so that
-- there are not two kinds of them. Those that should run are told to their
-- nodes again (a new seq), which do not know the policy yet; adding the highest
-- one keeps the numbers apart.
ALTER TABLE instances ADD COLUMN restart_policy INTEGER NOT NULL DEFAULT 1;
ALTER TABLE instances ADD COLUMN restart_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN last_end_reason TEXT;
UPDATE instances SET seq = seq + (SELECT max(seq) FROM instances)
    WHERE deleted_at IS NULL AND power = 0;
