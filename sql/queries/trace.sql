-- What the index has of one trace, and in which partitions its rows are: a row for each of
-- these, or one without any; none for a trace that was never stored.
WITH found AS MATERIALIZED (
    SELECT first, last, lines, errors, service, spans, span_errors
    FROM trace_index
    WHERE trace_id = %(trace_id)s
), whole AS (
    SELECT
        min(first) AS first, max(last) AS last, sum(lines)::bigint AS lines,
        sum(errors)::bigint AS errors,
        array_agg(DISTINCT service ORDER BY service) AS services,
        sum(spans)::bigint AS spans, sum(span_errors)::bigint AS span_errors
    FROM found
    HAVING count(*) > 0
), pieces AS (
    SELECT
        p.lower, p.upper, greatest(min(found.first), p.lower) AS first,
        least(max(found.last) + interval '1 us', p.upper) AS last
    FROM found
    CROSS JOIN LATERAL (
        -- By the index: no partition is longer than a day.
        SELECT lower, upper
        FROM partitions
        WHERE parent = 'logs' AND dropped_at IS NULL AND upper > found.first
            AND lower > found.first - interval '24 hours' AND lower <= found.last
        OFFSET 0
    ) AS p
    GROUP BY p.lower, p.upper
)
SELECT whole.*, pieces.*
FROM whole
LEFT JOIN pieces ON true
