-- Delete the chosen lines of a slice of time, and take them from the counts.
-- All that a key of log_counts counts is chosen or nothing of it, so what is left of a key
-- is not before the slice's end. One statement, one snapshot: see godot_otel/clear.
WITH plain AS (
    DELETE FROM logs
    WHERE time >= %s AND time < %s AND {clauses}
    RETURNING time, template_id, severity, environment, service, trace_id
), packs AS (
    DELETE FROM log_packs AS p
    WHERE p.time_first >= %s AND p.time_first < %s AND p.time_last >= %s
        AND EXISTS (
            SELECT FROM unnest(p.time, p.service, p.severity) AS l (time, service, severity)
            WHERE time >= %s AND time < %s AND {clauses}
        )
    RETURNING *
), opened AS (
    SELECT
        pack,
        unnest(time) AS time, unnest(ingested_at) AS ingested_at, unnest(seq) AS seq,
        unnest(template_id) AS template_id, unnest(resource_id) AS resource_id,
        unnest(scope_id) AS scope_id, unnest(observed_time) AS observed_time,
        unnest(trace_id) AS trace_id, unnest(dropped_attributes) AS dropped_attributes,
        unnest(time_nanos) AS time_nanos, unnest(observed_nanos) AS observed_nanos,
        unnest(home) AS home, unnest(severity) AS severity,
        unnest(trace_flags) AS trace_flags, unnest(span_id) AS span_id,
        unnest(environment) AS environment, unnest(service) AS service,
        unnest(logger) AS logger, unnest(severity_text) AS severity_text,
        unnest(event_name) AS event_name, unnest(body) AS body,
        unnest(body_data) AS body_data, unnest(attributes) AS attributes
    FROM (SELECT *, row_number() OVER () AS pack FROM packs) AS numbered
), marked AS MATERIALIZED (
    SELECT *, time >= %s AND time < %s AND {clauses} AS goes
    FROM opened
), repacked AS (
    INSERT INTO log_packs (
        time_first, time_last, seq_first, seq_last, lines,
        time, ingested_at, seq, template_id, resource_id, scope_id, observed_time,
        trace_id, dropped_attributes, time_nanos, observed_nanos, home, severity,
        trace_flags, span_id, environment, service, logger, severity_text, event_name,
        body, body_data, attributes
    )
    SELECT
        min(time), max(time), min(seq), max(seq), count(*),
        array_agg(time ORDER BY time, time_nanos, seq),
        array_agg(ingested_at ORDER BY time, time_nanos, seq),
        array_agg(seq ORDER BY time, time_nanos, seq),
        array_agg(template_id ORDER BY time, time_nanos, seq),
        array_agg(resource_id ORDER BY time, time_nanos, seq),
        array_agg(scope_id ORDER BY time, time_nanos, seq),
        array_agg(observed_time ORDER BY time, time_nanos, seq),
        array_agg(trace_id ORDER BY time, time_nanos, seq),
        array_agg(dropped_attributes ORDER BY time, time_nanos, seq),
        array_agg(time_nanos ORDER BY time, time_nanos, seq),
        array_agg(observed_nanos ORDER BY time, time_nanos, seq),
        array_agg(home ORDER BY time, time_nanos, seq),
        array_agg(severity ORDER BY time, time_nanos, seq),
        array_agg(trace_flags ORDER BY time, time_nanos, seq),
        array_agg(span_id ORDER BY time, time_nanos, seq),
        array_agg(environment ORDER BY time, time_nanos, seq),
        array_agg(service ORDER BY time, time_nanos, seq),
        array_agg(logger ORDER BY time, time_nanos, seq),
        array_agg(severity_text ORDER BY time, time_nanos, seq),
        array_agg(event_name ORDER BY time, time_nanos, seq),
        array_agg(body ORDER BY time, time_nanos, seq),
        array_agg(body_data ORDER BY time, time_nanos, seq),
        array_agg(attributes ORDER BY time, time_nanos, seq)
    FROM marked
    WHERE NOT goes
    GROUP BY pack
), gone AS (
    SELECT * FROM plain
    UNION ALL
    SELECT time, template_id, severity, environment, service, trace_id
    FROM marked
    WHERE goes
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
