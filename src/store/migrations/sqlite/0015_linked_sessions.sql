-- Pairing codes that wait to be scanned, what was sent through each session, sessions that were removed, and recipients who
-- answer a campaign by opting out.

-- The code that a session waits to be paired by, where every node reads it.
CREATE TABLE session_qrs (
    session_id    BLOB PRIMARY KEY REFERENCES sessions (session_id),
    code          TEXT NOT NULL,
    issued_at_ms  INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
);

-- What became of the messages of a session: on the last day that has any, days since 1970 in UTC, and ever. Moved in the
-- transaction of the deliveries.
CREATE TABLE session_counters (
    session_id    BLOB PRIMARY KEY,
    day           INTEGER NOT NULL,
    day_sent      INTEGER NOT NULL,
    day_failed    INTEGER NOT NULL,
    day_unknown   INTEGER NOT NULL,
    total_sent    INTEGER NOT NULL,
    total_failed  INTEGER NOT NULL,
    total_unknown INTEGER NOT NULL
);

-- Its messages and its past stay; nobody is shown it any more.
ALTER TABLE sessions ADD COLUMN deleted_at_ms INTEGER;

-- Recipients who opted out after a message of the campaign, while it was not over.
CREATE TABLE campaign_stops (
    campaign_id BLOB PRIMARY KEY,
    n           INTEGER NOT NULL
);
