-- Every table of ours with rows of its own, the partitions after the others. A partition
-- that retention has begun to detach is as good as gone.
SELECT
    part.relname::text AS name,
    (
        SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = part.oid AND attnum > 0
            AND NOT attisdropped AND attgenerated = ''
    ) AS columns,
    whole.relname::text AS parent,
    pg_get_expr(part.relpartbound, part.oid) AS bounds
FROM pg_class AS part
LEFT JOIN pg_inherits ON inhrelid = part.oid AND NOT inhdetachpending
LEFT JOIN pg_class AS whole ON whole.oid = inhparent
WHERE part.relnamespace = current_schema()::regnamespace AND part.relkind = 'r'
    AND part.relispartition = (inhrelid IS NOT NULL)
    AND coalesce(whole.relname, part.relname) = ANY(%(ours)s)
ORDER BY whole.relname NULLS FIRST, part.relname;
