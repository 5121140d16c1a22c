-- Pairing codes that wait to be scanned, what was sent through each session, sessions that were removed, and recipients who
-- answer a campaign by opting out.

-- The code that a session waits to be paired by, where every node reads it.
CREATE TABLE session_qrs (
    session_id    UUID PRIMARY KEY REFERENCES sessions (session_id),
    code          TEXT NOT NULL,
    issued_at_ms  BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);

-- What became of the messages of a session: on the last day that has any, days since 1970 in UTC, and ever. Moved in the
-- transaction of the deliveries.
CREATE TABLE session_counters (
    session_id    UUID PRIMARY KEY,
    day           BIGINT NOT NULL,
    day_sent      BIGINT NOT NULL,
    day_failed    BIGINT NOT NULL,
    day_unknown   BIGINT NOT NULL,
    total_sent    BIGINT NOT NULL,
    total_failed  BIGINT NOT NULL,
    total_unknown BIGINT NOT NULL
) WITH (fillfactor = 50);

-- Its messages and its past stay; nobody is shown it any more.
ALTER TABLE sessions ADD COLUMN deleted_at_ms BIGINT;

-- Recipients who opted out after a message of the campaign, while it was not over.
CREATE TABLE campaign_stops (
    campaign_id UUID PRIMARY KEY,
    n           BIGINT NOT NULL
) WITH (fillfactor = 50);
