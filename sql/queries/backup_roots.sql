-- The tables that hold what the partitions do not; locked with their partitions.
SELECT relname::text FROM pg_class
WHERE relnamespace = current_schema()::regnamespace
    AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'schema_migrations'
ORDER BY relname;
