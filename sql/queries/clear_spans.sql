-- Delete the chosen spans of whole minutes, and their counts. All that a key of
-- operation_counts counts is chosen or nothing of it. One statement, one snapshot.
WITH gone AS (
    DELETE FROM spans
    WHERE time >= %s AND time < %s AND {clauses}
    RETURNING trace_id
), counted AS (
    DELETE FROM operation_counts
    WHERE minute >= %s AND minute < %s AND {clauses}
)
SELECT count(*), array_agg(DISTINCT trace_id)
FROM gone;
