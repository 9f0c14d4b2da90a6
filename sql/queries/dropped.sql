-- Records that applications gave up, by reason, as they count them themselves; of those
-- heard of since a moment, or of all.
SELECT key, sum(value::numeric)::bigint
FROM emitters, jsonb_each_text(
    CASE jsonb_typeof(counters -> 'dropped')
        WHEN 'object' THEN counters -> 'dropped' ELSE '{}'
    END
) AS reasons
WHERE value ~ '^\d{1,15}$'
    AND last_seen >= coalesce(%s::timestamptz, '-infinity')
GROUP BY key
HAVING sum(value::numeric) > 0
ORDER BY key;
