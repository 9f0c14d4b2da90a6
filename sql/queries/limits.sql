-- Connections and locks the server has room for, and what is there that needs them.
SELECT
    current_setting('max_connections')::int AS connections,
    current_setting('max_locks_per_transaction')::int * (
        current_setting('max_connections')::int
        + current_setting('max_prepared_transactions')::int
    ) AS locks,
    (
        SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
    ) AS used,
    (SELECT count(*) FROM partitions) AS partitions;
