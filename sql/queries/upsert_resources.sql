INSERT INTO resources
    (id, service, environment, version, attributes, schema_url, dropped_attributes)
SELECT * FROM unnest(
    %s::bigint[], %s::text[], %s::text[], %s::text[], %s::jsonb[], %s::text[],
    %s::integer[]
) AS new (id, service, environment, version, attributes, schema_url, dropped_attributes)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET last_seen = CURRENT_DATE
WHERE resources.last_seen < CURRENT_DATE;
