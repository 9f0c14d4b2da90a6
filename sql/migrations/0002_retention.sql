-- Retention: how many bytes are kept, and which partitions are on their way out.
ALTER TABLE settings ADD COLUMN retention_bytes bigint; -- null: nobody chose, 0: no limit
-- Set before a partition is detached and dropped: a collector that is killed between
-- the two leaves a note for the next one, and no new row is sent there.
ALTER TABLE partitions ADD COLUMN dropped_at timestamptz;
