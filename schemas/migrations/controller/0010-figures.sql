-- For monitoring: instances are counted by state without their rows.
CREATE INDEX instances_state ON instances (state) WHERE deleted_at IS NULL;
