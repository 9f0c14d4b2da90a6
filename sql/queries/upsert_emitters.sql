-- Counters only grow: a batch that was delivered late must not set them back.
INSERT INTO emitters (instance, service, counters)
VALUES (%s, %s, %s)
ON CONFLICT (instance) DO UPDATE
SET counters = excluded.counters, last_seen = now()
WHERE coalesce((excluded.counters ->> 'emitted')::numeric, 0)
    >= coalesce((emitters.counters ->> 'emitted')::numeric, 0);
