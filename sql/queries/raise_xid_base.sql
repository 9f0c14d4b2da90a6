-- After a restore transaction ids start over; raise what is added to them until the
-- next seq is above every one that {filters} knows of.
UPDATE settings
SET xid_base = newest.xid + 1 - pg_current_xact_id()::text::bigint + 1000
FROM (SELECT coalesce(max(seq_last), 0) >> 20 AS xid FROM {filters}) AS newest
WHERE newest.xid >= settings.xid_base + pg_current_xact_id()::text::bigint;
