-- What is known of a session and somebody it writes to, beyond the deliveries.

-- When the recipient last wrote to the session, and until when the provider takes no more marketing for them.
CREATE TABLE conversations (
    session_id                UUID NOT NULL,
    recipient                 TEXT NOT NULL,
    last_inbound_at_ms        BIGINT,
    marketing_capped_until_ms BIGINT,
    PRIMARY KEY (session_id, recipient)
) WITH (fillfactor = 50);

-- What recipients write names the session by the provider's name of its number.
CREATE INDEX sessions_phone_number_id ON sessions (phone_number_id);
