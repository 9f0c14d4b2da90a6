-- Counters only grow: a batch that comes late, from a spool, must not set them back.
-- What was spooled and dropped is the second word, where as much was emitted.
INSERT INTO emitters (instance, service, counters)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::jsonb[])
    AS new (instance, service, counters)
ORDER BY instance
ON CONFLICT (instance) DO UPDATE
SET counters = excluded.counters, last_seen = now()
WHERE (
    coalesce((excluded.counters ->> 'emitted')::numeric, 0),
    coalesce((excluded.counters ->> 'spooled')::numeric, 0) + (
        SELECT coalesce(sum(n::numeric), 0)
        FROM jsonb_each_text(excluded.counters -> 'dropped') AS lost (reason, n)
    )
) >= (
    coalesce((emitters.counters ->> 'emitted')::numeric, 0),
    coalesce((emitters.counters ->> 'spooled')::numeric, 0) + (
        SELECT coalesce(sum(n::numeric), 0)
        FROM jsonb_each_text(emitters.counters -> 'dropped') AS lost (reason, n)
    )
);
