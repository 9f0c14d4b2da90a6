-- Read through a cursor that holds: what arrives meanwhile is not among these.
SELECT batch_id, ordinal FROM dead_letters WHERE {chosen}
ORDER BY at DESC, batch_id DESC, ordinal
