-- Keys of programs that call the API, and what was answered to requests that carry an idempotency key.

-- Of a key only its beginning, which is no secret and finds the row, and the SHA-256 of the whole are kept.
CREATE TABLE api_keys (
    api_key_id      UUID PRIMARY KEY,
    tenant_id       UUID NOT NULL REFERENCES tenants (tenant_id),
    name            TEXT NOT NULL,
    prefix          TEXT NOT NULL UNIQUE,
    key_hash        BYTEA NOT NULL,
    -- JSON lists of words and of networks; no network stands for all.
    scopes          TEXT NOT NULL,
    allowed_ips     TEXT NOT NULL,
    created_by      UUID NOT NULL,
    created_at_ms   BIGINT NOT NULL,
    expires_at_ms   BIGINT,
    last_used_at_ms BIGINT
) WITH (fillfactor = 70);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, api_key_id);

-- A row without status is a claim: its request is under way, or its node died before it was answered.
CREATE TABLE idempotency_keys (
    tenant_id       UUID NOT NULL,
    operation       TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    claim_id        UUID NOT NULL,
    fingerprint     BYTEA NOT NULL,
    claimed_at_ms   BIGINT NOT NULL,
    status          INTEGER,
    answer          TEXT,
    PRIMARY KEY (tenant_id, operation, idempotency_key)
) WITH (fillfactor = 70);
CREATE INDEX idempotency_keys_old ON idempotency_keys (claimed_at_ms);
