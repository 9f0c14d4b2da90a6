-- Counts of hours that no partition has any more.
WITH oldest AS (
    SELECT min(lower) AS lower FROM partitions
    WHERE parent = 'log_counts' AND dropped_at IS NULL
), gone AS (
    DELETE FROM counted_hours USING oldest WHERE hour < oldest.lower
), notes AS (
    DELETE FROM late_hours USING oldest WHERE hour < oldest.lower
)
DELETE FROM log_hours USING oldest WHERE hour < oldest.lower;
