-- Whether `paused` was told of the run last, and not `running`; see
-- agentd/reconcile.h.
ALTER TABLE instance ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
