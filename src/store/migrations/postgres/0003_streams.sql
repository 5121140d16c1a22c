-- Pacing settings, streams by kind of recipient, and where lanes stand.

-- A session's own pacing settings as JSON, none where it follows the default; the version grows with each change.
ALTER TABLE sessions ADD COLUMN pacing TEXT;
ALTER TABLE sessions ADD COLUMN pacing_version BIGINT NOT NULL DEFAULT 1;
-- Since when it is connected: a lane begins slowly after that.
ALTER TABLE sessions ADD COLUMN connected_at_ms BIGINT;

-- When a number was first linked, whoever links it again: warm-up goes by the age of the number.
CREATE TABLE numbers (
    number             TEXT PRIMARY KEY,
    first_linked_at_ms BIGINT NOT NULL
);

-- The zone of a tenant's people, for recipients whose own is not known.
ALTER TABLE tenants ADD COLUMN time_zone TEXT;

-- A campaign's own pacing as JSON; it only slows down.
ALTER TABLE campaigns ADD COLUMN pacing TEXT;

-- What a lane remembers besides its arrival time: windows of its caps, breaks, the provider's throughput, holds; JSON.
ALTER TABLE lanes ADD COLUMN memory TEXT;
-- When that was written down, by the lane's own count of time: an older state does not replace a newer one.
ALTER TABLE lanes ADD COLUMN saved_at_us BIGINT NOT NULL DEFAULT 0;

-- Deliveries of a campaign in a lane are in streams by band: the recipients' zone, and whether they ever wrote to
-- the session. Those of one stream may be sent, or not, together.
ALTER TABLE deliveries ADD COLUMN band INTEGER NOT NULL DEFAULT 0;
DROP INDEX deliveries_order;
CREATE INDEX deliveries_order ON deliveries (session_id, campaign_id, band, seq);

ALTER TABLE lane_streams ADD COLUMN band INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane_streams ADD COLUMN zone TEXT;
ALTER TABLE lane_streams DROP CONSTRAINT lane_streams_pkey;
ALTER TABLE lane_streams ADD PRIMARY KEY (session_id, campaign_id, band);

-- By which version of the session's settings an attempt was made.
ALTER TABLE attempts ADD COLUMN settings_version BIGINT;
