-- The ledger knows the batches of so many days: a letter older than that gets a new
-- time, and is as new as if it had been set aside now.
UPDATE dead_letters SET at = now()
FROM unnest(%s::uuid[], %s::integer[]) AS named (id, ordinal)
WHERE dead_letters.batch_id = named.id AND dead_letters.ordinal = named.ordinal
    AND at < now() - make_interval(days => %s);
