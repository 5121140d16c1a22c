//! Coupons: made by operators, used by each tenant once, and never more often than they may be.

use sqlx::FromRow;
use uuid::Uuid;

use super::Billing;
use super::orders::{OrderRecord, Placed};
use crate::domain::billing::price::Discount;
use crate::domain::id::{OrderId, TenantId};
use crate::store::audit::{Actor, Deed};
use crate::store::column::RowPlace;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, StoreError};
use crate::with_reader;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT code, percent, amount_cents, currency, from_ms, until_ms, max_uses, n_uses, is_active, created_at_ms \
             FROM coupons ",
            $rest
        )
    };
}

const FIND: Sql = Sql::portable(select!("WHERE code = $1"));
const LIST: Sql = Sql::portable(select!("ORDER BY code LIMIT 1000"));
const INSERT: Sql = Sql::portable(
    "INSERT INTO coupons (code, percent, amount_cents, currency, from_ms, until_ms, max_uses, is_active, created_at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (code) DO NOTHING",
);
const CHANGE: Sql = Sql::portable("UPDATE coupons SET until_ms = $2, max_uses = $3, is_active = $4 WHERE code = $1");
/// The order that has it, and whether that was paid.
const HAS: Sql = Sql::portable(
    "SELECT u.order_id, o.state IN ('paid', 'unapplied') FROM coupon_uses u JOIN billing_orders o ON o.order_id = u.order_id \
     WHERE u.code = $1 AND u.tenant_id = $2",
);
const GIVE: Sql = Sql::portable(
    "UPDATE coupons SET n_uses = n_uses + 1 WHERE code = $1 AND is_active AND (from_ms IS NULL OR from_ms <= $2) \
       AND (until_ms IS NULL OR $2 < until_ms) AND (max_uses IS NULL OR n_uses < max_uses)",
);
const NOTE: Sql = Sql::portable(
    "INSERT INTO coupon_uses (code, tenant_id, order_id) VALUES ($1, $2, $3) \
     ON CONFLICT (code, tenant_id) DO UPDATE SET order_id = EXCLUDED.order_id",
);
/// Orders that have waited too long with a coupon.
const OLD: Sql = Sql::portable(
    "SELECT order_id, tenant_id FROM billing_orders \
     WHERE coupon IS NOT NULL AND state IN ('open', 'replaced') AND created_at_ms < $1 ORDER BY created_at_ms LIMIT 100",
);
const LAPSE: Sql =
    Sql::portable("UPDATE billing_orders SET state = 'lapsed' WHERE order_id = $1 AND state IN ('open', 'replaced')");
const TAKE_BACK: Sql = Sql::portable("DELETE FROM coupon_uses WHERE order_id = $1");
const UNCOUNT: Sql = Sql::portable(
    "UPDATE coupons SET n_uses = n_uses - 1 WHERE code = (SELECT coupon FROM billing_orders WHERE order_id = $1)",
);

const DOING_READ: &str = "read coupons";
const DOING_WRITE: &str = "write a coupon";
const DOING_LAPSE: &str = "give coupons back";

/// A coupon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponRecord {
    /// What people type, in capitals.
    pub code: String,
    /// What it takes off.
    pub discount: Discount,
    /// Not good before, UTC milliseconds.
    pub from_ms: Option<i64>,
    /// Not good from then on, UTC milliseconds.
    pub until_ms: Option<i64>,
    /// How often it may be used; by any number of tenants when none.
    pub max_uses: Option<i64>,
    /// How often it was used.
    pub n_uses: i64,
    /// Whether it is to be had.
    pub is_active: bool,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
}

impl CouponRecord {
    /// Tells whether it can be used at a time, as far as it alone decides.
    #[must_use]
    pub fn is_good(&self, now_ms: i64) -> bool {
        let in_time = self.from_ms.is_none_or(|from_ms| from_ms <= now_ms)
            && self.until_ms.is_none_or(|until_ms| now_ms < until_ms);
        self.is_active && in_time && self.max_uses.is_none_or(|max| self.n_uses < max)
    }
}

