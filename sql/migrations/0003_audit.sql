-- Audit: who wrote, changed a level or deleted through a door, and what came of it.
-- Rows are only added: no program here changes or deletes one.
CREATE TABLE audit (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    caller text NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('begun', 'done', 'failed', 'refused')),
    arguments jsonb NOT NULL,
    detail jsonb -- what came of it; null: nothing to say
);

CREATE INDEX audit_at ON audit (at);
