-- Where tenants are told what happens, and what they are told there.

CREATE TABLE webhooks (
    webhook_id        UUID PRIMARY KEY,
    tenant_id         UUID NOT NULL REFERENCES tenants (tenant_id),
    url               TEXT NOT NULL,
    -- A JSON list of words.
    events            TEXT NOT NULL,
    -- As it is written, because it must sign.
    secret            TEXT NOT NULL,
    previous_secret   TEXT,
    previous_until_ms BIGINT,
    is_active         BOOLEAN NOT NULL,
    -- Why it is not active though nobody asked for that.
    disabled_reason   TEXT CHECK (disabled_reason IN ('FAILING', 'GONE', 'BACKLOG')),
    created_at_ms     BIGINT NOT NULL,
    -- What was queued for it goes step by step, then the row.
    deleted_at_ms     BIGINT,
    -- Since when nothing has arrived; none while something does.
    failing_since_ms  BIGINT,
    -- Which node delivers, and until when it may begin something here.
    owner_id          UUID,
    leased_until_ms   BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX webhooks_tenant ON webhooks (tenant_id, webhook_id);

-- Written in the transaction that makes the event, while what it is about is locked: seq is the order of each subject.
CREATE TABLE webhook_deliveries (
    seq                BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id        UUID NOT NULL UNIQUE,
    webhook_id         UUID NOT NULL,
    tenant_id          UUID NOT NULL,
    event              TEXT NOT NULL,
    -- The message, session or campaign.
    subject_id         UUID NOT NULL,
    at_ms              BIGINT NOT NULL,
    data               TEXT NOT NULL,
    created_at_ms      BIGINT NOT NULL,
    state              TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    n_attempts         INTEGER NOT NULL DEFAULT 0,
    due_at_ms          BIGINT NOT NULL,
    last_attempt_at_ms BIGINT,
    last_status        INTEGER,
    last_problem       TEXT,
    settled_at_ms      BIGINT
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at_ms, seq) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_subject ON webhook_deliveries (webhook_id, subject_id, seq) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_history ON webhook_deliveries (webhook_id, seq);
