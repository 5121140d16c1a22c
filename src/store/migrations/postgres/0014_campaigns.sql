-- Campaigns that start by themselves, that are changed and removed; and who listens to what happens.

-- When it starts by itself, in which zone people think of that time, and why it did not start then.
ALTER TABLE campaigns ADD COLUMN scheduled_at_ms BIGINT;
ALTER TABLE campaigns ADD COLUMN time_zone TEXT;
ALTER TABLE campaigns ADD COLUMN schedule_problem TEXT;
-- Grows with every change that a person makes of its settings: of two at once one sees the other's.
ALTER TABLE campaigns ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
-- Removed for the people of the tenant; its messages and their numbers stay.
ALTER TABLE campaigns ADD COLUMN deleted_at_ms BIGINT;
CREATE INDEX campaigns_due ON campaigns (scheduled_at_ms, campaign_id) WHERE state = 'scheduled';
CREATE INDEX campaigns_open_of_tenant ON campaigns (tenant_id) WHERE state IN ('running', 'paused');
-- Those whose recipients are still to be forgotten.
CREATE INDEX campaigns_deleted ON campaigns (campaign_id) WHERE deleted_at_ms IS NOT NULL AND n_recipients > 0;

-- Which tenants somebody listens to, on which node; what happens is put down for them only.
CREATE TABLE realtime_listeners (
    tenant_id UUID NOT NULL,
    node_id   UUID NOT NULL,
    until_ms  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, node_id)
);

-- What happened to those tenants in the last seconds: one row for each transaction, a JSON list.
CREATE TABLE realtime_feed (
    feed_id       UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL,
    created_at_ms BIGINT NOT NULL,
    news          TEXT NOT NULL
);
CREATE INDEX realtime_feed_order ON realtime_feed (created_at_ms);
