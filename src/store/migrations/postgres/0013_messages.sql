-- Single messages that wait for their time, or were cancelled before they were admitted; and lists of all messages.

-- Whose message a row is, and to whom; none for campaigns and for jobs of older programs.
ALTER TABLE outbox ADD COLUMN tenant_id UUID;
ALTER TABLE outbox ADD COLUMN session_id UUID;
ALTER TABLE outbox ADD COLUMN recipient TEXT;
-- Its message is admitted as cancelled.
ALTER TABLE outbox ADD COLUMN cancelled_at_ms BIGINT;
CREATE INDEX outbox_tenant ON outbox (tenant_id, created_at_ms) WHERE tenant_id IS NOT NULL;

-- Messages that go into the outbox when they are due. Rows are never changed, only removed.
CREATE TABLE scheduled_messages (
    delivery_id   UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL REFERENCES tenants (tenant_id),
    session_id    UUID NOT NULL,
    recipient     TEXT NOT NULL,
    job           TEXT NOT NULL,
    due_at_ms     BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX scheduled_messages_due ON scheduled_messages (due_at_ms, delivery_id);
CREATE INDEX scheduled_messages_tenant ON scheduled_messages (tenant_id, due_at_ms, delivery_id);

-- Lists go along these, newest first; of columns that do not change in a usual life. The time alone comes last, and not the
-- id too: what was admitted together then shares one entry.
CREATE INDEX deliveries_tenant ON deliveries (tenant_id, created_at_ms);
CREATE INDEX deliveries_session ON deliveries (tenant_id, session_id, created_at_ms);
CREATE INDEX deliveries_campaign ON deliveries (tenant_id, campaign_id, created_at_ms);
DROP INDEX deliveries_recipient;
CREATE INDEX deliveries_recipient ON deliveries (tenant_id, recipient, created_at_ms);
