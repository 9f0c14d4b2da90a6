-- Note that lines of a partition may be in packs from now on, for which a program must be
-- as new as the migration that has them.
WITH allowed AS (
    UPDATE settings SET oldest_reader = 7 WHERE oldest_reader < 7
)
UPDATE partitions SET packed_at = coalesce(packed_at, '-infinity') WHERE name = %s;
