-- Spans: laid out, partitioned and found like logs; and their counts by operation.
--
-- Only additions: a collector that knows no spans works here as before, and leaves their
-- batches in the queue for one that does.

CREATE TABLE spans (
    time timestamptz NOT NULL, -- the start
    ingested_at timestamptz NOT NULL DEFAULT now(),
    seq bigint NOT NULL, -- of the one sequence that logs count by too
    duration_ns bigint NOT NULL,
    resource_id bigint NOT NULL,
    scope_id bigint NOT NULL,
    trace_id uuid NOT NULL,
    flags integer NOT NULL, -- 32 bits as OTLP has them: 1 is "sampled"
    dropped_attributes integer, -- null: none, here and below
    dropped_events integer,
    dropped_links integer,
    time_nanos smallint NOT NULL, -- the three digits below a microsecond
    home smallint NOT NULL,
    kind smallint NOT NULL,
    status smallint NOT NULL, -- 2: an error
    span_id bytea NOT NULL,
    parent_id bytea, -- null: a root
    environment text NOT NULL,
    service text NOT NULL,
    name text NOT NULL,
    status_message text,
    trace_state text,
    attributes jsonb,
    -- [{"time": nanoseconds since 1970, "name", "attributes", "dropped"}]; what is
    -- empty or 0 is left out, here and below
    events jsonb,
    -- [{"trace_id", "span_id": hex, "trace_state", "flags", "attributes", "dropped"}]
    links jsonb
) PARTITION BY RANGE (time);

CREATE INDEX spans_time ON spans (time);
CREATE INDEX spans_trace_id ON spans (trace_id);
CREATE INDEX spans_seq ON spans USING brin (seq) WITH (pages_per_range = 16, autosummarize = on);

-- As word_filters, of chunks of spans: the words of names, status messages, names of
-- events, types and messages of exceptions; and attributes.
CREATE TABLE span_filters (
    time_first timestamptz NOT NULL,
    time_last timestamptz NOT NULL,
    seq_first bigint NOT NULL,
    seq_last bigint NOT NULL,
    bits integer NOT NULL,
    format smallint NOT NULL,
    words bytea NOT NULL
) PARTITION BY RANGE (time_first);

CREATE INDEX span_filters_seq ON span_filters (seq_last);
ALTER TABLE span_filters ALTER COLUMN words SET STORAGE EXTERNAL;

-- Spans by minute, operation and duration, so that statistics never scan rows: a row
-- for each bucket of durations (godot_otel/durations.py), merged by adding.
CREATE TABLE operation_counts (
    minute timestamptz NOT NULL,
    n bigint NOT NULL,
    errors bigint NOT NULL,
    duration_ns bigint NOT NULL, -- of all n together
    bucket smallint NOT NULL,
    kind smallint NOT NULL,
    environment text NOT NULL,
    service text NOT NULL,
    name text NOT NULL
) PARTITION BY RANGE (minute);

CREATE INDEX operation_counts_minute ON operation_counts (minute);

-- The spans of a trace beside its lines; `first` and `last` cover both.
ALTER TABLE trace_index
    ADD COLUMN spans integer NOT NULL DEFAULT 0,
    ADD COLUMN span_errors integer NOT NULL DEFAULT 0;

CREATE FUNCTION span_kind_name(kind smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(
        (ARRAY['INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'])[kind], ''
    );

CREATE FUNCTION span_status_name(status smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce((ARRAY['OK', 'ERROR'])[status], '');

-- For people in psql and Grafana.
CREATE VIEW span_lines AS
SELECT
    s.time,
    s.environment,
    s.service,
    r.version,
    s.name,
    span_kind_name(s.kind) AS kind,
    span_status_name(s.status) AS status,
    s.status_message,
    s.duration_ns / 1e6 AS duration_ms,
    replace(s.trace_id::text, '-', '') AS trace_id,
    encode(s.span_id, 'hex') AS span_id,
    encode(s.parent_id, 'hex') AS parent_id,
    s.attributes,
    s.events,
    s.links,
    r.attributes AS resource,
    c.name AS scope,
    s.seq,
    s.ingested_at
FROM spans AS s
LEFT JOIN resources AS r ON r.id = s.resource_id
LEFT JOIN scopes AS c ON c.id = s.scope_id;
