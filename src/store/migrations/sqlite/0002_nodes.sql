-- Several nodes on one database: who owns which partition, how far a stream was filled, and what is still
-- to be told to others.

-- Each session belongs to one partition by its id. The fence grows with every lease; a write of dispatch that
-- names an older one is refused. Times are the database's own, so that nodes need not agree on theirs.
CREATE TABLE partitions (
    partition_no    INTEGER PRIMARY KEY,
    n_partitions    INTEGER NOT NULL,
    fence           INTEGER NOT NULL,
    owner_id        BLOB,
    owner_name      TEXT,
    owner_process   TEXT,
    leased_until_ms INTEGER NOT NULL,
    -- Until when an owner that was overruled may still be sending; stays when the lease is given back.
    quiet_until_ms  INTEGER NOT NULL DEFAULT 0,
    claimed_at_ms   INTEGER NOT NULL,
    lag             INTEGER
);

-- The last place given out in a stream. Places only grow, in the order of commits, whichever node admits.
ALTER TABLE lane_streams ADD COLUMN last_seq INTEGER NOT NULL DEFAULT 0;
-- Streams that are there go on behind their last delivery, whatever the clock says by now.
UPDATE lane_streams SET last_seq = COALESCE(
    (SELECT MAX(d.seq) FROM deliveries d
     WHERE d.session_id = lane_streams.session_id AND d.campaign_id = lane_streams.campaign_id), 0);

-- When a message had certainly left by, told by a receipt that came before the answer to it: the node that
-- sends may die before it has saved the lane's pace.
ALTER TABLE lanes ADD COLUMN left_by_us INTEGER;

-- What a delivery asks for, so that the same id with another content is noticed; none on rows from before.
ALTER TABLE deliveries ADD COLUMN fingerprint INTEGER;

-- A single message stays here until it is admitted, so that it can be found all the time.
ALTER TABLE outbox ADD COLUMN handed_on_at_ms INTEGER;
-- What is still to be handed on is found without reading past what was.
CREATE INDEX outbox_open ON outbox (outbox_id) WHERE handed_on_at_ms IS NULL;

-- Changes of state, one row per transaction that made any, until they are on the topic of events.
CREATE TABLE event_batches (
    batch_id      BLOB PRIMARY KEY,
    node_id       BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    events        TEXT NOT NULL
);
