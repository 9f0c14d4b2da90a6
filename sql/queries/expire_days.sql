-- Give up what is older than retention. An hour more than that is kept: a line's age was
-- checked when it came into the queue, and it may have waited there.
UPDATE partitions AS old
SET dropped_at = now()
FROM settings
WHERE old.parent NOT IN ('batches', 'trace_index')
    AND old.dropped_at IS NULL
    AND old.upper <= now() - make_interval(hours => 24 * settings.retention_days + 1);
