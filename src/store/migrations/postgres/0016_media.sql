-- Files that are sent along, which messages they wait for, and messages kept to be sent again.

CREATE TABLE media (
    media_id      UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL REFERENCES tenants (tenant_id),
    -- What it is, and the end of its name where its bytes are kept.
    extension     TEXT NOT NULL,
    filename      TEXT NOT NULL,
    n_bytes       BIGINT NOT NULL,
    sha256        BYTEA NOT NULL,
    created_at_ms BIGINT NOT NULL,
    -- When it goes by itself; none for what was uploaded to be kept.
    expires_at_ms BIGINT
);
-- The same bytes are kept once for each tenant.
CREATE UNIQUE INDEX media_bytes ON media (tenant_id, sha256, extension);
CREATE INDEX media_tenant ON media (tenant_id, media_id);
CREATE INDEX media_expiry ON media (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

-- Single messages that were accepted with a file; whether one still waits is in its delivery.
CREATE TABLE media_uses (
    delivery_id   UUID PRIMARY KEY,
    media_id      UUID NOT NULL REFERENCES media (media_id) ON DELETE CASCADE,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX media_uses_media ON media_uses (media_id);
CREATE INDEX media_uses_age ON media_uses (created_at_ms);

CREATE TABLE message_templates (
    template_id   UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL REFERENCES tenants (tenant_id),
    name          TEXT NOT NULL,
    message       TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE INDEX message_templates_tenant ON message_templates (tenant_id, template_id);
