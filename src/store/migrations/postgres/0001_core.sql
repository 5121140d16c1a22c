-- The core schema. Ids are UUIDs, times UTC milliseconds (…_at_ms), states words.
-- Tables on the message path have no index on a column that changes: it would cost the HOT updates.

CREATE TABLE tenants (
    tenant_id     UUID PRIMARY KEY,
    name          TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE users (
    user_id       UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL REFERENCES tenants (tenant_id),
    email         TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'agent', 'viewer', 'operator')),
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE refresh_tokens (
    token_hash    BYTEA PRIMARY KEY,
    family_id     UUID NOT NULL,
    user_id       UUID NOT NULL REFERENCES users (user_id),
    expires_at_ms BIGINT NOT NULL,
    used_at_ms    BIGINT
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);

CREATE TABLE sessions (
    session_id      UUID PRIMARY KEY,
    tenant_id       UUID NOT NULL REFERENCES tenants (tenant_id),
    name            TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN
        ('disconnected', 'connecting', 'qr_pending', 'connected', 'reconnecting', 'logged_out', 'banned')),
    phone_number    TEXT,
    phone_number_id TEXT,
    rate_per_minute DOUBLE PRECISION,
    burst           INTEGER,
    created_at_ms   BIGINT NOT NULL
);
CREATE INDEX sessions_tenant ON sessions (tenant_id, session_id);

CREATE TABLE campaigns (
    campaign_id    UUID PRIMARY KEY,
    tenant_id      UUID NOT NULL REFERENCES tenants (tenant_id),
    name           TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN
        ('draft', 'scheduled', 'running', 'paused', 'completed', 'cancelled', 'failed')),
    message        TEXT NOT NULL,
    on_unknown     TEXT NOT NULL CHECK (on_unknown IN ('quarantine', 'resend')),
    n_recipients   BIGINT NOT NULL DEFAULT 0,
    expires_at_ms  BIGINT,
    created_at_ms  BIGINT NOT NULL,
    started_at_ms  BIGINT,
    finished_at_ms BIGINT
);
CREATE INDEX campaigns_tenant ON campaigns (tenant_id, campaign_id);

CREATE TABLE campaign_sessions (
    campaign_id UUID NOT NULL REFERENCES campaigns (campaign_id),
    ordinal     INTEGER NOT NULL,
    session_id  UUID NOT NULL REFERENCES sessions (session_id),
    PRIMARY KEY (campaign_id, ordinal)
);

-- The snapshot that a campaign sends to. recipient_id becomes the delivery's id, so that a job
-- written twice asks for the same deliveries.
CREATE TABLE campaign_recipients (
    campaign_id  UUID NOT NULL REFERENCES campaigns (campaign_id),
    seq          BIGINT NOT NULL,
    recipient_id UUID NOT NULL,
    recipient    TEXT NOT NULL,
    variables    TEXT NOT NULL,
    PRIMARY KEY (campaign_id, seq),
    UNIQUE (campaign_id, recipient)
);

-- One row per campaign, moved in the same transaction as the deliveries it counts. The row of the
-- nil campaign counts single messages.
CREATE TABLE campaign_counters (
    campaign_id        UUID PRIMARY KEY,
    accepted           BIGINT NOT NULL DEFAULT 0,
    pending            BIGINT NOT NULL DEFAULT 0,
    sending            BIGINT NOT NULL DEFAULT 0,
    sent               BIGINT NOT NULL DEFAULT 0,
    delivered          BIGINT NOT NULL DEFAULT 0,
    read               BIGINT NOT NULL DEFAULT 0,
    failed_limit       BIGINT NOT NULL DEFAULT 0,
    failed_unavailable BIGINT NOT NULL DEFAULT 0,
    skipped            BIGINT NOT NULL DEFAULT 0,
    cancelled          BIGINT NOT NULL DEFAULT 0,
    unknown            BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- What is to be turned into jobs: a whole job (job), or a campaign from next_seq on.
CREATE TABLE outbox (
    outbox_id     UUID PRIMARY KEY,
    campaign_id   UUID NOT NULL,
    job           TEXT,
    next_seq      BIGINT NOT NULL DEFAULT 0,
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE jobs (
    job_id        UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL,
    session_id    UUID NOT NULL,
    campaign_id   UUID NOT NULL,
    traffic_class TEXT NOT NULL CHECK (traffic_class IN ('transactional', 'bulk')),
    on_unknown    TEXT NOT NULL CHECK (on_unknown IN ('quarantine', 'resend')),
    not_before_ms BIGINT,
    expires_at_ms BIGINT,
    message       TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE deliveries (
    delivery_id         UUID PRIMARY KEY,
    tenant_id           UUID NOT NULL,
    session_id          UUID NOT NULL,
    campaign_id         UUID NOT NULL,
    job_id              UUID NOT NULL,
    seq                 BIGINT NOT NULL,
    recipient           TEXT NOT NULL,
    variables           TEXT NOT NULL,
    created_at_ms       BIGINT NOT NULL,
    state               TEXT NOT NULL DEFAULT 'pending' CHECK (state IN
        ('pending', 'sending', 'sent', 'delivered', 'read', 'failed', 'skipped', 'cancelled', 'unknown')),
    n_attempts          INTEGER NOT NULL DEFAULT 0,
    due_at_ms           BIGINT NOT NULL DEFAULT 0,
    failure_class       TEXT,
    reason              TEXT,
    provider_code       TEXT,
    provider_message_id TEXT,
    sent_at_ms          BIGINT,
    delivered_at_ms     BIGINT,
    read_at_ms          BIGINT,
    settled_at_ms       BIGINT
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);
-- Pending work is found along this index, by columns that never change.
CREATE INDEX deliveries_order ON deliveries (session_id, campaign_id, seq);

-- Append-only. A row here is durable before the first byte of its attempt leaves.
CREATE TABLE attempts (
    delivery_id   UUID NOT NULL,
    attempt_no    INTEGER NOT NULL,
    session_id    UUID NOT NULL,
    started_at_ms BIGINT NOT NULL,
    PRIMARY KEY (delivery_id, attempt_no)
);

-- Append-only. How an attempt ended; an attempt without a row here is under way or was lost track of.
CREATE TABLE attempt_outcomes (
    delivery_id         UUID NOT NULL,
    attempt_no          INTEGER NOT NULL,
    outcome             TEXT NOT NULL CHECK (outcome IN ('accepted', 'deferred', 'rejected', 'unknown', 'withdrawn')),
    failure_class       TEXT,
    reason              TEXT,
    provider_code       TEXT,
    provider_message_id TEXT,
    ended_at_ms         BIGINT NOT NULL,
    PRIMARY KEY (delivery_id, attempt_no)
);

-- Unknown deliveries of jobs that are sent again when nobody settles them; few and short-lived, so
-- that nobody has to look for them among all deliveries.
CREATE TABLE resends (
    delivery_id   UUID PRIMARY KEY,
    unknown_at_ms BIGINT NOT NULL
);

-- Limiter state of each lane: the theoretical arrival time, UTC microseconds.
CREATE TABLE lanes (
    session_id UUID PRIMARY KEY,
    tat_us     BIGINT NOT NULL
) WITH (fillfactor = 50);

-- Which campaigns have work in which lane; everything below done_below_seq is settled.
CREATE TABLE lane_streams (
    session_id     UUID NOT NULL,
    campaign_id    UUID NOT NULL,
    traffic_class  TEXT NOT NULL CHECK (traffic_class IN ('transactional', 'bulk')),
    done_below_seq BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (session_id, campaign_id)
);
