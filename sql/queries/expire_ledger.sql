-- Give up the days of the ledger that no batch can be of any more; the value is the time
-- before which no batch is accepted.
UPDATE partitions
SET dropped_at = now()
WHERE parent = 'batches' AND dropped_at IS NULL AND upper <= %s;
