//! Add-ons: what can be bought beside a plan, and what tenants have of it.

use sqlx::FromRow;
use uuid::Uuid;

use super::Billing;
use crate::domain::id::{TenantAddonId, TenantId};
use crate::domain::plan::Meter;
use crate::store::audit::{Actor, Deed};
use crate::store::column::RowPlace;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, StoreError};
use crate::{with_reader, with_writer};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT slug, name, meter, amount, price_cents, currency, is_active FROM addons ", $rest)
    };
}

const LIST: Sql = Sql::portable(select!("ORDER BY price_cents, slug"));
const FIND: Sql = Sql::portable(select!("WHERE slug = $1"));
const PUT: Sql = Sql::portable(
    "INSERT INTO addons (slug, name, meter, amount, price_cents, currency, is_active) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name, \
         meter = EXCLUDED.meter, amount = EXCLUDED.amount, price_cents = EXCLUDED.price_cents, \
         currency = EXCLUDED.currency, is_active = EXCLUDED.is_active",
);
const OF_TENANT: Sql = Sql::portable(
    "SELECT tenant_addon_id, addon, name, meter, amount, price_cents, currency, renews, until_ms FROM tenant_addons \
     WHERE tenant_id = $1 AND ended_at_ms IS NULL ORDER BY tenant_addon_id LIMIT 1000",
);
const STOP: Sql = Sql::portable(
    "UPDATE tenant_addons SET renews = FALSE WHERE tenant_addon_id = $1 AND tenant_id = $2 AND ended_at_ms IS NULL",
);
const GIVE: Sql = Sql::portable(
    "INSERT INTO tenant_addons (tenant_addon_id, tenant_id, addon, name, meter, amount, price_cents, currency, renews, \
         created_at_ms, until_ms) \
     SELECT $1, $2, a.slug, a.name, a.meter, a.amount, a.price_cents, a.currency, TRUE, $4, $5 FROM addons a \
     WHERE a.slug = $3",
);
const RENEW: Sql = Sql::portable(
    "UPDATE tenant_addons SET until_ms = $3, ended_at_ms = NULL WHERE tenant_addon_id = $1 AND tenant_id = $2",
);
const RAISE: Sql = Sql::portable(
    "UPDATE usage SET max_messages = max_messages + (SELECT a.amount FROM tenant_addons a WHERE a.tenant_addon_id = $2) \
     WHERE tenant_id = $1 \
       AND EXISTS (SELECT 1 FROM tenant_addons a WHERE a.tenant_addon_id = $2 AND a.meter = 'messages')",
);

const DOING_READ: &str = "read add-ons";
const DOING_WRITE: &str = "write an add-on";

/// Something that can be bought beside a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddonRecord {
    /// Its name in addresses and bodies.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What there is more of.
    pub meter: Meter,
    /// How much more.
    pub amount: i64,
    /// What a period costs, in the smallest unit of the currency.
    pub price_cents: i64,
    /// The currency, by ISO 4217.
    pub currency: String,
    /// Whether it can be bought.
    pub is_active: bool,
}

/// Something that a tenant has beside its plan, as it was when it was bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantAddonRecord {
    /// Its id.
    pub id: TenantAddonId,
    /// The slug of the add-on.
    pub addon: String,
    /// What people call it.
    pub name: String,
    /// What there is more of.
    pub meter: Meter,
    /// How much more.
    pub amount: i64,
    /// What a period costs, in the smallest unit of the currency.
    pub price_cents: i64,
    /// The currency, by ISO 4217.
    pub currency: String,
    /// Whether the next period is to have it too.
    pub renews: bool,
    /// Until when it is paid, UTC milliseconds.
    pub until_ms: i64,
}

#[derive(Debug, FromRow)]
struct StoredAddon {
    slug: String,
    name: String,
    meter: String,
    amount: i64,
    price_cents: i64,
    currency: String,
    is_active: bool,
}

impl TryFrom<StoredAddon> for AddonRecord {
    type Error = StoreError;

    fn try_from(row: StoredAddon) -> Result<Self, StoreError> {
        let meter = RowPlace { table: "addons", key: &row.slug }.known("meter", Meter::parse(&row.meter))?;
        let StoredAddon { slug, name, amount, price_cents, currency, is_active, .. } = row;
        Ok(Self { slug, name, meter, amount, price_cents, currency, is_active })
    }
}

#[derive(Debug, FromRow)]
struct StoredTenantAddon {
    tenant_addon_id: Uuid,
    addon: String,
    name: String,
    meter: String,
    amount: i64,
    price_cents: i64,
    currency: String,
    renews: bool,
    until_ms: i64,
}

