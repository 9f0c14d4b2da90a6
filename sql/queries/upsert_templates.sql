INSERT INTO templates (id, logger, template)
VALUES (%s, %s, %s)
ON CONFLICT (id) DO UPDATE SET last_seen = CURRENT_DATE
WHERE templates.last_seen < CURRENT_DATE;
