-- Merge the counts of one minute, operation and bucket, as one statement like
-- compact_counts.sql.
WITH many AS (
    SELECT minute, environment, service, name, kind, bucket
    FROM operation_counts
    WHERE minute >= %(since)s AND minute < %(until)s
    GROUP BY minute, environment, service, name, kind, bucket
    HAVING count(*) > 1
), gone AS (
    DELETE FROM operation_counts AS one
    USING many
    WHERE one.minute >= %(since)s
        AND one.minute < %(until)s
        AND one.minute = many.minute
        AND one.environment = many.environment
        AND one.service = many.service
        AND one.name = many.name
        AND one.kind = many.kind
        AND one.bucket = many.bucket
    RETURNING one.*
)
INSERT INTO operation_counts
    (minute, n, errors, duration_ns, bucket, kind, environment, service, name)
SELECT
    minute, sum(n), sum(errors), least(sum(duration_ns), 9223372036854775807),
    bucket, kind, environment, service, name
FROM gone
GROUP BY minute, environment, service, name, kind, bucket;
