-- Delete a few entries of a dictionary ({table}) that no stored line can name any more.
-- By id, and leaving out what somebody holds: a writer with the same entries in another
-- order would wait for this, and this for the writer.
DELETE FROM {table}
WHERE id IN (
    SELECT id FROM {table}
    WHERE last_seen < CURRENT_DATE - (SELECT retention_days FROM settings) - 7
    ORDER BY id
    LIMIT 500
    FOR UPDATE SKIP LOCKED
);
