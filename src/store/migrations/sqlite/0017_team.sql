-- People of one tenant, invited by mail; and every call that changes something, written down for good.

-- One is open for an address of a tenant; another one replaces it. What is over is kept for a while, so that whoever
-- comes with its mail is told why.
CREATE TABLE invitations (
    invitation_id BLOB PRIMARY KEY,
    tenant_id     BLOB NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    email         TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'agent', 'viewer')),
    state         TEXT NOT NULL CHECK (state IN ('open', 'accepted', 'withdrawn', 'replaced')),
    invited_by    BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX invitations_open ON invitations (tenant_id, email) WHERE state = 'open';
CREATE INDEX invitations_expiry ON invitations (expires_at_ms);

-- What was sent by mail to whoever is invited, by its SHA-256; of a mail that was sent twice both are good.
CREATE TABLE invitation_tokens (
    token_hash    BLOB PRIMARY KEY,
    invitation_id BLOB NOT NULL REFERENCES invitations (invitation_id) ON DELETE CASCADE
);
CREATE INDEX invitation_tokens_invitation ON invitation_tokens (invitation_id);

CREATE INDEX users_tenant ON users (tenant_id, created_at_ms, user_id);

-- Several tenants may invite one address: about_id is the invitation, and nil for every other mail. SQLite changes no
-- constraint, so the table is made anew.
CREATE TABLE mails_anew (
    mail_id    BLOB PRIMARY KEY,
    email      TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('verify_email', 'reset_password', 'invitation')),
    due_at_ms  INTEGER NOT NULL,
    n_attempts INTEGER NOT NULL DEFAULT 0,
    about_id   BLOB NOT NULL DEFAULT x'00000000000000000000000000000000',
    UNIQUE (email, kind, about_id)
);
INSERT INTO mails_anew (mail_id, email, kind, due_at_ms, n_attempts)
    SELECT mail_id, email, kind, due_at_ms, n_attempts FROM mails;
DROP TABLE mails;
ALTER TABLE mails_anew RENAME TO mails;
CREATE INDEX mails_due ON mails (due_at_ms);

-- Whether actor_id is a key; whether it is a call of the API and not a deed of a service.
ALTER TABLE audit_log ADD COLUMN is_key INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_log ADD COLUMN is_call INTEGER NOT NULL DEFAULT 0;
CREATE INDEX audit_log_deeds ON audit_log (audit_id) WHERE NOT is_call;
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, at_ms, audit_id);
CREATE INDEX audit_log_actor ON audit_log (tenant_id, actor_id, at_ms, audit_id);
CREATE INDEX audit_log_action ON audit_log (tenant_id, action, at_ms, audit_id);
CREATE INDEX audit_log_subject ON audit_log (tenant_id, subject, at_ms, audit_id);

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only added to');
END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only added to');
END;
