-- How fresh the store is: what applications gave up, by reason, as they count it
-- themselves (of those heard of since a moment, or of all), and when one of the newest
-- batches was stored. Ids of batches begin with their time.
SELECT (
    SELECT coalesce(jsonb_object_agg(key, n), '{}')
    FROM (
        SELECT key, sum(value::numeric)::bigint AS n
        FROM emitters, jsonb_each_text(
            CASE jsonb_typeof(counters -> 'dropped')
                WHEN 'object' THEN counters -> 'dropped' ELSE '{}'
            END
        ) AS reasons
        WHERE value ~ '^\d{1,15}$'
            AND last_seen >= coalesce(%(since)s::timestamptz, '-infinity')
        GROUP BY key
        HAVING sum(value::numeric) > 0
    ) AS dropped
), (
    SELECT max(stored_at) FROM (
        SELECT stored_at FROM batches
        WHERE home = 0 AND batch_id >= %(after)s
        ORDER BY batch_id DESC LIMIT 100
    ) AS newest
)
