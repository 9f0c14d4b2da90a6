-- Count one hour anew. One statement, one snapshot: notes of rows that it does not see stay.
WITH noted AS (
    DELETE FROM late_hours WHERE hour = %(hour)s
), before AS (
    DELETE FROM log_hours WHERE hour = %(hour)s
), counted AS (
    INSERT INTO counted_hours (hour) VALUES (%(hour)s)
    ON CONFLICT (hour) DO UPDATE SET counted_at = excluded.counted_at
)
INSERT INTO log_hours
    (hour, first, last, template_id, n, severity, environment, service)
SELECT
    %(hour)s, min(first), max(last), template_id, sum(n), severity, environment, service
FROM log_counts
WHERE minute >= %(hour)s AND minute < %(hour)s::timestamptz + interval '1 hour'
GROUP BY template_id, severity, environment, service;
