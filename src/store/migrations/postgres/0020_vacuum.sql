-- Every message changes its row several times, so this table is vacuumed all day. At the server's own pace (2 ms a round) a
-- vacuum takes a core from the lanes for seconds; at 20 ms it takes ten times as long and nobody is late for it.
ALTER TABLE deliveries SET (autovacuum_vacuum_cost_delay = 20);