impl TryFrom<StoredTenantAddon> for TenantAddonRecord {
    type Error = StoreError;

    fn try_from(row: StoredTenantAddon) -> Result<Self, StoreError> {
        let place = RowPlace { table: "tenant_addons", key: row.tenant_addon_id };
        let (id, meter) = (TenantAddonId(row.tenant_addon_id), place.known("meter", Meter::parse(&row.meter))?);
        let StoredTenantAddon { addon, name, amount, price_cents, currency, renews, until_ms, .. } = row;
        Ok(Self { id, addon, name, meter, amount, price_cents, currency, renews, until_ms })
    }
}

impl Billing<'_> {
    /// Lists what can be bought, or could be, the cheapest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn addons(&self) -> Result<Vec<AddonRecord>, StoreError> {
        let sql = LIST.of(self.store.pool());
        let rows = with_reader!(self.store.pool(), |db| sqlx::query_as::<_, StoredAddon>(sql).fetch_all(db).await);
        rows.map_err(StoreError::database(DOING_READ))?.into_iter().map(AddonRecord::try_from).collect()
    }

    /// Returns an add-on.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn addon(&self, slug: &str) -> Result<Option<AddonRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredAddon>(sql).bind(slug).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(AddonRecord::try_from).transpose()
    }

    /// Makes an add-on, or makes it another; what tenants have of it stays.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn put_addon(&self, addon: &AddonRecord, actor: &Actor, now_ms: i64) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        let sql = PUT.of(self.store.pool());
        with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(&addon.slug).bind(&addon.name).bind(addon.meter.as_str());
            let query = query.bind(addon.amount).bind(addon.price_cents).bind(&addon.currency).bind(addon.is_active);
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_WRITE))?;
        let details = serde_json::json!({
            "meter": addon.meter.as_str(), "amount": addon.amount, "priceCents": addon.price_cents,
            "isActive": addon.is_active,
        });
        let deed = Deed { action: "addon.changed".to_owned(), subject: addon.slug.clone(), tenant_id: None, details };
        tx.write_deed(actor, &deed, now_ms, DOING_WRITE).await?;
        tx.commit(DOING_WRITE).await
    }

    /// Lists what a tenant has beside its plan, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn addons_of(&self, tenant_id: TenantId) -> Result<Vec<TenantAddonRecord>, StoreError> {
        let sql = OF_TENANT.of(self.store.pool());
        let rows = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredTenantAddon>(sql).bind(tenant_id.0).fetch_all(db).await
        });
        rows.map_err(StoreError::database(DOING_READ))?.into_iter().map(TenantAddonRecord::try_from).collect()
    }

    /// Lets an add-on of the tenant end with the period; `false` when it has none of that id.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn stop_addon(&self, tenant_id: TenantId, id: TenantAddonId) -> Result<bool, StoreError> {
        let sql = STOP.of(self.store.pool());
        let n_stopped = with_writer!(self.store.pool(), |db| {
            sqlx::query(sql).bind(id.0).bind(tenant_id.0).execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < n_stopped.map_err(StoreError::database(DOING_WRITE))?)
    }
}

impl Tx {
    /// Gives a tenant an add-on until the end of its period; its subscription must be held.
    pub(super) async fn give_addon(
        &mut self,
        (tenant_id, addon): (TenantId, &str),
        (now_ms, until_ms): (i64, i64),
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let (give, raise, id) = (GIVE.postgres(), RAISE.postgres(), Uuid::now_v7());
        let given: Result<(), sqlx::Error> = with_tx!(self, |db| async {
            let query = sqlx::query(give).bind(id).bind(tenant_id.0).bind(addon);
            query.bind(now_ms).bind(until_ms).execute(&mut *db).await?;
            sqlx::query(raise).bind(tenant_id.0).bind(id).execute(db).await.map(drop)
        }
        .await);
        given.map_err(StoreError::database(doing))
    }

    /// Lets add-ons of a tenant go on until `until_ms`, also those that had ended.
    pub(super) async fn renew_addons(
        &mut self,
        tenant_id: TenantId,
        ids: impl Iterator<Item = Uuid>,
        until_ms: i64,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let sql = RENEW.postgres();
        for id in ids {
            with_tx!(&mut *self, |db| {
                sqlx::query(sql).bind(id).bind(tenant_id.0).bind(until_ms).execute(db).await.map(drop)
            })
            .map_err(StoreError::database(doing))?;
        }
        Ok(())
    }
}
