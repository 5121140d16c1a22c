-- Files that are sent along, which messages they wait for, and messages kept to be sent again.

CREATE TABLE media (
    media_id      BLOB PRIMARY KEY,
    tenant_id     BLOB NOT NULL REFERENCES tenants (tenant_id),
    -- What it is, and the end of its name where its bytes are kept.
    extension     TEXT NOT NULL,
    filename      TEXT NOT NULL,
    n_bytes       INTEGER NOT NULL,
    sha256        BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    -- When it goes by itself; none for what was uploaded to be kept.
    expires_at_ms INTEGER
);
-- The same bytes are kept once for each tenant.
CREATE UNIQUE INDEX media_bytes ON media (tenant_id, sha256, extension);
CREATE INDEX media_tenant ON media (tenant_id, media_id);
CREATE INDEX media_expiry ON media (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

-- Single messages that were accepted with a file; whether one still waits is in its delivery.
CREATE TABLE media_uses (
    delivery_id   BLOB PRIMARY KEY,
    media_id      BLOB NOT NULL REFERENCES media (media_id) ON DELETE CASCADE,
    created_at_ms INTEGER NOT NULL
);
CREATE INDEX media_uses_media ON media_uses (media_id);
CREATE INDEX media_uses_age ON media_uses (created_at_ms);

CREATE TABLE message_templates (
    template_id   BLOB PRIMARY KEY,
    tenant_id     BLOB NOT NULL REFERENCES tenants (tenant_id),
    name          TEXT NOT NULL,
    message       TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE INDEX message_templates_tenant ON message_templates (tenant_id, template_id);
