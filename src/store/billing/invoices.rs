//! Invoices: one for each order that was paid, numbered without a gap, never changed.

use sqlx::FromRow;
use uuid::Uuid;

use super::Billing;
use super::orders::OrderRecord;
use crate::domain::billing::OrderLine;
use crate::domain::id::{InvoiceId, OrderId, TenantId};
use crate::store::bind::written;
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, StoreError};
use crate::with_reader;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT invoice_id, invoice_no, order_id, buyer, lines, gross_cents, discount_cents, total_cents, currency, \
                 issued_at_ms FROM invoices WHERE tenant_id = $1 ",
            $rest
        )
    };
}

const FIND: Sql = Sql::portable(select!("AND invoice_id = $2"));
const LIST: Sql = Sql::portable(select!("ORDER BY invoice_no DESC LIMIT $2 OFFSET $3"));
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM invoices WHERE tenant_id = $1");
/// Whoever has the next number keeps others waiting until its invoice is there, or gives the number back.
const NEXT: Sql =
    Sql::portable("UPDATE invoice_numbers SET last_no = last_no + 1 WHERE series = 'INV' RETURNING last_no");
const INSERT: Sql = Sql::portable(
    "INSERT INTO invoices (invoice_id, tenant_id, invoice_no, order_id, buyer, lines, gross_cents, discount_cents, \
         total_cents, currency, issued_at_ms) \
     SELECT $1, t.tenant_id, $3, $4, t.name, $5, $6, $7, $8, $9, $10 FROM tenants t WHERE t.tenant_id = $2",
);

const DOING_READ: &str = "read invoices";

/// An invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceRecord {
    /// Its id.
    pub id: InvoiceId,
    /// Its number: each the one before and one.
    pub invoice_no: i64,
    /// The order that was paid.
    pub order_id: OrderId,
    /// What the tenant was called then.
    pub buyer: String,
    /// What the sum is made of.
    pub lines: Vec<OrderLine>,
    /// The sum, in the smallest unit of the currency.
    pub gross_cents: i64,
    /// What was taken off.
    pub discount_cents: i64,
    /// What was paid.
    pub total_cents: i64,
    /// The currency, by ISO 4217.
    pub currency: String,
    /// When it was written, UTC milliseconds.
    pub issued_at_ms: i64,
}

#[derive(Debug, FromRow)]
struct StoredInvoice {
    invoice_id: Uuid,
    invoice_no: i64,
    order_id: Uuid,
    buyer: String,
    lines: String,
    gross_cents: i64,
    discount_cents: i64,
    total_cents: i64,
    currency: String,
    issued_at_ms: i64,
}

impl TryFrom<StoredInvoice> for InvoiceRecord {
    type Error = StoreError;

    fn try_from(row: StoredInvoice) -> Result<Self, StoreError> {
        let lines = RowPlace { table: "invoices", key: row.invoice_id }.json("lines", &row.lines)?;
        let (id, order_id) = (InvoiceId(row.invoice_id), OrderId(row.order_id));
        let StoredInvoice { invoice_no, buyer, gross_cents, discount_cents, total_cents, currency, .. } = row;
        let issued_at_ms = row.issued_at_ms;
        Ok(Self {
            id,
            invoice_no,
            order_id,
            buyer,
            lines,
            gross_cents,
            discount_cents,
            total_cents,
            currency,
            issued_at_ms,
        })
    }
}

impl Billing<'_> {
    /// Returns an invoice of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn invoice(&self, tenant_id: TenantId, id: InvoiceId) -> Result<Option<InvoiceRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredInvoice>(sql).bind(tenant_id.0).bind(id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(InvoiceRecord::try_from).transpose()
    }

    /// Lists the tenant's invoices, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn invoices(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<InvoiceRecord>, StoreError> {
        let (list, count) = (LIST.of(self.store.pool()), COUNT.of(self.store.pool()));
        let total: i64 =
            with_reader!(self.store.pool(), |db| sqlx::query_scalar(count).bind(tenant_id.0).fetch_one(db).await)
                .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredInvoice>(list).bind(tenant_id.0).bind(i64::from(page.limit()));
            query.bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(InvoiceRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }
}

impl Tx {
    /// Writes the invoice of an order. Keeps everybody else from writing one: to be called last.
    pub(super) async fn write_invoice(
        &mut self,
        order: &OrderRecord,
        issued_at_ms: i64,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let (next, insert, terms) = (NEXT.postgres(), INSERT.postgres(), &order.terms);
        let written: Result<(), sqlx::Error> = with_tx!(self, |db| async {
            let invoice_no: i64 = sqlx::query_scalar(next).fetch_one(&mut *db).await?;
            sqlx::query(insert)
                .bind(Uuid::now_v7())
                .bind(order.tenant_id.0)
                .bind(invoice_no)
                .bind(order.id.0)
                .bind(written(&terms.lines))
                .bind(terms.gross_cents)
                .bind(terms.discount_cents)
                .bind(terms.amount_cents)
                .bind(&terms.currency)
                .bind(issued_at_ms)
                .execute(db)
                .await
                .map(drop)
        }
        .await);
        written.map_err(StoreError::database(doing))
    }
}
