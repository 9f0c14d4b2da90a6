-- Note that the hours of a time are to be counted anew.
INSERT INTO late_hours
SELECT generate_series(
    date_trunc('hour', %(since)s, 'UTC'), %(until)s - interval '1 us', interval '1 hour'
)
RETURNING hour;
