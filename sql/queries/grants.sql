-- What the writer and the reader may do; run by the owner after every migration.
-- {writer} and {reader} are role names, quoted by the program.
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader};
GRANT SELECT ON settings, partitions, batches, schema_migrations TO {writer};
GRANT INSERT ON logs, word_filters, trace_index, log_counts, late_hours, batches, dead_letters, audit TO {writer};
GRANT SELECT, INSERT, UPDATE ON resources, scopes, templates, emitters TO {writer};
