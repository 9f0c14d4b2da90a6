-- Delete a few instances of applications that were not heard of for as long as lines are
-- kept; one that comes back brings its counters again.
DELETE FROM emitters
WHERE instance IN (
    SELECT instance FROM emitters
    WHERE last_seen
        < now() - make_interval(hours => 24 * (SELECT retention_days FROM settings))
    ORDER BY instance
    LIMIT 500
    FOR UPDATE SKIP LOCKED
);
