-- Days of the trace index and of the ledger that are over.
SELECT day.name
FROM partitions AS day
WHERE day.parent IN ('trace_index', 'batches')
    AND day.dropped_at IS NULL
    AND day.closed_at IS NULL
    AND day.upper < now() - interval '5 minutes'
    AND NOT EXISTS ( -- its rows are merged hour by hour, when logs are closed
        SELECT FROM partitions AS open
        WHERE open.parent = 'logs'
            AND open.closed_at IS NULL
            AND open.lower < day.upper
            AND open.upper > day.lower
    )
ORDER BY day.lower
LIMIT 10;
