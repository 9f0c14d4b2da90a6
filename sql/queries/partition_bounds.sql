SELECT
    parent,
    (extract(epoch FROM lower) * 1000000)::bigint AS lower,
    (extract(epoch FROM upper) * 1000000)::bigint AS upper
FROM partitions
ORDER BY parent, lower;
