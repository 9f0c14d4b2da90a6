-- Those of our tables that exist; locked with their partitions.
SELECT relname::text FROM pg_class
WHERE relnamespace = current_schema()::regnamespace
    AND relname = ANY(%(ours)s) AND relkind IN ('r', 'p')
ORDER BY relname;
