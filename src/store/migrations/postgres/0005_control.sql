-- What operators hold back and who did it, why sessions and campaigns stand where they stand, and work that is
-- done in steps: putting deliveries back, judging the first recipients, looking for receipts that never came.

-- What is held back now; the subject of everything is the nil id. A row past until_ms holds nothing.
CREATE TABLE suspensions (
    scope        TEXT NOT NULL CHECK (scope IN ('everything', 'tenant', 'session', 'lane')),
    subject      UUID NOT NULL,
    reason       TEXT NOT NULL,
    suspended_by UUID NOT NULL,
    since_ms     BIGINT NOT NULL,
    until_ms     BIGINT,
    PRIMARY KEY (scope, subject)
);

-- Append-only. Who did what to whom; no actor is the system itself. Ids and words only.
CREATE TABLE audit_log (
    audit_id   UUID PRIMARY KEY,
    at_ms      BIGINT NOT NULL,
    actor_id   UUID,
    tenant_id  UUID,
    action     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    details    TEXT NOT NULL,
    request_id TEXT
);

-- Why a session stands where it stands.
ALTER TABLE sessions ADD COLUMN state_reason TEXT;

-- Append-only. What happened to the connection of a session.
CREATE TABLE session_events (
    event_id   UUID PRIMARY KEY,
    tenant_id  UUID NOT NULL,
    session_id UUID NOT NULL,
    event      TEXT NOT NULL,
    state      TEXT NOT NULL,
    from_state TEXT NOT NULL,
    reason     TEXT,
    at_ms      BIGINT NOT NULL
);
CREATE INDEX session_events_session ON session_events (session_id, event_id);

-- To which topic a batch goes.
ALTER TABLE event_batches ADD COLUMN kind TEXT NOT NULL DEFAULT 'delivery' CHECK (kind IN ('delivery', 'session'));

-- Cold recipients of a session that is lost for good go to the campaign's other sessions.
ALTER TABLE campaigns ADD COLUMN failover BOOLEAN NOT NULL DEFAULT FALSE;
-- Which recipients go first, and the budget of failures, as JSON.
ALTER TABLE campaigns ADD COLUMN canary TEXT;
ALTER TABLE campaigns ADD COLUMN guardrails TEXT;
-- Where the canary stands; while it is not over, only recipients below canary_below_seq become jobs.
ALTER TABLE campaigns ADD COLUMN canary_state TEXT CHECK (canary_state IN ('sending', 'judging', 'passed', 'failed'));
ALTER TABLE campaigns ADD COLUMN canary_below_seq BIGINT;
ALTER TABLE campaigns ADD COLUMN canary_settled_at_ms BIGINT;
-- Why the campaign paused itself; none when a person did.
ALTER TABLE campaigns ADD COLUMN pause_reason TEXT;
-- What was counted when the present sample began, as JSON.
ALTER TABLE campaigns ADD COLUMN sample_from TEXT;

-- Failed and skipped deliveries by reason, moved in the transaction of the deliveries.
CREATE TABLE campaign_reasons (
    campaign_id UUID NOT NULL,
    reason      TEXT NOT NULL,
    n           BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, reason)
) WITH (fillfactor = 50);
INSERT INTO campaign_reasons (campaign_id, reason, n)
    SELECT campaign_id, reason, COUNT(*) FROM deliveries
    WHERE state IN ('failed', 'skipped') AND reason IS NOT NULL GROUP BY campaign_id, reason;

-- Deliveries of a campaign that a person puts back in line or declares sent, step by step: what is asked, and the
-- streams that are still to be looked at, each up to its end at that time.
CREATE TABLE recalls (
    campaign_id UUID PRIMARY KEY,
    recall_id   UUID NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('retry_failed', 'resolve_sent', 'resolve_retry')),
    reasons     TEXT,
    actor_id    UUID NOT NULL,
    request_id  TEXT,
    n_moved     BIGINT NOT NULL DEFAULT 0,
    asked_at_ms BIGINT NOT NULL
);
CREATE TABLE recall_streams (
    campaign_id UUID NOT NULL,
    session_id  UUID NOT NULL,
    band        INTEGER NOT NULL,
    after_seq   BIGINT NOT NULL,
    last_seq    BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, session_id, band)
);
-- Attempts from before a person put the delivery back in line; they no longer count against what is allowed.
ALTER TABLE deliveries ADD COLUMN n_attempts_before INTEGER NOT NULL DEFAULT 0;

-- Accepted deliveries of which no receipt came in time, and how far the look for them has come.
CREATE TABLE no_receipts (
    session_id  UUID NOT NULL,
    campaign_id UUID NOT NULL,
    n           BIGINT NOT NULL,
    last_at_ms  BIGINT NOT NULL,
    PRIMARY KEY (session_id, campaign_id)
);
CREATE TABLE looks (
    name        TEXT PRIMARY KEY,
    below_at_ms BIGINT NOT NULL
);
-- The table is append-only and roughly in this order: a small index finds the minute.
CREATE INDEX attempt_outcomes_ended ON attempt_outcomes USING BRIN (ended_at_ms) WITH (pages_per_range = 16);
