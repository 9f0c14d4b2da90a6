-- Hours of partitions of log_counts that are over for half an hour and not counted yet, or
-- given more since, or counted before the partition was made; the newest first, because
-- they are asked for most.
SELECT due.hour
FROM partitions AS p
CROSS JOIN LATERAL generate_series(
    p.lower,
    least(p.upper, now() - interval '30 minutes') - interval '1 hour',
    interval '1 hour'
) AS due (hour)
LEFT JOIN counted_hours AS counted USING (hour)
WHERE p.parent = 'log_counts'
    AND p.dropped_at IS NULL
    AND (
        counted.counted_at IS NULL
        OR counted.counted_at <= p.created_at
        OR EXISTS (SELECT FROM late_hours AS late WHERE late.hour = due.hour)
    )
ORDER BY due.hour DESC
LIMIT %s;
