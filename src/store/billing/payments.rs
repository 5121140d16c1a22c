//! Payments as they were told, each once; and the names of what the provider told.

use sqlx::FromRow;
use uuid::Uuid;

use super::Billing;
use super::orders::OrderRecord;
use crate::domain::billing::{PaymentProvider, PaymentState};
use crate::domain::id::{OrderId, PaymentId, TenantId};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, StoreError};
use crate::{with_reader, with_writer};

const LIST: Sql = Sql::portable(
    "SELECT payment_id, order_id, provider, provider_payment_id, state, is_applied, amount_cents, currency, at_ms \
     FROM payments WHERE tenant_id = $1 ORDER BY payment_id DESC LIMIT $2 OFFSET $3",
);
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM payments WHERE tenant_id = $1");
/// What failed may come after all; what is ours stays ours.
const NOTE: Sql = Sql::portable(
    "INSERT INTO payments (payment_id, tenant_id, order_id, provider, provider_payment_id, state, is_applied, \
         amount_cents, currency, at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
     ON CONFLICT (provider, provider_payment_id) DO UPDATE SET state = EXCLUDED.state, \
         is_applied = EXCLUDED.is_applied, at_ms = EXCLUDED.at_ms WHERE payments.state = 'failed'",
);
const SEEN: Sql =
    Sql::portable("INSERT INTO payment_events (event_id, at_ms) VALUES ($1, $2) ON CONFLICT (event_id) DO NOTHING");
const FORGET: Sql = Sql::portable("DELETE FROM payment_events WHERE at_ms < $1");

const DOING_READ: &str = "read payments";

/// A payment, as the provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentNote {
    /// Who took the money.
    pub provider: PaymentProvider,
    /// The provider's own name of the payment.
    pub name: String,
    /// How much, in the smallest unit of the currency.
    pub amount_cents: i64,
    /// The currency, by ISO 4217.
    pub currency: String,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRecord {
    /// Its id.
    pub id: PaymentId,
    /// What it is for.
    pub order_id: OrderId,
    /// What the provider tells of it.
    pub note: PaymentNote,
    /// What became of it.
    pub state: PaymentState,
    /// Whether the order got what was paid for.
    pub is_applied: bool,
    /// When it was told, UTC milliseconds.
    pub at_ms: i64,
}

#[derive(Debug, FromRow)]
struct StoredPayment {
    payment_id: Uuid,
    order_id: Uuid,
    provider: String,
    provider_payment_id: String,
    state: String,
    is_applied: bool,
    amount_cents: i64,
    currency: String,
    at_ms: i64,
}

impl TryFrom<StoredPayment> for PaymentRecord {
    type Error = StoreError;

    fn try_from(row: StoredPayment) -> Result<Self, StoreError> {
        let place = RowPlace { table: "payments", key: row.payment_id };
        Ok(Self {
            id: PaymentId(row.payment_id),
            order_id: OrderId(row.order_id),
            state: place.known("state", PaymentState::parse(&row.state))?,
            note: PaymentNote {
                provider: place.known("provider", PaymentProvider::parse(&row.provider))?,
                name: row.provider_payment_id,
                amount_cents: row.amount_cents,
                currency: row.currency,
            },
            is_applied: row.is_applied,
            at_ms: row.at_ms,
        })
    }
}

impl Billing<'_> {
    /// Lists the tenant's payments, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn payments(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<PaymentRecord>, StoreError> {
        let (list, count) = (LIST.of(self.store.pool()), COUNT.of(self.store.pool()));
        let total: i64 =
            with_reader!(self.store.pool(), |db| sqlx::query_scalar(count).bind(tenant_id.0).fetch_one(db).await)
                .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredPayment>(list).bind(tenant_id.0).bind(i64::from(page.limit()));
            query.bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(PaymentRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Forgets the names of what the provider told before `before_ms`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn forget_payment_events(&self, before_ms: i64) -> Result<(), StoreError> {
        let sql = FORGET.of(self.store.pool());
        with_writer!(self.store.pool(), |db| sqlx::query(sql).bind(before_ms).execute(db).await.map(drop))
            .map_err(StoreError::database("forget what the provider of payments told"))
    }
}

impl Tx {
    /// Notes the name of what the provider tells; `false` when it was told before.
    pub(super) async fn note_payment_event(
        &mut self,
        name: &str,
        at_ms: i64,
        doing: &'static str,
    ) -> Result<bool, StoreError> {
        let sql = SEEN.postgres();
        let n_new = with_tx!(self, |db| {
            sqlx::query(sql).bind(name).bind(at_ms).execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < n_new.map_err(StoreError::database(doing))?)
    }

    /// Notes a payment; `false` when it is known as one that is ours.
    pub(super) async fn note_payment(
        &mut self,
        (order, note): (&OrderRecord, &PaymentNote),
        (state, is_applied): (PaymentState, bool),
        at_ms: i64,
        doing: &'static str,
    ) -> Result<bool, StoreError> {
        let sql = NOTE.postgres();
        let n_noted = with_tx!(self, |db| {
            sqlx::query(sql)
                .bind(Uuid::now_v7())
                .bind(order.tenant_id.0)
                .bind(order.id.0)
                .bind(note.provider.as_str())
                .bind(&note.name)
                .bind(state.as_str())
                .bind(is_applied)
                .bind(note.amount_cents)
                .bind(&note.currency)
                .bind(at_ms)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        Ok(0 < n_noted.map_err(StoreError::database(doing))?)
    }
}
