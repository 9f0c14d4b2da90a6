-- Make rows of logs again of the packs in which something is chosen, within a slice of
-- time of one partition; and let it be for an hour.
WITH gone AS (
    DELETE FROM log_packs AS p
    WHERE p.time_first >= %s AND p.time_first < %s AND p.time_last >= %s
        AND EXISTS (
            SELECT FROM unnest(p.time, p.service, p.severity) AS l (time, service, severity)
            WHERE time >= %s AND time < %s AND {clauses}
        )
    RETURNING *
), later AS (
    UPDATE partitions SET packed_at = now()
    WHERE parent = 'logs' AND lower = %s AND EXISTS (SELECT FROM gone)
)
INSERT INTO logs (
    time, ingested_at, seq, template_id, resource_id, scope_id, observed_time, trace_id,
    dropped_attributes, time_nanos, observed_nanos, home, severity, trace_flags, span_id,
    environment, service, logger, severity_text, event_name, body, body_data, attributes
)
SELECT
    unnest(time), unnest(ingested_at), unnest(seq), unnest(template_id),
    unnest(resource_id), unnest(scope_id), unnest(observed_time), unnest(trace_id),
    unnest(dropped_attributes), unnest(time_nanos), unnest(observed_nanos), unnest(home),
    unnest(severity), unnest(trace_flags), unnest(span_id), unnest(environment),
    unnest(service), unnest(logger), unnest(severity_text), unnest(event_name),
    unnest(body), unnest(body_data), unnest(attributes)
FROM gone;
