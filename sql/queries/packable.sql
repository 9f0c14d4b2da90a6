-- Times of logs that were over a day ago, are closed and have rows that are worth packing,
-- the newest first: the oldest go soon. What was begun is finished before others; what came
-- late waits an hour.
SELECT logs.name, packs.name, logs.lower, logs.upper
FROM partitions AS logs
JOIN pg_inherits AS i
    ON i.inhrelid = to_regclass(quote_ident(logs.name)) AND NOT i.inhdetachpending
JOIN partitions AS packs
    ON packs.parent = 'log_packs' AND packs.lower = logs.lower
    AND packs.upper = logs.upper AND packs.dropped_at IS NULL
JOIN pg_inherits AS j
    ON j.inhrelid = to_regclass(quote_ident(packs.name)) AND NOT j.inhdetachpending
WHERE logs.parent = 'logs'
    AND logs.dropped_at IS NULL
    AND logs.closed_at IS NOT NULL
    AND logs.upper < now() - interval '1 day'
    AND coalesce(logs.packed_at, '-infinity') < now() - interval '1 hour'
    AND (logs.packed_at = '-infinity' OR pg_total_relation_size(i.inhrelid) > 262144)
ORDER BY coalesce(logs.packed_at = '-infinity', false) DESC, logs.lower DESC
LIMIT 10;
