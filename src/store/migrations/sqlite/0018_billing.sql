-- Payments: orders, what was paid, invoices, coupons and add-ons; and where a subscription goes with time.

-- Whoever changes what a tenant orders or pays holds its row first of all.
CREATE TABLE billing_accounts (
    tenant_id BLOB PRIMARY KEY REFERENCES tenants (tenant_id)
);

-- When the present part of its life ends; none while it renews itself, and when it is over for good.
ALTER TABLE subscriptions ADD COLUMN ends_at_ms INTEGER;
ALTER TABLE subscriptions ADD COLUMN cancels INTEGER NOT NULL DEFAULT FALSE;
-- What follows the present period: another plan, or one that is paid already until a time.
ALTER TABLE subscriptions ADD COLUMN next_plan TEXT REFERENCES plans (slug);
ALTER TABLE subscriptions ADD COLUMN next_until_ms INTEGER;
-- When time moves it, for whoever looks for those.
ALTER TABLE subscriptions ADD COLUMN due_at_ms INTEGER;
UPDATE subscriptions SET
    ends_at_ms = (SELECT u.period_end_ms FROM usage u WHERE u.tenant_id = subscriptions.tenant_id),
    due_at_ms = (SELECT u.period_end_ms FROM usage u WHERE u.tenant_id = subscriptions.tenant_id)
WHERE state = 'trialing';
CREATE INDEX subscriptions_due ON subscriptions (due_at_ms) WHERE due_at_ms IS NOT NULL;

-- What can be bought beside a plan. Rows that tenants have are copied, so a change holds for new ones only.
CREATE TABLE addons (
    slug        TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    meter       TEXT NOT NULL CHECK (meter IN ('messages', 'sessions', 'api_requests', 'campaigns', 'contacts')),
    amount      INTEGER NOT NULL,
    price_cents INTEGER NOT NULL,
    currency    TEXT NOT NULL,
    is_active   INTEGER NOT NULL
);
INSERT INTO addons (slug, name, meter, amount, price_cents, currency, is_active) VALUES
    ('messages-5000',  '5,000 messages',      'messages',     5000,  39900, 'INR', TRUE),
    ('session',        'One session',         'sessions',     1,     19900, 'INR', TRUE),
    ('requests-50000', '50,000 API requests', 'api_requests', 50000, 29900, 'INR', TRUE),
    ('contacts-10000', '10,000 contacts',     'contacts',     10000, 19900, 'INR', TRUE);

CREATE TABLE tenant_addons (
    tenant_addon_id BLOB PRIMARY KEY,
    tenant_id       BLOB NOT NULL REFERENCES tenants (tenant_id),
    addon           TEXT NOT NULL REFERENCES addons (slug),
    name            TEXT NOT NULL,
    meter           TEXT NOT NULL,
    amount          INTEGER NOT NULL,
    price_cents     INTEGER NOT NULL,
    currency        TEXT NOT NULL,
    -- Whether the next period of the subscription is to have it too.
    renews          INTEGER NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    until_ms        INTEGER NOT NULL,
    ended_at_ms     INTEGER
);
CREATE INDEX tenant_addons_present ON tenant_addons (tenant_id) WHERE ended_at_ms IS NULL;

-- Either percent, or amount_cents of currency.
CREATE TABLE coupons (
    code          TEXT PRIMARY KEY,
    percent       INTEGER,
    amount_cents  INTEGER,
    currency      TEXT,
    from_ms       INTEGER,
    until_ms      INTEGER,
    max_uses      INTEGER,
    n_uses        INTEGER NOT NULL DEFAULT 0,
    is_active     INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
);

CREATE TABLE billing_orders (
    order_id          BLOB PRIMARY KEY,
    tenant_id         BLOB NOT NULL REFERENCES tenants (tenant_id),
    kind              TEXT NOT NULL CHECK (kind IN ('period', 'upgrade', 'addon')),
    plan              TEXT NOT NULL REFERENCES plans (slug),
    addon             TEXT REFERENCES addons (slug),
    coupon            TEXT REFERENCES coupons (code),
    lines             TEXT NOT NULL,
    gross_cents       INTEGER NOT NULL,
    discount_cents    INTEGER NOT NULL,
    amount_cents      INTEGER NOT NULL,
    currency          TEXT NOT NULL,
    provider          TEXT NOT NULL CHECK (provider IN ('razorpay', 'manual')),
    provider_order_id TEXT UNIQUE,
    state             TEXT NOT NULL CHECK (state IN ('open', 'replaced', 'lapsed', 'paid', 'unapplied')),
    created_at_ms     INTEGER NOT NULL,
    paid_at_ms        INTEGER
);
CREATE INDEX billing_orders_tenant ON billing_orders (tenant_id, order_id);
CREATE INDEX billing_orders_coupon ON billing_orders (created_at_ms) WHERE coupon IS NOT NULL AND state IN ('open', 'replaced');

-- Each tenant has a coupon once; a row goes when its order has lapsed.
CREATE TABLE coupon_uses (
    code      TEXT NOT NULL REFERENCES coupons (code),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    order_id  BLOB NOT NULL REFERENCES billing_orders (order_id),
    PRIMARY KEY (code, tenant_id)
);

CREATE TABLE payments (
    payment_id          BLOB PRIMARY KEY,
    tenant_id           BLOB NOT NULL REFERENCES tenants (tenant_id),
    order_id            BLOB NOT NULL REFERENCES billing_orders (order_id),
    provider            TEXT NOT NULL,
    provider_payment_id TEXT NOT NULL,
    state               TEXT NOT NULL CHECK (state IN ('captured', 'failed')),
    -- Whether the order got what was paid for.
    is_applied          INTEGER NOT NULL,
    amount_cents        INTEGER NOT NULL,
    currency            TEXT NOT NULL,
    at_ms               INTEGER NOT NULL,
    UNIQUE (provider, provider_payment_id)
);
CREATE INDEX payments_tenant ON payments (tenant_id, payment_id);

-- What the provider told, by its names, so that what comes again is known.
CREATE TABLE payment_events (
    event_id TEXT PRIMARY KEY,
    at_ms    INTEGER NOT NULL
);
CREATE INDEX payment_events_old ON payment_events (at_ms);

-- The last number given out; whoever gives out the next holds the row until the invoice is there, so none is missing.
CREATE TABLE invoice_numbers (
    series  TEXT PRIMARY KEY,
    last_no INTEGER NOT NULL
);
INSERT INTO invoice_numbers (series, last_no) VALUES ('INV', 0);

-- Never changed.
CREATE TABLE invoices (
    invoice_id     BLOB PRIMARY KEY,
    tenant_id      BLOB NOT NULL REFERENCES tenants (tenant_id),
    invoice_no     INTEGER NOT NULL UNIQUE,
    order_id       BLOB NOT NULL UNIQUE REFERENCES billing_orders (order_id),
    buyer          TEXT NOT NULL,
    lines          TEXT NOT NULL,
    gross_cents    INTEGER NOT NULL,
    discount_cents INTEGER NOT NULL,
    total_cents    INTEGER NOT NULL,
    currency       TEXT NOT NULL,
    issued_at_ms   INTEGER NOT NULL
);
CREATE INDEX invoices_tenant ON invoices (tenant_id, invoice_no);

CREATE TRIGGER invoices_stay_as_they_are BEFORE UPDATE ON invoices BEGIN
    SELECT RAISE(ABORT, 'invoices are never changed');
END;
CREATE TRIGGER invoices_stay BEFORE DELETE ON invoices BEGIN
    SELECT RAISE(ABORT, 'invoices are never changed');
END;
