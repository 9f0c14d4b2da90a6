-- Delete the chosen lines of a slice of time, and take them from the counts.
-- All that a key of log_counts counts is chosen or nothing of it, so what is left of a key
-- is not before the slice's end. One statement, one snapshot: see godot_otel/clear.py.
WITH gone AS (
    DELETE FROM logs
    WHERE time >= %s AND time < %s AND {clauses}
    RETURNING time, template_id, severity, environment, service, trace_id
), minutes AS (
    SELECT
        date_trunc('minute', time, 'UTC') AS minute,
        template_id, severity, environment, service,
        count(*) AS n
    FROM gone
    GROUP BY 1, template_id, severity, environment, service
), counted AS (
    DELETE FROM log_counts AS one
    USING minutes
    WHERE one.minute >= %s
        AND one.minute < %s
        AND one.minute = minutes.minute
        AND one.template_id = minutes.template_id
        AND one.severity = minutes.severity
        AND one.environment = minutes.environment
        AND one.service = minutes.service
    RETURNING one.*
), kept AS (
    INSERT INTO log_counts
        (minute, first, last, template_id, n, severity, environment, service)
    SELECT
        minute, least(greatest(min(first), %s), max(last)), max(last), template_id,
        sum(counted.n) - min(minutes.n), severity, environment, service
    FROM counted
    JOIN minutes USING (minute, template_id, severity, environment, service)
    GROUP BY minute, template_id, severity, environment, service
    HAVING sum(counted.n) > min(minutes.n)
)
SELECT
    service, severity, count(*),
    array_agg(DISTINCT trace_id) FILTER (WHERE trace_id IS NOT NULL)
FROM gone
GROUP BY service, severity;
