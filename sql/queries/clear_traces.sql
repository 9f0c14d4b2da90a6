-- Make anew what the index has of some traces within one partition of logs and spans,
-- from the rows that are left. By ids in an array and not by a join, so that indexes find
-- all three.
WITH gone AS (
    DELETE FROM trace_index
    WHERE first >= %s AND first < %s AND trace_id = ANY(%s) AND {clauses}
), kept AS (
    SELECT
        trace_id, service, time AS first, time AS last,
        1 AS lines, (severity >= 17)::int AS errors, 0 AS spans, 0 AS span_errors
    FROM {lines} AS l
    WHERE time >= %s AND time < %s AND trace_id = ANY(%s) AND {clauses}
    UNION ALL
    SELECT
        trace_id, service, time,
        least(
            time + duration_ns / 1000 * interval '1 microsecond',
            ingested_at + interval '1 day'
        ),
        0, 0, 1, (status = 2)::int
    FROM spans
    WHERE time >= %s AND time < %s AND trace_id = ANY(%s) AND {clauses}
)
INSERT INTO trace_index
    (first, last, trace_id, lines, errors, spans, span_errors, service)
SELECT
    min(first), max(last), trace_id,
    sum(lines), sum(errors), sum(spans), sum(span_errors), service
FROM kept
GROUP BY trace_id, service
RETURNING 1;
