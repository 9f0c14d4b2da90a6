-- Give up the oldest hour (or day) when all partitions together are larger than allowed;
-- never one whose time is not over. While lines are packed they take room twice, which does
-- not count: that of the rows goes when all are.
WITH sizes AS (
    SELECT parent, lower, upper, retention_bytes,
        pg_total_relation_size(to_regclass(quote_ident(name))) AS bytes
    FROM partitions AS p, settings
    WHERE dropped_at IS NULL AND retention_bytes > 0
        AND NOT (
            parent = 'log_packs'
            AND EXISTS (
                SELECT FROM partitions AS rows
                WHERE rows.parent = 'logs' AND rows.lower = p.lower
                    AND rows.packed_at = '-infinity'
            )
        )
), oldest AS (
    SELECT lower, upper FROM sizes
    WHERE parent NOT IN ('batches', 'trace_index') AND upper <= now()
    ORDER BY lower LIMIT 1
)
UPDATE partitions AS old
SET dropped_at = now()
FROM oldest
WHERE old.parent NOT IN ('batches', 'trace_index')
    AND old.dropped_at IS NULL
    AND old.lower >= oldest.lower
    AND old.upper <= oldest.upper
    AND (SELECT sum(bytes) > min(retention_bytes) FROM sizes);
