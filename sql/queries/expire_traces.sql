-- Give up the days of the trace index of which no line is left.
UPDATE partitions AS day
SET dropped_at = now()
WHERE day.parent = 'trace_index'
    AND day.dropped_at IS NULL
    AND day.upper <= now()
    AND NOT EXISTS (
        SELECT FROM partitions AS kept
        WHERE kept.parent = 'logs'
            AND kept.dropped_at IS NULL
            AND kept.lower < day.upper
            AND kept.upper > day.lower
    );
