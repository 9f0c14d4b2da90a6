-- For an administrator, once per database; {owner} is who runs `godot-otel migrate`.
CREATE ROLE {writer} LOGIN PASSWORD 'choose one';
CREATE ROLE {reader} LOGIN PASSWORD 'choose another';
ALTER ROLE {reader} IN DATABASE {database} SET default_transaction_read_only = on;
ALTER ROLE {reader} IN DATABASE {database} SET statement_timeout = '10s';
ALTER ROLE {reader} IN DATABASE {database} SET idle_in_transaction_session_timeout = '30s';
GRANT CONNECT ON DATABASE {database} TO {writer}, {reader};
GRANT USAGE ON SCHEMA {schema} TO {writer}, {reader};
-- then, as {owner}: godot-otel migrate (it grants the tables)
