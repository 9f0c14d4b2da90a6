-- Every partition that was made, and what has become of it meanwhile: people detach and
-- drop partitions too, and a DETACH CONCURRENTLY that was interrupted stays pending.
SELECT
    p.name,
    p.parent,
    (extract(epoch FROM p.lower) * 1000000)::bigint AS lower,
    (extract(epoch FROM p.upper) * 1000000)::bigint AS upper,
    CASE
        WHEN i.inhdetachpending THEN 'pending'
        WHEN i.inhrelid IS NOT NULL THEN 'attached'
        WHEN to_regclass(quote_ident(p.name)) IS NOT NULL THEN 'detached'
        ELSE 'gone'
    END AS state,
    p.dropped_at IS NOT NULL AS dropping
FROM partitions AS p
LEFT JOIN pg_inherits AS i
    ON i.inhrelid = to_regclass(quote_ident(p.name))
    AND i.inhparent = to_regclass(p.parent)
ORDER BY p.parent, p.lower;
