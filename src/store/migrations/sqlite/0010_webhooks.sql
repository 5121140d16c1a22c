-- Where tenants are told what happens, and what they are told there.

CREATE TABLE webhooks (
    webhook_id        BLOB PRIMARY KEY,
    tenant_id         BLOB NOT NULL REFERENCES tenants (tenant_id),
    url               TEXT NOT NULL,
    -- A JSON list of words.
    events            TEXT NOT NULL,
    -- As it is written, because it must sign.
    secret            TEXT NOT NULL,
    previous_secret   TEXT,
    previous_until_ms INTEGER,
    is_active         INTEGER NOT NULL,
    -- Why it is not active though nobody asked for that.
    disabled_reason   TEXT CHECK (disabled_reason IN ('FAILING', 'GONE', 'BACKLOG')),
    created_at_ms     INTEGER NOT NULL,
    -- What was queued for it goes step by step, then the row.
    deleted_at_ms     INTEGER,
    -- Since when nothing has arrived; none while something does.
    failing_since_ms  INTEGER,
    -- Which node delivers, and until when it may begin something here.
    owner_id          BLOB,
    leased_until_ms   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX webhooks_tenant ON webhooks (tenant_id, webhook_id);

-- Written in the transaction that makes the event, while what it is about is locked: seq is the order of each subject.
CREATE TABLE webhook_deliveries (
    seq                INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_id        BLOB NOT NULL UNIQUE,
    webhook_id         BLOB NOT NULL,
    tenant_id          BLOB NOT NULL,
    event              TEXT NOT NULL,
    -- The message, session or campaign.
    subject_id         BLOB NOT NULL,
    at_ms              INTEGER NOT NULL,
    data               TEXT NOT NULL,
    created_at_ms      INTEGER NOT NULL,
    state              TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    n_attempts         INTEGER NOT NULL DEFAULT 0,
    due_at_ms          INTEGER NOT NULL,
    last_attempt_at_ms INTEGER,
    last_status        INTEGER,
    last_problem       TEXT,
    settled_at_ms      INTEGER
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at_ms, seq) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_subject ON webhook_deliveries (webhook_id, subject_id, seq) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_history ON webhook_deliveries (webhook_id, seq);
