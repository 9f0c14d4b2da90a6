#!/bin/sh
# Makes the database and its three roles; the postgres image runs it at its first start.
# The owner makes tables and partitions, the writer only adds, the reader only reads:
# what `godot-otel migrate --print-roles` prints, with passwords.
set -eu
psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv owner OWNER_PASSWORD
\getenv writer WRITER_PASSWORD
\getenv reader READER_PASSWORD
CREATE ROLE godot_owner LOGIN PASSWORD :'owner';
CREATE DATABASE godot OWNER godot_owner;
REVOKE ALL ON DATABASE godot FROM PUBLIC;
\connect godot
CREATE ROLE "godot_writer_godot" LOGIN PASSWORD :'writer';
CREATE ROLE "godot_reader_godot" LOGIN PASSWORD :'reader';
ALTER ROLE "godot_reader_godot" IN DATABASE "godot" SET default_transaction_read_only = on;
ALTER ROLE "godot_reader_godot" IN DATABASE "godot" SET statement_timeout = '10s';
ALTER ROLE "godot_reader_godot" IN DATABASE "godot" SET idle_in_transaction_session_timeout = '30s';
GRANT CONNECT ON DATABASE "godot" TO "godot_writer_godot", "godot_reader_godot";
GRANT USAGE ON SCHEMA "public" TO "godot_writer_godot", "godot_reader_godot";
SQL
