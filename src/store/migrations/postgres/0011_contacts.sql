-- People whom a tenant knows, in groups; who of them and of everybody else wants no campaigns; and what campaigns
-- make of all that.

-- Held by whoever changes contacts or groups of the tenant, so that the plan's limit is never passed.
CREATE TABLE contact_books (
    tenant_id  UUID PRIMARY KEY REFERENCES tenants (tenant_id),
    n_contacts BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE contacts (
    contact_id    UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL REFERENCES tenants (tenant_id),
    phone         TEXT COLLATE "C" NOT NULL,
    name          TEXT NOT NULL,
    email         TEXT,
    time_zone     TEXT,
    attributes    TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    UNIQUE (tenant_id, phone)
);
CREATE INDEX contacts_tenant ON contacts (tenant_id, contact_id);

-- The name of a contact from each of its words on, in lower case: people are looked for by any word. n_shared is how many
-- characters it has in common with the one before it of the same contact, which a shorter search finds already.
CREATE TABLE contact_names (
    tenant_id  UUID NOT NULL,
    tail       TEXT COLLATE "C" NOT NULL,
    contact_id UUID NOT NULL,
    n_shared   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, tail, contact_id) INCLUDE (n_shared)
);

CREATE TABLE contact_groups (
    group_id      UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL REFERENCES tenants (tenant_id),
    name          TEXT NOT NULL,
    n_contacts    BIGINT NOT NULL DEFAULT 0,
    created_at_ms BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE INDEX contact_groups_tenant ON contact_groups (tenant_id, group_id);

CREATE TABLE contact_group_members (
    group_id   UUID NOT NULL REFERENCES contact_groups (group_id) ON DELETE CASCADE,
    contact_id UUID NOT NULL REFERENCES contacts (contact_id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, contact_id)
);
CREATE INDEX contact_group_members_contact ON contact_group_members (contact_id, group_id);

-- Who has opted out, whether a contact or not. A row that is not out any more keeps when that was said, so that an older
-- word that comes later changes nothing.
CREATE TABLE opt_outs (
    tenant_id     UUID NOT NULL,
    -- Of the same collation as phones of contacts, or their join could not use the key.
    recipient     TEXT COLLATE "C" NOT NULL,
    is_out        BOOLEAN NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    changed_by    TEXT NOT NULL CHECK (changed_by IN ('recipient', 'user', 'import')),
    PRIMARY KEY (tenant_id, recipient)
) WITH (fillfactor = 50);

-- Whom a campaign passes over at the moment of sending.
ALTER TABLE campaigns ADD COLUMN respect_opt_in BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE campaigns ADD COLUMN skip_duplicates_hours INTEGER;

-- Where the recipient lives, if the contact says so.
ALTER TABLE campaign_recipients ADD COLUMN time_zone TEXT;

-- What somebody was sent; of columns that never change.
CREATE INDEX deliveries_recipient ON deliveries (tenant_id, recipient);
