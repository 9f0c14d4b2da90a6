INSERT INTO dead_letters (batch_id, ordinal, home, signal, reason, payload)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING;
