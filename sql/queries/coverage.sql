-- How many partitions each table has, whether one takes what comes now and what comes
-- one partition's width later, and how far ahead the last one ends. Those on their way
-- out, and those that people detached or dropped, take nothing.
SELECT
    p.parent,
    count(*) AS partitions,
    bool_or(p.lower <= now() AND now() < p.upper) AS takes_now,
    bool_or(p.lower <= later.moment AND later.moment < p.upper) AS takes_later,
    extract(epoch FROM max(p.upper) - now())::float8 AS ahead_seconds
FROM partitions AS p
JOIN pg_inherits AS i
    ON i.inhrelid = to_regclass(quote_ident(p.name))
    AND i.inhparent = to_regclass(p.parent)
    AND NOT i.inhdetachpending
CROSS JOIN (
    SELECT now() + CASE partition_width WHEN 'hour' THEN interval '1 hour'
        ELSE interval '1 day' END AS moment
    FROM settings
) AS later
WHERE p.dropped_at IS NULL
GROUP BY p.parent
ORDER BY p.parent;
