-- Pack the lines of a slice of time within one partition. One statement deletes and
-- inserts: readers see either, and killed it has done nothing.
WITH gone AS (
    DELETE FROM logs
    WHERE time >= %(since)s AND time < %(until)s
    RETURNING *
), placed AS (
    SELECT
        *,
        row_number() OVER ordered AS place,
        sum(
            octet_length(body) + coalesce(pg_column_size(attributes), 0)
            + coalesce(pg_column_size(body_data), 0)
        ) OVER ordered AS bytes
    FROM gone
    WINDOW ordered AS (ORDER BY time, time_nanos, seq)
)
INSERT INTO log_packs (
    time_first, time_last, seq_first, seq_last, lines,
    time, ingested_at, seq, template_id, resource_id, scope_id, observed_time, trace_id,
    dropped_attributes, time_nanos, observed_nanos, home, severity, trace_flags, span_id,
    environment, service, logger, severity_text, event_name, body, body_data, attributes
)
SELECT
    min(time), max(time), min(seq), max(seq), count(*),
    array_agg(time ORDER BY place), array_agg(ingested_at ORDER BY place),
    array_agg(seq ORDER BY place), array_agg(template_id ORDER BY place),
    array_agg(resource_id ORDER BY place), array_agg(scope_id ORDER BY place),
    array_agg(observed_time ORDER BY place), array_agg(trace_id ORDER BY place),
    array_agg(dropped_attributes ORDER BY place), array_agg(time_nanos ORDER BY place),
    array_agg(observed_nanos ORDER BY place), array_agg(home ORDER BY place),
    array_agg(severity ORDER BY place), array_agg(trace_flags ORDER BY place),
    array_agg(span_id ORDER BY place), array_agg(environment ORDER BY place),
    array_agg(service ORDER BY place), array_agg(logger ORDER BY place),
    array_agg(severity_text ORDER BY place), array_agg(event_name ORDER BY place),
    array_agg(body ORDER BY place), array_agg(body_data ORDER BY place),
    array_agg(attributes ORDER BY place)
FROM placed
-- 128 lines: larger ones take little less space, and a look-up longer. Of large lines
-- fewer: Postgres takes no value above 1 GB.
GROUP BY (place - 1) / 128, bytes / 1048576;
