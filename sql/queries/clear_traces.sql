-- Make anew what the index has of some traces within one partition of logs, from the lines
-- that are left. By ids in an array and not by a join, so that indexes find both.
WITH gone AS (
    DELETE FROM trace_index
    WHERE first >= %s AND first < %s AND trace_id = ANY(%s) AND {clauses}
)
INSERT INTO trace_index (first, last, trace_id, lines, errors, service)
SELECT
    min(time), max(time), trace_id,
    count(*), count(*) FILTER (WHERE severity >= 17), service
FROM logs
WHERE time >= %s AND time < %s AND trace_id = ANY(%s) AND {clauses}
GROUP BY trace_id, service
RETURNING 1;
