INSERT INTO resources
    (id, service, environment, version, attributes, schema_url, dropped_attributes)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET last_seen = CURRENT_DATE
WHERE resources.last_seen < CURRENT_DATE;
