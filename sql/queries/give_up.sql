-- Give up one time of logs with all that belongs to it, as retention does.
UPDATE partitions
SET dropped_at = now()
WHERE parent NOT IN ('batches', 'trace_index')
    AND dropped_at IS NULL
    AND lower >= %s AND upper <= %s
RETURNING name;
