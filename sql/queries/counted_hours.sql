-- Hours within a window whose counts in log_hours are those of their minutes.
SELECT counted.hour
FROM counted_hours AS counted
JOIN partitions AS p
    ON p.parent = 'log_counts' AND p.dropped_at IS NULL
    AND counted.hour >= p.lower AND counted.hour < p.upper
    AND counted.counted_at > p.created_at
WHERE counted.hour >= coalesce(%s::timestamptz, '-infinity')
    AND counted.hour <= coalesce(%s::timestamptz, 'infinity') - interval '1 hour'
    AND NOT EXISTS (SELECT FROM late_hours AS late WHERE late.hour = counted.hour)
ORDER BY counted.hour;
