-- The restart policy; see agentd/reconcile.h. Rows of before go on as runs that
-- were asked for.
ALTER TABLE instance ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN restart_at_us INTEGER NOT NULL DEFAULT 0;
-- The node starts the next run by itself.
ALTER TABLE observation ADD COLUMN restart INTEGER NOT NULL DEFAULT 0;
