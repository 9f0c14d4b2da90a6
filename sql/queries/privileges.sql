-- Who we are and what we may do to log lines; a superuser may do all of it.
SELECT
    current_user AS name,
    current_setting('default_transaction_read_only') AS read_only,
    has_table_privilege('logs', 'SELECT') AS read,
    has_table_privilege('logs', 'INSERT') AS add,
    has_table_privilege('logs', 'UPDATE')
        OR has_table_privilege('logs', 'DELETE')
        OR has_table_privilege('logs', 'TRUNCATE') AS change,
    pg_has_role(relowner, 'USAGE') AS own
FROM pg_class
WHERE oid = 'logs'::regclass;
