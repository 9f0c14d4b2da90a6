-- Counts by hour, so that days are counted without reading every minute of them.
--
-- An hour is counted from log_counts some time after it is over. Whoever changes counts of
-- an hour that is over says so in late_hours, in the same transaction: until it is counted
-- anew, its minutes answer. A writer whose row is not seen while an hour is counted leaves
-- a note that is not seen either, and so outlives it.
CREATE TABLE log_hours (
    hour timestamptz NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    template_id bigint NOT NULL,
    n bigint NOT NULL,
    severity smallint NOT NULL,
    environment text NOT NULL,
    service text NOT NULL
);
CREATE INDEX log_hours_hour ON log_hours (hour);

-- The hours that log_hours has, those without a line among them.
CREATE TABLE counted_hours (
    hour timestamptz PRIMARY KEY,
    counted_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE late_hours (hour timestamptz NOT NULL);
CREATE INDEX late_hours_hour ON late_hours (hour);
