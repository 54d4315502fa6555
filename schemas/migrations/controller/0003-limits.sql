-- An instance's share of its node, from its flavor; 0 is no limit. What there
-- was before goes on as it is: 100 is the weight that it had.
ALTER TABLE flavors ADD COLUMN cpu_shares INTEGER NOT NULL DEFAULT 100;
ALTER TABLE flavors ADD COLUMN cpu_limit_percent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE flavors
    ADD COLUMN cpu_reservation_percent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE flavors ADD COLUMN disk_iops INTEGER NOT NULL DEFAULT 0;
ALTER TABLE flavors ADD COLUMN disk_bytes_per_second INTEGER NOT NULL DEFAULT 0;
ALTER TABLE flavors ADD COLUMN net_bytes_per_second INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN cpu_shares INTEGER NOT NULL DEFAULT 100;
ALTER TABLE instances ADD COLUMN cpu_limit_percent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances
    ADD COLUMN cpu_reservation_percent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN disk_iops INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances
    ADD COLUMN disk_bytes_per_second INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances
    ADD COLUMN net_bytes_per_second INTEGER NOT NULL DEFAULT 0;
