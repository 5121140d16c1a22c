//! Orders: what a tenant wants to pay for, at the price that it was told.
//!
//! What becomes of one that is paid is [`super::confirm`].

use sqlx::FromRow;
use uuid::Uuid;

use super::Billing;
use crate::domain::billing::{OrderKind, OrderLine, OrderState, PaymentProvider};
use crate::domain::id::{OrderId, TenantId};
use crate::limits::SAME_ORDER_AGE_MS_MAX;
use crate::store::bind::written;
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::{Sql, StoreError};
use crate::{with_reader, with_writer};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, tenant_id, kind, plan, addon, coupon, lines, gross_cents, discount_cents, amount_cents, \
                 currency, provider, provider_order_id, state, created_at_ms, paid_at_ms FROM billing_orders ",
            $rest
        )
    };
}

pub(super) const FIND: Sql = Sql::portable(select!("WHERE order_id = $1"));
pub(super) const FIND_BY_PROVIDER: Sql = Sql::portable(select!("WHERE provider_order_id = $1"));
/// Held behind the account of its tenant.
const OPEN: Sql = Sql::portable(select!("WHERE tenant_id = $1 AND state = 'open' ORDER BY order_id DESC"));
const LIST: Sql = Sql::portable(select!(
    "WHERE ($1 IS NULL OR tenant_id = $1) AND ($2 IS NULL OR state = $2) \
     ORDER BY order_id DESC LIMIT $3 OFFSET $4"
));
const COUNT: Sql = Sql::portable(
    "SELECT COUNT(*) FROM billing_orders WHERE ($1 IS NULL OR tenant_id = $1) AND ($2 IS NULL OR state = $2)",
);
const INSERT: Sql = Sql::portable(
    "INSERT INTO billing_orders (order_id, tenant_id, kind, plan, addon, coupon, lines, gross_cents, discount_cents, \
         amount_cents, currency, provider, state, created_at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'open', $13)",
);
const REPLACE: Sql = Sql::portable("UPDATE billing_orders SET state = 'replaced' WHERE order_id = $1");
const ATTACH: Sql = Sql::portable(
    "UPDATE billing_orders SET provider_order_id = $3 \
     WHERE order_id = $1 AND tenant_id = $2 AND provider_order_id IS NULL",
);

const DOING_READ: &str = "read an order";
const DOING_PLACE: &str = "place an order";

/// What is ordered, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderTerms {
    /// What it is for.
    pub kind: OrderKind,
    /// The slug of the plan; that of the subscription for an add-on.
    pub plan: String,
    /// The slug of the add-on.
    pub addon: Option<String>,
    /// The code of a coupon.
    pub coupon: Option<String>,
    /// What the sum is made of.
    pub lines: Vec<OrderLine>,
    /// The sum, in the smallest unit of the currency.
    pub gross_cents: i64,
    /// What a coupon, or being too little to be asked for, takes off.
    pub discount_cents: i64,
    /// What is to be paid.
    pub amount_cents: i64,
    /// The currency, by ISO 4217.
    pub currency: String,
}

impl OrderTerms {
    /// Tells whether both want the same.
    fn wants_the_same(&self, other: &Self) -> bool {
        let of = |terms: &Self| (terms.kind, terms.plan.clone(), terms.addon.clone(), terms.coupon.clone());
        of(self) == of(other) && self.currency == other.currency
    }

    /// Tells whether one takes the place of the other: one plan at a time, and each add-on once.
    fn replaces(&self, other: &Self) -> bool {
        self.addon == other.addon
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRecord {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What is ordered.
    pub terms: OrderTerms,
    /// Who takes the money.
    pub provider: PaymentProvider,
    /// The provider's own name of it.
    pub provider_order_id: Option<String>,
    /// What became of it.
    pub state: OrderState,
    /// When it was placed, UTC milliseconds.
    pub created_at_ms: i64,
    /// When it was paid, UTC milliseconds.
    pub paid_at_ms: Option<i64>,
}

/// What came of placing an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It is there; a former one, if that is the same.
    Order(Box<OrderRecord>),
    /// The tenant has paid with this coupon before.
    CouponUsed,
    /// The coupon is not to be had any more.
    CouponGone,
}

#[derive(Debug, FromRow)]
pub(super) struct StoredOrder {
    order_id: Uuid,
    tenant_id: Uuid,
    kind: String,
    plan: String,
    addon: Option<String>,
    coupon: Option<String>,
    lines: String,
    gross_cents: i64,
    discount_cents: i64,
    amount_cents: i64,
    currency: String,
    provider: String,
    provider_order_id: Option<String>,
    state: String,
    created_at_ms: i64,
    paid_at_ms: Option<i64>,
}

impl TryFrom<StoredOrder> for OrderRecord {
    type Error = StoreError;