#[derive(Debug, FromRow)]
struct StoredCoupon {
    code: String,
    percent: Option<i64>,
    amount_cents: Option<i64>,
    currency: Option<String>,
    from_ms: Option<i64>,
    until_ms: Option<i64>,
    max_uses: Option<i64>,
    n_uses: i64,
    is_active: bool,
    created_at_ms: i64,
}

impl TryFrom<StoredCoupon> for CouponRecord {
    type Error = StoreError;

    fn try_from(row: StoredCoupon) -> Result<Self, StoreError> {
        let amount = row.amount_cents.zip(row.currency).map(|(cents, currency)| Discount::Amount(cents, currency));
        let discount = row.percent.map(Discount::Percent).or(amount);
        Ok(Self {
            discount: RowPlace { table: "coupons", key: &row.code }.known("percent", discount)?,
            code: row.code,
            from_ms: row.from_ms,
            until_ms: row.until_ms,
            max_uses: row.max_uses,
            n_uses: row.n_uses,
            is_active: row.is_active,
            created_at_ms: row.created_at_ms,
        })
    }
}

impl Billing<'_> {
    /// Returns a coupon.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn coupon(&self, code: &str) -> Result<Option<CouponRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredCoupon>(sql).bind(code).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(CouponRecord::try_from).transpose()
    }

    /// Lists coupons by their codes, at most 1,000.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn coupons(&self) -> Result<Vec<CouponRecord>, StoreError> {
        let sql = LIST.of(self.store.pool());
        let rows = with_reader!(self.store.pool(), |db| sqlx::query_as::<_, StoredCoupon>(sql).fetch_all(db).await);
        rows.map_err(StoreError::database(DOING_READ))?.into_iter().map(CouponRecord::try_from).collect()
    }

    /// Tells whether the tenant has paid with a coupon; none when it has no order with it either.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn has_coupon(&self, tenant_id: TenantId, code: &str) -> Result<Option<bool>, StoreError> {
        let sql = HAS.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, (Uuid, bool)>(sql).bind(code).bind(tenant_id.0).fetch_optional(db).await
        });
        Ok(row.map_err(StoreError::database(DOING_READ))?.map(|(_, is_paid)| is_paid))
    }

    /// Makes a coupon; `false` when there is one with its code.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn add_coupon(&self, coupon: &CouponRecord, actor: &Actor) -> Result<bool, StoreError> {
        let (percent, amount) = match &coupon.discount {
            Discount::Percent(percent) => (Some(*percent), None),
            Discount::Amount(cents, currency) => (None, Some((*cents, currency))),
        };
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        let sql = INSERT.of(self.store.pool());
        let n_made = with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(&coupon.code).bind(percent).bind(amount.map(|(cents, _)| cents));
            let query = query.bind(amount.map(|(_, currency)| currency)).bind(coupon.from_ms).bind(coupon.until_ms);
            let query = query.bind(coupon.max_uses).bind(coupon.is_active).bind(coupon.created_at_ms);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        if n_made.map_err(StoreError::database(DOING_WRITE))? == 0 {
            return Ok(false);
        }
        tx.write_deed(actor, &deed_of("coupon.created", coupon), coupon.created_at_ms, DOING_WRITE).await?;
        tx.commit(DOING_WRITE).await?;
        Ok(true)
    }

    /// Writes until when, how often and whether a coupon can be used.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn change_coupon(&self, coupon: &CouponRecord, actor: &Actor, now_ms: i64) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        let sql = CHANGE.of(self.store.pool());
        with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(&coupon.code).bind(coupon.until_ms).bind(coupon.max_uses);
            query.bind(coupon.is_active).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_WRITE))?;
        tx.write_deed(actor, &deed_of("coupon.changed", coupon), now_ms, DOING_WRITE).await?;
        tx.commit(DOING_WRITE).await
    }

    /// Gives the coupons back of orders placed before `before_ms` that nobody paid; returns how many.
    ///
    /// # Errors
    /// [`StoreError::Database`] when not all was written; safe to repeat.
    pub async fn lapse_orders(&self, before_ms: i64) -> Result<usize, StoreError> {
        let sql = OLD.of(self.store.pool());
        let old: Result<Vec<(Uuid, Uuid)>, _> =
            with_reader!(self.store.pool(), |db| sqlx::query_as(sql).bind(before_ms).fetch_all(db).await);
        let old = old.map_err(StoreError::database(DOING_LAPSE))?;
        for (order_id, tenant_id) in &old {
            let mut tx = self.store.begin_write(DOING_LAPSE).await?;
            tx.hold_account(TenantId(*tenant_id), DOING_LAPSE).await?;
            tx.lapse(*order_id).await.map_err(StoreError::database(DOING_LAPSE))?;
            tx.commit(DOING_LAPSE).await?;
        }
        Ok(old.len())
    }
}

