-- Times of logs that are over, a few minutes of lateness included, and not yet closed; or
-- closed an hour ago and given more rows since, of logs or of spans. The oldest few.
SELECT logs.name, logs.lower, logs.upper
FROM partitions AS logs
LEFT JOIN partitions AS spans
    ON spans.parent = 'spans' AND spans.lower = logs.lower AND spans.upper = logs.upper
LEFT JOIN pg_stat_user_tables AS seen
    ON seen.relid = to_regclass(quote_ident(logs.name))
LEFT JOIN pg_stat_user_tables AS seen_spans
    ON seen_spans.relid = to_regclass(quote_ident(spans.name))
WHERE logs.parent = 'logs'
    AND logs.dropped_at IS NULL
    AND logs.upper < now() - interval '5 minutes'
    AND (
        logs.closed_at IS NULL
        OR (
            (seen.n_ins_since_vacuum > 0 OR seen_spans.n_ins_since_vacuum > 0)
            AND logs.closed_at < now() - interval '1 hour'
        )
    )
ORDER BY logs.lower
LIMIT 10;
