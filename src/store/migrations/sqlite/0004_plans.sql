-- Plans, who has which, and what was used of them; and what the provider's tier leaves of new recipients.

-- None in a max_… column stands for no limit.
CREATE TABLE plans (
    slug             TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    price_cents      INTEGER NOT NULL,
    currency         TEXT NOT NULL,
    max_messages     INTEGER,
    max_sessions     INTEGER,
    max_api_requests INTEGER,
    max_campaigns    INTEGER,
    max_contacts     INTEGER
);
INSERT INTO plans (slug, name, price_cents, currency, max_messages, max_sessions, max_api_requests, max_campaigns,
    max_contacts)
VALUES
    ('trial',      'Trial',      0,      'INR', 500,    1,  1000,   5,    500),
    ('starter',    'Starter',    49900,  'INR', 5000,   1,  10000,  50,   5000),
    ('growth',     'Growth',     99900,  'INR', 25000,  5,  100000, 250,  25000),
    ('business',   'Business',   249900, 'INR', 100000, 15, 500000, 1000, 100000),
    ('enterprise', 'Enterprise', 599900, 'INR', NULL,   50, NULL,   NULL, NULL);

-- A tenant without a row here has no limits.
CREATE TABLE subscriptions (
    tenant_id     BLOB PRIMARY KEY REFERENCES tenants (tenant_id),
    plan          TEXT NOT NULL REFERENCES plans (slug),
    state         TEXT NOT NULL CHECK (state IN ('trialing', 'active', 'past_due', 'cancelled', 'expired')),
    changed_at_ms INTEGER NOT NULL
);

-- One row per subscription, moved in the same transaction as the deliveries it counts. Whoever spends locks this row
-- alone, so it has its own copy of what decides: the period, and the plan's limit of messages.
CREATE TABLE usage (
    tenant_id         BLOB PRIMARY KEY REFERENCES subscriptions (tenant_id),
    period_start_ms   INTEGER NOT NULL,
    period_end_ms     INTEGER NOT NULL,
    -- Periods end whole calendar months away from it.
    anchor_ms         INTEGER NOT NULL,
    -- From then on nothing may be sent or made; none while the subscription renews itself.
    active_until_ms   INTEGER,
    max_messages      INTEGER,
    messages_used     INTEGER NOT NULL DEFAULT 0,
    messages_sending  INTEGER NOT NULL DEFAULT 0,
    messages_reserved INTEGER NOT NULL DEFAULT 0,
    messages_waiting  INTEGER NOT NULL DEFAULT 0,
    campaigns         INTEGER NOT NULL DEFAULT 0
);

-- Apart from usage, so that a request waits for no delivery.
CREATE TABLE request_usage (
    tenant_id       BLOB PRIMARY KEY REFERENCES subscriptions (tenant_id),
    period_start_ms INTEGER NOT NULL,
    n_requests      INTEGER NOT NULL DEFAULT 0
);

-- What the delivery takes of the messages of its plan, together with its state: none nothing, whatever the state; 0
-- nothing yet or any more; else the beginning of a period.
ALTER TABLE deliveries ADD COLUMN quota_period_ms INTEGER;

-- What becomes of deliveries for which the plan has no message left.
ALTER TABLE jobs ADD COLUMN on_limit TEXT NOT NULL DEFAULT 'hold' CHECK (on_limit IN ('hold', 'fail'));
ALTER TABLE campaigns ADD COLUMN on_limit TEXT NOT NULL DEFAULT 'hold' CHECK (on_limit IN ('hold', 'fail'));

-- The provider's account, where several sessions share one, and how many recipients it may write to in 24 hours.
ALTER TABLE sessions ADD COLUMN account_id TEXT;
ALTER TABLE sessions ADD COLUMN tier INTEGER;

-- Held by whoever counts for the account.
CREATE TABLE tier_accounts (
    account_id    TEXT PRIMARY KEY,
    counted_at_ms INTEGER NOT NULL
);

-- Whom the account wrote to first in the last 24 hours. Rows are never changed, only removed and made anew.
CREATE TABLE tier_recipients (
    account_id    TEXT NOT NULL,
    recipient     TEXT NOT NULL,
    counted_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, recipient)
);
CREATE INDEX tier_recipients_old ON tier_recipients (account_id, counted_at_ms);

-- The same, counted by quarters of an hour.
CREATE TABLE tier_uses (
    account_id   TEXT NOT NULL,
    slot_no      INTEGER NOT NULL,
    n_recipients INTEGER NOT NULL,
    PRIMARY KEY (account_id, slot_no)
);
