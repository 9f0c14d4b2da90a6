-- Packs: lines that have been over for a day, many to a row, in less than half the space.
--
-- Postgres compresses a value only in rows of more than 2 kB, and a line is shorter. A
-- pack has an array for each column of logs, and these it compresses.
--
-- Only additions; but a program that knows no packs does not see the lines in them. So
-- whoever packs first raises settings.oldest_reader (sql/queries/pack_begin.sql).
CREATE TABLE log_packs (
    time_first timestamptz NOT NULL,
    time_last timestamptz NOT NULL,
    seq_first bigint NOT NULL,
    seq_last bigint NOT NULL,
    lines integer NOT NULL, -- the length of each array; all are in the order of time
    time timestamptz[] NOT NULL,
    ingested_at timestamptz[] NOT NULL,
    seq bigint[] NOT NULL,
    template_id bigint[] NOT NULL,
    resource_id bigint[] NOT NULL,
    scope_id bigint[] NOT NULL,
    observed_time timestamptz[] NOT NULL,
    trace_id uuid[] NOT NULL,
    dropped_attributes integer[] NOT NULL,
    time_nanos smallint[] NOT NULL,
    observed_nanos smallint[] NOT NULL,
    home smallint[] NOT NULL,
    severity smallint[] NOT NULL,
    trace_flags smallint[] NOT NULL,
    span_id bytea[] NOT NULL,
    environment text[] NOT NULL,
    service text[] NOT NULL,
    logger text[] NOT NULL,
    severity_text text[] NOT NULL,
    event_name text[] NOT NULL,
    body text[] NOT NULL,
    body_data jsonb[] NOT NULL,
    attributes jsonb[] NOT NULL
) PARTITION BY RANGE (time_first);

CREATE INDEX log_packs_time ON log_packs (time_last, time_first);
-- A trace may go on for longer than a pack. Nobody waits for who packs, so each pack is
-- entered at once.
CREATE INDEX log_packs_trace_id ON log_packs USING gin (trace_id) WITH (fastupdate = off);

-- When the lines of a partition of logs were last packed; null: never, so that there are
-- none in packs. -infinity: it was begun.
ALTER TABLE partitions ADD COLUMN packed_at timestamptz;

-- Every line, with the bounds of its pack, which tell a window what to unpack: no condition
-- on an unpacked column reaches the packs. A row of logs has itself for bounds.
CREATE VIEW stored_lines AS
SELECT
    l.pack_first,
    l.pack_last,
    l.time,
    l.environment,
    l.service,
    r.version,
    severity_name(l.severity) AS level,
    coalesce(l.severity_text, severity_name(l.severity)) AS severity_text,
    l.logger,
    l.body,
    replace(l.trace_id::text, '-', '') AS trace_id,
    encode(l.span_id, 'hex') AS span_id,
    l.event_name,
    l.attributes,
    r.attributes AS resource,
    t.template,
    l.seq,
    l.ingested_at
FROM (
    SELECT
        time AS pack_first, time AS pack_last, time, ingested_at, seq, template_id,
        resource_id, trace_id, severity, span_id, environment, service, logger,
        severity_text, event_name, body, attributes
    FROM logs
    UNION ALL
    SELECT
        p.time_first, p.time_last, unnest(p.time), unnest(p.ingested_at), unnest(p.seq),
        unnest(p.template_id), unnest(p.resource_id), unnest(p.trace_id),
        unnest(p.severity), unnest(p.span_id), unnest(p.environment), unnest(p.service),
        unnest(p.logger), unnest(p.severity_text), unnest(p.event_name), unnest(p.body),
        unnest(p.attributes)
    FROM log_packs AS p
) AS l
LEFT JOIN resources AS r ON r.id = l.resource_id
LEFT JOIN templates AS t ON t.id = l.template_id;

-- As before, with the lines in packs: it unpacks them all, whatever time is asked for.
CREATE OR REPLACE VIEW log_lines AS
SELECT
    time, environment, service, version, level, severity_text, logger, body, trace_id,
    span_id, event_name, attributes, resource, template, seq, ingested_at
FROM stored_lines;

-- The same of a window, which unpacks only what may be in it.
CREATE FUNCTION log_lines(since timestamptz, until timestamptz DEFAULT 'infinity')
RETURNS SETOF log_lines
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT
        time, environment, service, version, level, severity_text, logger, body, trace_id,
        span_id, event_name, attributes, resource, template, seq, ingested_at
    FROM stored_lines
    WHERE time >= since AND time < until
        AND pack_first >= since - interval '24 hours' -- no partition is longer
        AND pack_first < until AND pack_last >= since;
END;