fn deed_of(action: &str, coupon: &CouponRecord) -> Deed {
    let details = serde_json::json!({
        "untilMs": coupon.until_ms, "maxUses": coupon.max_uses, "isActive": coupon.is_active,
    });
    Deed { action: action.to_owned(), subject: coupon.code.clone(), tenant_id: None, details }
}

impl Tx {
    /// Lets an order that is there have a coupon; says why not. The account of its tenant must be held.
    pub(super) async fn claim_coupon(
        &mut self,
        code: &str,
        order: &OrderRecord,
        doing: &'static str,
    ) -> Result<Option<Placed>, StoreError> {
        let sql = (HAS.postgres(), GIVE.postgres(), NOTE.postgres());
        let (tenant_id, now_ms) = (order.tenant_id.0, order.created_at_ms);
        let claimed: Result<Option<Placed>, sqlx::Error> = with_tx!(self, |db| async {
            let query = sqlx::query_as::<_, (Uuid, bool)>(sql.0).bind(code).bind(tenant_id);
            match query.fetch_optional(&mut *db).await? {
                Some((_, true)) => return Ok(Some(Placed::CouponUsed)),
                // It passes from one order of the tenant to the next.
                Some((_, false)) => {}
                None => {
                    let given = sqlx::query(sql.1).bind(code).bind(now_ms).execute(&mut *db).await?;
                    if given.rows_affected() == 0 {
                        return Ok(Some(Placed::CouponGone));
                    }
                }
            }
            sqlx::query(sql.2).bind(code).bind(tenant_id).bind(order.id.0).execute(db).await?;
            Ok(None)
        }
        .await);
        claimed.map_err(StoreError::database(doing))
    }

    /// Tells whether an order that is paid may have its coupon: another order of the tenant may have been paid with it.
    pub(super) async fn keeps_coupon(
        &mut self,
        code: &str,
        order: &OrderRecord,
        doing: &'static str,
    ) -> Result<bool, StoreError> {
        let sql = (HAS.postgres(), NOTE.postgres());
        let keeps: Result<bool, sqlx::Error> = with_tx!(self, |db| async {
            let query = sqlx::query_as::<_, (Uuid, bool)>(sql.0).bind(code).bind(order.tenant_id.0);
            let Some((has, is_paid)) = query.fetch_optional(&mut *db).await? else { return Ok(false) };
            if OrderId(has) != order.id && is_paid {
                return Ok(false);
            }
            sqlx::query(sql.1).bind(code).bind(order.tenant_id.0).bind(order.id.0).execute(db).await?;
            Ok(true)
        }
        .await);
        keeps.map_err(StoreError::database(doing))
    }

    async fn lapse(&mut self, order_id: Uuid) -> Result<(), sqlx::Error> {
        let sql = (LAPSE.postgres(), TAKE_BACK.postgres(), UNCOUNT.postgres());
        with_tx!(self, |db| async {
            if sqlx::query(sql.0).bind(order_id).execute(&mut *db).await?.rows_affected() == 0 {
                return Ok(());
            }
            // One whose coupon passed on to another order has none to give back.
            if sqlx::query(sql.1).bind(order_id).execute(&mut *db).await?.rows_affected() != 0 {
                sqlx::query(sql.2).bind(order_id).execute(db).await?;
            }
            Ok(())
        }
        .await)
    }
}
