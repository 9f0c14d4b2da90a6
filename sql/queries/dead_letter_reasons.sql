SELECT reason, count(*), sum(octet_length(payload))::bigint
FROM dead_letters WHERE {chosen}
GROUP BY reason ORDER BY count(*) DESC, reason;
