-- People prove that mail reaches them, set a new password by mail, and end what was given out in their name.

ALTER TABLE users ADD COLUMN email_verified_at_ms INTEGER;

-- All log-ins of a person end together; families that have expired are removed.
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at_ms);

-- What was sent by mail and may be shown once, by its SHA-256; good only while the person still has the address.
CREATE TABLE account_tokens (
    token_hash    BLOB PRIMARY KEY,
    user_id       BLOB NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    kind          TEXT NOT NULL CHECK (kind IN ('verify_email', 'reset_password')),
    email         TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
);
CREATE INDEX account_tokens_user ON account_tokens (user_id, kind, expires_at_ms);
CREATE INDEX account_tokens_expiry ON account_tokens (expires_at_ms);

-- Mails asked for and not sent yet. By address and not by person: asking takes the same work whether anybody has it.
-- There is no secret here, it is drawn when the mail is sent. due_at_ms lies ahead while a node tries.
CREATE TABLE mails (
    mail_id    BLOB PRIMARY KEY,
    email      TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('verify_email', 'reset_password')),
    due_at_ms  INTEGER NOT NULL,
    n_attempts INTEGER NOT NULL DEFAULT 0,
    UNIQUE (email, kind)
);
CREATE INDEX mails_due ON mails (due_at_ms);
