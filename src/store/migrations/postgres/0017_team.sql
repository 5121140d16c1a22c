-- People of one tenant, invited by mail; and every call that changes something, written down for good.

-- One is open for an address of a tenant; another one replaces it. What is over is kept for a while, so that whoever
-- comes with its mail is told why.
CREATE TABLE invitations (
    invitation_id UUID PRIMARY KEY,
    tenant_id     UUID NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    email         TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'agent', 'viewer')),
    state         TEXT NOT NULL CHECK (state IN ('open', 'accepted', 'withdrawn', 'replaced')),
    invited_by    UUID NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX invitations_open ON invitations (tenant_id, email) WHERE state = 'open';
CREATE INDEX invitations_expiry ON invitations (expires_at_ms);

-- What was sent by mail to whoever is invited, by its SHA-256; of a mail that was sent twice both are good.
CREATE TABLE invitation_tokens (
    token_hash    BYTEA PRIMARY KEY,
    invitation_id UUID NOT NULL REFERENCES invitations (invitation_id) ON DELETE CASCADE
);
CREATE INDEX invitation_tokens_invitation ON invitation_tokens (invitation_id);

CREATE INDEX users_tenant ON users (tenant_id, created_at_ms, user_id);

-- Several tenants may invite one address: about_id is the invitation, and nil for every other mail.
ALTER TABLE mails ADD COLUMN about_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE mails DROP CONSTRAINT mails_email_kind_key;
ALTER TABLE mails ADD UNIQUE (email, kind, about_id);
ALTER TABLE mails DROP CONSTRAINT mails_kind_check;
ALTER TABLE mails ADD CONSTRAINT mails_kind_check CHECK (kind IN ('verify_email', 'reset_password', 'invitation'));

-- Whether actor_id is a key; whether it is a call of the API and not a deed of a service.
ALTER TABLE audit_log ADD COLUMN is_key BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE audit_log ADD COLUMN is_call BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX audit_log_deeds ON audit_log (audit_id) WHERE NOT is_call;
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, at_ms, audit_id);
CREATE INDEX audit_log_actor ON audit_log (tenant_id, actor_id, at_ms, audit_id);
CREATE INDEX audit_log_action ON audit_log (tenant_id, action, at_ms, audit_id);
CREATE INDEX audit_log_subject ON audit_log (tenant_id, subject, at_ms, audit_id);

CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();
