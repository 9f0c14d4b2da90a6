-- Count one hour anew. One statement, one snapshot: notes of rows that it does not see stay.
WITH noted AS (
    DELETE FROM late_hours WHERE hour = %(hour)s
), templates_before AS (
    DELETE FROM template_hours WHERE hour = %(hour)s
), logs_before AS (
    DELETE FROM log_hours WHERE hour = %(hour)s
), counted AS (
    INSERT INTO counted_hours (hour) VALUES (%(hour)s)
    ON CONFLICT (hour) DO UPDATE SET counted_at = excluded.counted_at
), of_templates AS (
    INSERT INTO template_hours
        (hour, first, last, template_id, n, severity, environment, service)
    SELECT
        %(hour)s, min(first), max(last), template_id, sum(n),
        severity, environment, service
    FROM log_counts
    WHERE minute >= %(hour)s AND minute < %(hour)s::timestamptz + interval '1 hour'
    GROUP BY template_id, severity, environment, service
    RETURNING first, last, n, severity, environment, service
)
INSERT INTO log_hours (hour, first, last, n, severity, environment, service)
SELECT %(hour)s, min(first), max(last), sum(n), severity, environment, service
FROM of_templates
GROUP BY severity, environment, service;
