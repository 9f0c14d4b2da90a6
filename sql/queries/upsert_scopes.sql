INSERT INTO scopes (id, name, version, attributes, schema_url, dropped_attributes)
SELECT * FROM unnest(
    %s::bigint[], %s::text[], %s::text[], %s::jsonb[], %s::text[], %s::integer[]
) AS new (id, name, version, attributes, schema_url, dropped_attributes)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET last_seen = CURRENT_DATE
WHERE scopes.last_seen < CURRENT_DATE;
