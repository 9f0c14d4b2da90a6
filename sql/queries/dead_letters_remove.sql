DELETE FROM dead_letters USING unnest(%s::uuid[], %s::integer[]) AS named (id, ordinal)
WHERE dead_letters.batch_id = named.id AND dead_letters.ordinal = named.ordinal;
