//! The statements about leases, on either database.

use crate::store::Sql;
use crate::store::sql::now_ms;

pub(super) const MAKE: Sql = Sql::per_dialect(
    "INSERT INTO partitions (partition_no, n_partitions, fence, leased_until_ms, claimed_at_ms) \
     SELECT no, $2, 0, 0, 0 FROM UNNEST($1::int4[]) AS no ON CONFLICT DO NOTHING",
    "INSERT INTO partitions (partition_no, n_partitions, fence, leased_until_ms, claimed_at_ms) \
     SELECT value, $2, 0, 0, 0 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
);

/// A row that a journal is just using is left out and tried later: its node may stand still in the middle of a
/// transaction, and our own renewals must not wait for that.
pub(super) const LOCK: Sql = Sql::per_dialect(
    concat!(
        "SELECT partition_no, fence, owner_id, owner_name, owner_process, quiet_until_ms - ",
        now_ms!(postgres),
        " AS quiet_ms, leased_until_ms - ",
        now_ms!(postgres),
        " AS left_ms FROM partitions WHERE partition_no = ANY($1) ORDER BY partition_no FOR UPDATE SKIP LOCKED"
    ),
    concat!(
        "SELECT partition_no, fence, owner_id, owner_name, owner_process, quiet_until_ms - ",
        now_ms!(sqlite),
        " AS quiet_ms, leased_until_ms - ",
        now_ms!(sqlite),
        " AS left_ms FROM partitions WHERE partition_no IN (SELECT value FROM json_each($1))"
    ),
);

pub(super) const OTHER_COUNT: Sql = Sql::per_dialect(
    concat!(
        "SELECT n_partitions, owner_name FROM partitions \
         WHERE n_partitions <> $1 AND owner_id IS NOT NULL AND ",
        now_ms!(postgres),
        " < leased_until_ms LIMIT 1"
    ),
    concat!(
        "SELECT n_partitions, owner_name FROM partitions \
         WHERE n_partitions <> $1 AND owner_id IS NOT NULL AND ",
        now_ms!(sqlite),
        " < leased_until_ms LIMIT 1"
    ),
);

pub(super) const CLAIM: Sql = Sql::per_dialect(
    concat!(
        "UPDATE partitions SET fence = fence + 1, n_partitions = $2, owner_id = $3, owner_name = $4, \
             owner_process = $5, quiet_until_ms = CASE WHEN owner_id IS NULL OR $7 THEN quiet_until_ms \
                 WHEN quiet_until_ms < leased_until_ms THEN leased_until_ms ELSE quiet_until_ms END, \
             leased_until_ms = ",
        now_ms!(postgres),
        " + $6, claimed_at_ms = ",
        now_ms!(postgres),
        ", lag = NULL WHERE partition_no = ANY($1)"
    ),
    concat!(
        "UPDATE partitions SET fence = fence + 1, n_partitions = $2, owner_id = $3, owner_name = $4, \
             owner_process = $5, quiet_until_ms = CASE WHEN owner_id IS NULL OR $7 THEN quiet_until_ms \
                 WHEN quiet_until_ms < leased_until_ms THEN leased_until_ms ELSE quiet_until_ms END, \
             leased_until_ms = ",
        now_ms!(sqlite),
        " + $6, claimed_at_ms = ",
        now_ms!(sqlite),
        ", lag = NULL WHERE partition_no IN (SELECT value FROM json_each($1))"
    ),
);

pub(super) const RENEW: Sql = Sql::per_dialect(
    concat!(
        "UPDATE partitions AS p SET lag = u.lag, leased_until_ms = ",
        now_ms!(postgres),
        " + $4 FROM UNNEST($1::int4[], $2::int8[], $3::int8[]) AS u (partition_no, fence, lag) \
         WHERE p.partition_no = u.partition_no AND p.fence = u.fence RETURNING p.partition_no, p.fence"
    ),
    concat!(
        "UPDATE partitions AS p SET lag = u.lag, leased_until_ms = ",
        now_ms!(sqlite),
        " + $2 FROM (SELECT value ->> 0 AS partition_no, value ->> 1 AS fence, value ->> 2 AS lag FROM json_each($1)) \
             AS u \
         WHERE p.partition_no = u.partition_no AND p.fence = u.fence RETURNING partition_no, fence"
    ),
);

pub(super) const RELEASE: Sql = Sql::per_dialect(
    "UPDATE partitions AS p SET owner_id = NULL, owner_name = NULL, owner_process = NULL, leased_until_ms = 0 \
     FROM UNNEST($1::int4[], $2::int8[]) AS u (partition_no, fence) \
     WHERE p.partition_no = u.partition_no AND p.fence = u.fence",
    "UPDATE partitions AS p SET owner_id = NULL, owner_name = NULL, owner_process = NULL, leased_until_ms = 0 \
     FROM (SELECT value ->> 0 AS partition_no, value ->> 1 AS fence FROM json_each($1)) AS u \
     WHERE p.partition_no = u.partition_no AND p.fence = u.fence",
);

pub(super) const LIST: Sql = Sql::per_dialect(
    concat!(
        "SELECT partition_no, fence, owner_name, leased_until_ms - ",
        now_ms!(postgres),
        " AS left_ms, claimed_at_ms, lag FROM partitions ORDER BY partition_no"
    ),
    concat!(
        "SELECT partition_no, fence, owner_name, leased_until_ms - ",
        now_ms!(sqlite),
        " AS left_ms, claimed_at_ms, lag FROM partitions ORDER BY partition_no"
    ),
);

/// Holds the fences as they are until the transaction ends: nobody can claim meanwhile, but leases can be
/// renewed.
pub(super) const HOLD: Sql = Sql::per_dialect(
    "SELECT partition_no, fence FROM partitions WHERE partition_no = ANY($1) ORDER BY partition_no FOR KEY SHARE",
    "SELECT partition_no, fence FROM partitions WHERE partition_no IN (SELECT value FROM json_each($1))",
);

/// Leases by another count of partitions have run out, or nothing would be claimed; their owners must not renew them.
pub(super) const FENCE_OTHERS: Sql = Sql::portable(
    "UPDATE partitions SET fence = fence + 1, n_partitions = $1, owner_id = NULL, owner_name = NULL, \
         owner_process = NULL, leased_until_ms = 0 WHERE n_partitions <> $1",
);
