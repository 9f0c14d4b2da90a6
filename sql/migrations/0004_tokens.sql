-- Tokens: who may ask over HTTP, and for what. A token itself is kept nowhere.
CREATE TABLE tokens (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32), -- SHA-256 of the token
    name text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz, -- null: never
    revoked_at timestamptz,
    last_used date
);
-- A name is free again once its token is revoked.
CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL;

-- The one thing the reader's role writes: the day on which a token was used. It needs
-- the token's hash, and can change nothing else.
CREATE FUNCTION token_used(used bytea) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
        UPDATE tokens SET last_used = CURRENT_DATE
        WHERE hash = used AND last_used IS DISTINCT FROM CURRENT_DATE;
    END;
