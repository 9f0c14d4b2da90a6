SELECT batch_id, ordinal, home, signal, reason, at, payload
FROM unnest(%s::uuid[], %s::integer[]) WITH ORDINALITY AS named (batch_id, ordinal, place)
JOIN dead_letters USING (batch_id, ordinal)
ORDER BY place;
