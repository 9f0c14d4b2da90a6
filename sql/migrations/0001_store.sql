-- The store: records, what they share, and what makes them quick to find.
--
-- Rows of `logs` are laid out widest column first, so that alignment pads nothing.
-- Nothing here needs a superuser or an extension. There is no default partition: it
-- would be locked by every change of the others, and rows in it block new ones.

-- One row: which schema this is and what holds for the whole store.
CREATE TABLE settings (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- the oldest program (by the number of its newest migration) that may work here
    oldest_reader integer NOT NULL DEFAULT 1,
    -- added to transaction ids, so that seq keeps growing after a restore
    xid_base bigint NOT NULL DEFAULT 0,
    retention_days integer NOT NULL DEFAULT 7,
    partition_width text NOT NULL DEFAULT 'hour' CHECK (partition_width IN ('hour', 'day'))
);
INSERT INTO settings DEFAULT VALUES;

-- Every partition of every table; bounds are UTC and computed by the collector.
CREATE TABLE partitions (
    name text PRIMARY KEY,
    parent text NOT NULL,
    lower timestamptz NOT NULL,
    upper timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    UNIQUE (parent, lower)
);

-- The ledger: a batch whose id is here is stored, and a second delivery changes nothing.
CREATE TABLE batches (
    batch_id uuid NOT NULL, -- UUIDv7: the range of a partition is a range of time
    home smallint NOT NULL,
    signal text NOT NULL,
    records integer NOT NULL,
    dead_letters integer NOT NULL DEFAULT 0,
    instance uuid,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (home, batch_id)
) PARTITION BY RANGE (batch_id);

-- What could not be stored, one record a row; ordinal -1 is the batch as a whole.
CREATE TABLE dead_letters (
    batch_id uuid NOT NULL,
    ordinal integer NOT NULL,
    home smallint NOT NULL,
    signal text NOT NULL,
    reason text NOT NULL,
    payload bytea NOT NULL, -- an OTLP request with this one record, or the entry as it came
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, ordinal)
);

-- Dictionaries; an id is the first 8 bytes of BLAKE2b over the content, signed.
CREATE TABLE resources (
    id bigint PRIMARY KEY,
    service text NOT NULL,
    environment text NOT NULL,
    version text NOT NULL,
    attributes jsonb NOT NULL,
    schema_url text NOT NULL,
    dropped_attributes integer NOT NULL,
    last_seen date NOT NULL DEFAULT CURRENT_DATE
);

CREATE TABLE scopes (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL,
    attributes jsonb NOT NULL,
    schema_url text NOT NULL,
    dropped_attributes integer NOT NULL,
    last_seen date NOT NULL DEFAULT CURRENT_DATE
);

CREATE TABLE templates (
    id bigint PRIMARY KEY,
    logger text NOT NULL,
    template text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen date NOT NULL DEFAULT CURRENT_DATE
);

-- Instances of applications with their own cumulative counters, as sent with batches.
CREATE TABLE emitters (
    instance uuid PRIMARY KEY,
    service text NOT NULL,
    counters jsonb NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE logs (
    time timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    -- (xid_base + transaction id) << 20 | ordinal: a tail goes on by it
    seq bigint NOT NULL,
    template_id bigint NOT NULL,
    resource_id bigint NOT NULL,
    scope_id bigint NOT NULL,
    observed_time timestamptz, -- null: as `time`
    trace_id uuid,
    dropped_attributes integer, -- null: none
    time_nanos smallint NOT NULL, -- the three digits below a microsecond
    observed_nanos smallint,
    home smallint NOT NULL,
    severity smallint NOT NULL,
    trace_flags smallint,
    span_id bytea,
    environment text NOT NULL,
    service text NOT NULL,
    logger text NOT NULL,
    severity_text text, -- null: the usual name of the severity's range
    event_name text,
    body text NOT NULL,
    body_data jsonb, -- the body itself, where it is no string
    attributes jsonb
) PARTITION BY RANGE (time);

CREATE INDEX logs_time ON logs (time);
CREATE INDEX logs_trace_id ON logs (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX logs_seq ON logs USING brin (seq) WITH (pages_per_range = 16, autosummarize = on);

-- One row for each chunk of up to 1,024 rows of logs: a Bloom filter of its words.
-- Chunks never cross a partition of logs. See godot_otel/words.py for the format.
CREATE TABLE word_filters (
    time_first timestamptz NOT NULL,
    time_last timestamptz NOT NULL,
    seq_first bigint NOT NULL,
    seq_last bigint NOT NULL,
    bits integer NOT NULL,
    format smallint NOT NULL,
    words bytea NOT NULL
) PARTITION BY RANGE (time_first);

CREATE INDEX word_filters_seq ON word_filters (seq_last);
-- Bits are as good as random: compressing them costs and gains nothing.
ALTER TABLE word_filters ALTER COLUMN words SET STORAGE EXTERNAL;

-- Where the lines of a trace are; answers a look-up by id without a time window.
CREATE TABLE trace_index (
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    trace_id uuid NOT NULL,
    lines integer NOT NULL,
    errors integer NOT NULL,
    service text NOT NULL
) PARTITION BY RANGE (first);

CREATE INDEX trace_index_trace_id ON trace_index (trace_id);
CREATE INDEX trace_index_last ON trace_index (last);

-- Counts by minute, so that statistics never scan rows.
CREATE TABLE log_counts (
    minute timestamptz NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    template_id bigint NOT NULL,
    n integer NOT NULL,
    severity smallint NOT NULL,
    environment text NOT NULL,
    service text NOT NULL
) PARTITION BY RANGE (minute);

CREATE INDEX log_counts_minute ON log_counts (minute);

-- The usual name of a severity number (OpenTelemetry logs data model, SeverityNumber).
CREATE FUNCTION severity_name(severity smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN severity BETWEEN 1 AND 4 THEN 'TRACE'
        WHEN severity BETWEEN 5 AND 8 THEN 'DEBUG'
        WHEN severity BETWEEN 9 AND 12 THEN 'INFO'
        WHEN severity BETWEEN 13 AND 16 THEN 'WARN'
        WHEN severity BETWEEN 17 AND 20 THEN 'ERROR'
        WHEN severity BETWEEN 21 AND 24 THEN 'FATAL'
        ELSE ''
    END;

-- For people in psql and Grafana.
CREATE VIEW log_lines AS
SELECT
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
FROM logs AS l
LEFT JOIN resources AS r ON r.id = l.resource_id
LEFT JOIN templates AS t ON t.id = l.template_id;
