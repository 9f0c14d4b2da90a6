-- Merge what the index has of one trace and service within one partition of logs, as one
-- statement like compact_counts.sql. Rows of two partitions are not merged: readers find
-- the partitions of a trace by them. There is an index on `last`; where a span ends in a
-- later partition, its row stays by itself.
WITH many AS (
    SELECT trace_id, service
    FROM trace_index
    WHERE first >= %(lower)s AND first < %(upper)s
        AND last >= %(lower)s AND last < %(upper)s
        AND trace_id BETWEEN %(from_id)s AND %(to_id)s
    GROUP BY trace_id, service
    HAVING count(*) > 1
), gone AS (
    DELETE FROM trace_index AS one
    USING many
    WHERE one.first >= %(lower)s
        AND one.first < %(upper)s
        AND one.last >= %(lower)s
        AND one.last < %(upper)s
        AND one.trace_id = many.trace_id
        AND one.service = many.service
    RETURNING one.*
)
INSERT INTO trace_index
    (first, last, trace_id, lines, errors, spans, span_errors, service)
SELECT
    min(first), max(last), trace_id,
    sum(lines), sum(errors), sum(spans), sum(span_errors), service
FROM gone
GROUP BY trace_id, service;
