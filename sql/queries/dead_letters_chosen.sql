-- Which dead letters a command speaks of; a part of the other statements about them.
strpos(reason, %(reason)s) > 0
AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
AND (%(before)s::timestamptz IS NULL OR at < %(before)s)
AND (%(ids)s::uuid[] IS NULL OR EXISTS (
    SELECT FROM unnest(%(ids)s::uuid[], %(ordinals)s::integer[]) AS named (id, ordinal)
    WHERE named.id = batch_id AND (named.ordinal IS NULL OR named.ordinal = dead_letters.ordinal)
))
