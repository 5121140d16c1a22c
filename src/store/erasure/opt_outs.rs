//! Who was erased and wants no campaigns, remembered without saying who that is.
//!
//! By HMAC-SHA-256 under a key of the tenant. When the tenant names the same recipient again, by a contact or a message, what
//! was said holds as before: then the tenant knows who that is anyway.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::store::bind::{hex_list, to_json};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, StoreError};

const KEYS: Sql = Sql::per_dialect(
    "SELECT tenant_id, erasure_key FROM erasure_keys WHERE tenant_id = ANY($1) ORDER BY tenant_id",
    "SELECT tenant_id, erasure_key FROM erasure_keys WHERE tenant_id IN (SELECT unhex(value) FROM json_each($1)) \
     ORDER BY tenant_id",
);
const KNOWN: Sql = Sql::per_dialect(
    "SELECT recipient_hash, erased_at_ms FROM erased_opt_outs WHERE tenant_id = $1 AND recipient_hash = ANY($2)",
    "SELECT recipient_hash, erased_at_ms FROM erased_opt_outs WHERE tenant_id = $1 \
     AND recipient_hash IN (SELECT unhex(value) FROM json_each($2))",
);
/// Whatever was said since is later.
const REMEMBER: Sql = Sql::portable(
    "INSERT INTO opt_outs (tenant_id, recipient, is_out, changed_at_ms, changed_by) VALUES ($1, $2, TRUE, $3, 'recipient') \
     ON CONFLICT DO NOTHING",
);

/// The first one stays, whoever comes.
const MAKE_KEY: Sql = Sql::portable(
    "INSERT INTO erasure_keys AS k (tenant_id, erasure_key) VALUES ($1, $2) \
     ON CONFLICT (tenant_id) DO UPDATE SET erasure_key = k.erasure_key RETURNING erasure_key",
);
const FORGET: Sql = Sql::portable("DELETE FROM opt_outs WHERE tenant_id = $1 AND recipient = $2 RETURNING is_out");
const KEEP: Sql = Sql::portable(
    "INSERT INTO erased_opt_outs (tenant_id, recipient_hash, erased_at_ms) VALUES ($1, $2, $3) \
     ON CONFLICT (tenant_id, recipient_hash) DO UPDATE SET erased_at_ms = EXCLUDED.erased_at_ms",
);
const FORGET_HASH: Sql = Sql::portable("DELETE FROM erased_opt_outs WHERE tenant_id = $1 AND recipient_hash = $2");

fn hash(key: &[u8], recipient: &str) -> Vec<u8> {
    let mut keyed = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is right");
    keyed.update(recipient.as_bytes());
    keyed.finalize().into_bytes().to_vec()
}

impl Tx {
    /// Lets what was said by recipients hold who were erased since; to be called behind everything but counters.
    ///
    /// A tenant that erased nobody costs one read by its key.
    pub(in crate::store) async fn remember_opt_outs(
        &mut self,
        recipients: &[(TenantId, &str)],
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let tenants: BTreeSet<Uuid> = recipients.iter().map(|(tenant_id, _)| tenant_id.0).collect();
        if tenants.is_empty() {
            return Ok(());
        }
        let tenants: Vec<Uuid> = tenants.into_iter().collect();
        let keys: Result<Vec<(Uuid, Vec<u8>)>, sqlx::Error> = match self {
            Self::Postgres(tx) => sqlx::query_as(KEYS.postgres()).bind(tenants).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => sqlx::query_as(KEYS.sqlite()).bind(hex_list(&tenants)).fetch_all(&mut **tx).await,
        };
        for (tenant_id, key) in keys.map_err(StoreError::database(doing))? {
            let of_tenant = recipients.iter().filter(|(of, _)| of.0 == tenant_id);
            let hashed: BTreeMap<Vec<u8>, &str> = of_tenant.map(|(_, who)| (hash(&key, who), *who)).collect();
            let known = self.known_hashes(tenant_id, &hashed).await.map_err(StoreError::database(doing))?;
            let mut out: Vec<(&str, i64)> =
                known.iter().filter_map(|(hash, at_ms)| Some((*hashed.get(hash)?, *at_ms))).collect();
            // In one order, so that two who remember at once never wait in a circle.
            out.sort_unstable();
            for (recipient, at_ms) in out {
                let sql = REMEMBER.postgres();
                with_tx!(&mut *self, |db| {
                    sqlx::query(sql).bind(tenant_id).bind(recipient).bind(at_ms).execute(db).await.map(drop)
                })
                .map_err(StoreError::database(doing))?;
            }
        }
        Ok(())
    }

    async fn known_hashes(
        &mut self,
        tenant_id: Uuid,
        hashed: &BTreeMap<Vec<u8>, &str>,
    ) -> Result<Vec<(Vec<u8>, i64)>, sqlx::Error> {
        let hashes: Vec<&Vec<u8>> = hashed.keys().collect();
        match self {
            Self::Postgres(tx) => {
                sqlx::query_as(KNOWN.postgres()).bind(tenant_id).bind(hashes).fetch_all(&mut **tx).await
            }
            Self::Sqlite(tx) => {
                let hex = to_json(&hashes, |hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
                sqlx::query_as(KNOWN.sqlite()).bind(tenant_id).bind(hex).fetch_all(&mut **tx).await
            }
        }
    }

    /// Forgets what a recipient said, and keeps by a hash alone that they want no campaigns, if so.
    pub(super) async fn erase_opt_out(
        &mut self,
        tenant_id: TenantId,
        (recipient, at_ms): (&str, i64),
    ) -> Result<(), sqlx::Error> {
        let drawn = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let sql = (MAKE_KEY.postgres(), FORGET.postgres(), KEEP.postgres(), FORGET_HASH.postgres());
        with_tx!(self, |db| {
            let query = sqlx::query_scalar::<_, Vec<u8>>(sql.0).bind(tenant_id.0).bind(drawn);
            let hash = hash(&query.fetch_one(&mut *db).await?, recipient);
            let query = sqlx::query_scalar::<_, bool>(sql.1).bind(tenant_id.0).bind(recipient);
            match query.fetch_optional(&mut *db).await? {
                Some(true) => sqlx::query(sql.2).bind(tenant_id.0).bind(hash).bind(at_ms).execute(db).await.map(drop),
                // They opted in again since an earlier erasure.
                Some(false) => sqlx::query(sql.3).bind(tenant_id.0).bind(hash).execute(db).await.map(drop),
                None => Ok(()),
            }
        })
    }
}
