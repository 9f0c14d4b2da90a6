-- Merge the counts of one minute and key. One statement deletes and inserts: readers see
-- either, rows that come late are left alone, and killed it has done nothing.
WITH many AS (
    SELECT minute, template_id, severity, environment, service
    FROM log_counts
    WHERE minute >= %(since)s AND minute < %(until)s
    GROUP BY minute, template_id, severity, environment, service
    HAVING count(*) > 1
), gone AS (
    DELETE FROM log_counts AS one
    USING many
    WHERE one.minute >= %(since)s
        AND one.minute < %(until)s
        AND one.minute = many.minute
        AND one.template_id = many.template_id
        AND one.severity = many.severity
        AND one.environment = many.environment
        AND one.service = many.service
    RETURNING one.*
)
INSERT INTO log_counts
    (minute, first, last, template_id, n, severity, environment, service)
SELECT minute, min(first), max(last), template_id, sum(n), severity, environment, service
FROM gone
GROUP BY minute, template_id, severity, environment, service;