    fn try_from(row: StoredOrder) -> Result<Self, StoreError> {
        let place = RowPlace { table: "billing_orders", key: row.order_id };
        Ok(Self {
            id: OrderId(row.order_id),
            tenant_id: TenantId(row.tenant_id),
            terms: OrderTerms {
                kind: place.known("kind", OrderKind::parse(&row.kind))?,
                plan: row.plan,
                addon: row.addon,
                coupon: row.coupon,
                lines: place.json("lines", &row.lines)?,
                gross_cents: row.gross_cents,
                discount_cents: row.discount_cents,
                amount_cents: row.amount_cents,
                currency: row.currency,
            },
            provider: place.known("provider", PaymentProvider::parse(&row.provider))?,
            provider_order_id: row.provider_order_id,
            state: place.known("state", OrderState::parse(&row.state))?,
            created_at_ms: row.created_at_ms,
            paid_at_ms: row.paid_at_ms,
        })
    }
}

impl Billing<'_> {
    /// Places an order, or finds the open one that is the same; other open ones for the same thing are replaced.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn place(
        &self,
        tenant_id: TenantId,
        terms: &OrderTerms,
        provider: PaymentProvider,
        now_ms: i64,
    ) -> Result<Placed, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.place_once(tenant_id, terms, provider, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn place_once(
        &self,
        tenant_id: TenantId,
        terms: &OrderTerms,
        provider: PaymentProvider,
        now_ms: i64,
    ) -> Result<Placed, StoreError> {
        let mut tx = self.store.begin_write(DOING_PLACE).await?;
        tx.hold_account(tenant_id, DOING_PLACE).await?;
        let (open, replace) = (OPEN.of(self.store.pool()), REPLACE.of(self.store.pool()));
        let rows = with_tx!(&mut tx, |db| sqlx::query_as::<_, StoredOrder>(open).bind(tenant_id.0).fetch_all(db).await);
        let mut others = Vec::new();
        for row in rows.map_err(StoreError::database(DOING_PLACE))? {
            let other = OrderRecord::try_from(row)?;
            let is_fresh = now_ms - other.created_at_ms < SAME_ORDER_AGE_MS_MAX;
            if is_fresh && other.provider == provider && other.terms.wants_the_same(terms) {
                return Ok(Placed::Order(Box::new(other)));
            }
            others.push(other);
        }
        for other in others.iter().filter(|other| terms.replaces(&other.terms)) {
            with_tx!(&mut tx, |db| sqlx::query(replace).bind(other.id.0).execute(db).await.map(drop))
                .map_err(StoreError::database(DOING_PLACE))?;
        }
        let order = OrderRecord {
            id: OrderId::generate(),
            tenant_id,
            terms: terms.clone(),
            provider,
            provider_order_id: None,
            state: OrderState::Open,
            created_at_ms: now_ms,
            paid_at_ms: None,
        };
        tx.insert_order(&order).await.map_err(StoreError::database(DOING_PLACE))?;
        if let Some(code) = &terms.coupon
            && let Some(why) = tx.claim_coupon(code, &order, DOING_PLACE).await?
        {
            return Ok(why);
        }
        tx.commit(DOING_PLACE).await?;
        Ok(Placed::Order(Box::new(order)))
    }

    /// Notes how the provider calls an order, unless it has a name; returns the one that it has.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be noted.
    pub async fn attach(&self, order: &OrderRecord, name: &str) -> Result<String, StoreError> {
        let (attach, find) = (ATTACH.of(self.store.pool()), FIND.of(self.store.pool()));
        with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(attach).bind(order.id.0).bind(order.tenant_id.0).bind(name);
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_PLACE))?;
        let row = with_writer!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredOrder>(find).bind(order.id.0).fetch_one(db).await
        });
        let row = row.map_err(StoreError::database(DOING_READ))?;
        Ok(row.provider_order_id.unwrap_or_else(|| name.to_owned()))
    }

    /// Returns an order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn order(&self, id: OrderId) -> Result<Option<OrderRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredOrder>(sql).bind(id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(OrderRecord::try_from).transpose()
    }

    /// Returns an order of the tenant by the provider's name.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn order_of(&self, tenant_id: TenantId, name: &str) -> Result<Option<OrderRecord>, StoreError> {
        let sql = FIND_BY_PROVIDER.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredOrder>(sql).bind(name).fetch_optional(db).await
        });
        let order = row.map_err(StoreError::database(DOING_READ))?.map(OrderRecord::try_from).transpose()?;
        Ok(order.filter(|order| order.tenant_id == tenant_id))
    }

    /// Lists orders of one tenant or, for operators, of all, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn orders(
        &self,
        tenant_id: Option<TenantId>,
        state: Option<OrderState>,
        page: PageRequest,
    ) -> Result<Page<OrderRecord>, StoreError> {
        let (list, count) = (LIST.of(self.store.pool()), COUNT.of(self.store.pool()));
        let (of, state) = (tenant_id.map(|id| id.0), state.map(OrderState::as_str));
        let total: i64 =
            with_reader!(self.store.pool(), |db| sqlx::query_scalar(count).bind(of).bind(state).fetch_one(db).await)
                .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredOrder>(list).bind(of).bind(state).bind(i64::from(page.limit()));
            query.bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(OrderRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }
}

impl Tx {
    async fn insert_order(&mut self, order: &OrderRecord) -> Result<(), sqlx::Error> {
        let (sql, terms) = (INSERT.postgres(), &order.terms);
        with_tx!(self, |db| {
            sqlx::query(sql)
                .bind(order.id.0)
                .bind(order.tenant_id.0)
                .bind(terms.kind.as_str())
                .bind(&terms.plan)
                .bind(&terms.addon)
                .bind(&terms.coupon)
                .bind(written(&terms.lines))
                .bind(terms.gross_cents)
                .bind(terms.discount_cents)
                .bind(terms.amount_cents)
                .bind(&terms.currency)
                .bind(order.provider.as_str())
                .bind(order.created_at_ms)
                .execute(db)
                .await
                .map(drop)
        })
    }
}
