-- What happened day by day, requests to the API, and what is left of what was removed.

-- By how much the counts of days move: one row for each transaction that moved any, a JSON list, removed in the transaction
-- that adds it up.
CREATE TABLE day_feed (
    feed_id UUID PRIMARY KEY,
    moves   TEXT NOT NULL
);
ALTER TABLE day_feed ALTER COLUMN moves SET STORAGE EXTERNAL;

-- How the messages of a day stand, days since 1970 in UTC. A message belongs to the day on which it was sent; one that was
-- not, to the day on which it was settled; one that waits, to the day on which it was accepted.
CREATE TABLE message_days (
    tenant_id          UUID NOT NULL,
    day                BIGINT NOT NULL,
    session_id         UUID NOT NULL,
    campaign_id        UUID NOT NULL,
    waiting            BIGINT NOT NULL,
    sent               BIGINT NOT NULL,
    delivered          BIGINT NOT NULL,
    read               BIGINT NOT NULL,
    failed_limit       BIGINT NOT NULL,
    failed_unavailable BIGINT NOT NULL,
    skipped            BIGINT NOT NULL,
    cancelled          BIGINT NOT NULL,
    unknown            BIGINT NOT NULL,
    -- Of these, those that count for the plan.
    used               BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day, session_id, campaign_id)
) WITH (fillfactor = 50);
INSERT INTO message_days
    SELECT tenant_id, day, session_id, campaign_id,
        SUM(CASE WHEN state IN ('pending', 'sending') THEN n ELSE 0 END),
        SUM(CASE WHEN state = 'sent' THEN n ELSE 0 END),
        SUM(CASE WHEN state = 'delivered' THEN n ELSE 0 END),
        SUM(CASE WHEN state = 'read' THEN n ELSE 0 END),
        SUM(CASE WHEN state = 'failed' AND failure_class = 'LIMIT_EXCEEDED' THEN n ELSE 0 END),
        SUM(CASE WHEN state = 'failed' AND COALESCE(failure_class, '') <> 'LIMIT_EXCEEDED' THEN n ELSE 0 END),
        SUM(CASE WHEN state = 'skipped' THEN n ELSE 0 END),
        SUM(CASE WHEN state = 'cancelled' THEN n ELSE 0 END),
        SUM(CASE WHEN state = 'unknown' THEN n ELSE 0 END),
        SUM(CASE WHEN is_counted AND state IN ('sent', 'delivered', 'read', 'unknown') THEN n ELSE 0 END)
    FROM (SELECT tenant_id, session_id, campaign_id, state, failure_class, quota_period_ms IS NOT NULL AS is_counted,
              (CASE WHEN state IN ('pending', 'sending') THEN created_at_ms
                  ELSE COALESCE(sent_at_ms, settled_at_ms, created_at_ms) END) / 86400000 AS day, COUNT(*) AS n
          FROM deliveries GROUP BY 1, 2, 3, 4, 5, 6, 7) AS counted
    GROUP BY tenant_id, day, session_id, campaign_id;

-- How many contacts there were when it was last looked on a day; a day without a row is as the one before it.
CREATE TABLE contact_days (
    tenant_id  UUID NOT NULL,
    day        BIGINT NOT NULL,
    n_contacts BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day)
) WITH (fillfactor = 50);

-- Requests of a key or a person on a day.
CREATE TABLE request_days (
    tenant_id       UUID NOT NULL,
    day             BIGINT NOT NULL,
    caller_id       UUID NOT NULL,
    is_key          BOOLEAN NOT NULL,
    n_requests      BIGINT NOT NULL,
    -- Of these, those that count for the plan.
    n_counted       BIGINT NOT NULL,
    n_client_errors BIGINT NOT NULL,
    n_server_errors BIGINT NOT NULL,
    duration_ms     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day, caller_id)
) WITH (fillfactor = 50);

-- The latest requests. Ids are in the order of their times.
CREATE TABLE request_log (
    request_log_id UUID PRIMARY KEY,
    tenant_id      UUID NOT NULL,
    at_ms          BIGINT NOT NULL,
    caller_id      UUID NOT NULL,
    is_key         BOOLEAN NOT NULL,
    method         TEXT NOT NULL,
    -- The pattern of the path, without what a caller put into it.
    operation      TEXT NOT NULL,
    status         INTEGER NOT NULL,
    duration_ms    BIGINT NOT NULL,
    request_id     TEXT NOT NULL
);
CREATE INDEX request_log_tenant ON request_log (tenant_id, at_ms);

-- Deliveries that were removed because they are old, as they stood: with these the counters of campaigns can be counted anew.
CREATE TABLE removed_deliveries (
    campaign_id   UUID NOT NULL,
    state         TEXT NOT NULL,
    -- Empty for none.
    failure_class TEXT NOT NULL,
    n             BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, state, failure_class)
) WITH (fillfactor = 50);

-- The key under which a tenant remembers that somebody whom it erased wants no campaigns, and whom, by HMAC-SHA-256.
CREATE TABLE erasure_keys (
    tenant_id   UUID PRIMARY KEY REFERENCES tenants (tenant_id),
    erasure_key BYTEA NOT NULL
);
CREATE TABLE erased_opt_outs (
    tenant_id      UUID NOT NULL,
    recipient_hash BYTEA NOT NULL,
    erased_at_ms   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, recipient_hash)
);
