-- What the daemon looks through every other second: few, whatever the number of campaigns that are over.
CREATE INDEX campaigns_open ON campaigns (campaign_id) WHERE state IN ('running', 'paused');
