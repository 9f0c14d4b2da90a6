-- In one statement, because a new service brings thousands; in the order of their ids,
-- or two collectors with the same new ones could wait for each other.
INSERT INTO templates (id, logger, template)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS new (id, logger, template)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET last_seen = CURRENT_DATE
WHERE templates.last_seen < CURRENT_DATE;
