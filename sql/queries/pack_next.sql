-- How many of the first rows of a time there are, up to one more than are packed at once,
-- and the times of the first and the last of them.
SELECT count(*), min(time), max(time)
FROM (
    SELECT time FROM logs
    WHERE time >= %s AND time < %s
    ORDER BY time
    LIMIT 4097
) AS next;
