INSERT INTO scopes (id, name, version, attributes, schema_url, dropped_attributes)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET last_seen = CURRENT_DATE
WHERE scopes.last_seen < CURRENT_DATE;
