-- Enter batches into the ledger; those returned are new, the others are stored already.
-- Comes first in a transaction: a second collector with the same batch waits here for
-- the first one's end. Sorted, or two of them could wait for each other.
WITH entered AS (
    INSERT INTO batches (home, batch_id, signal, records, dead_letters, instance)
    SELECT * FROM unnest(
        %(homes)s::smallint[], %(ids)s::uuid[], %(signals)s::text[],
        %(records)s::integer[], %(dead)s::integer[], %(instances)s::uuid[]
    ) AS batch (home, batch_id, signal, records, dead_letters, instance)
    ORDER BY home, batch_id
    ON CONFLICT DO NOTHING
    RETURNING home, batch_id
)
SELECT
    entered.home,
    entered.batch_id,
    settings.xid_base + pg_current_xact_id()::text::bigint AS xid
FROM entered CROSS JOIN settings;
