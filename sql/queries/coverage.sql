-- How many partitions each table has, whether one takes what comes now and what comes
-- one partition's width later, and how far ahead the last one ends. Those on their way
-- out take nothing.
SELECT
    parent,
    count(*) AS partitions,
    bool_or(lower <= now() AND now() < upper) AS takes_now,
    bool_or(lower <= later.moment AND later.moment < upper) AS takes_later,
    extract(epoch FROM max(upper) - now())::float8 AS ahead_seconds
FROM partitions, (
    SELECT now() + CASE partition_width WHEN 'hour' THEN interval '1 hour'
        ELSE interval '1 day' END AS moment
    FROM settings
) AS later
WHERE dropped_at IS NULL
GROUP BY parent
ORDER BY parent;
