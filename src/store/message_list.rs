//! Lists of a tenant's messages, newest first, along indexes of columns that do not change.
//!
//! Never scans: a list looks at no more than [`MESSAGES_LOOKED_AT_MAX`] messages that the best index finds, and says how far
//! back that led. Whatever has no index of its own, the state above all, is looked for among [`MESSAGES_COMPARED_MAX`].

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::delivery::DeliveryState;
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::recipient::Recipient;
use crate::limits::{EXPORT_STEP_MAX, MESSAGES_COMPARED_MAX, MESSAGES_LOOKED_AT_MAX};
use crate::store::StoreError;
use crate::store::messages::{DeliveryRecord, DeliveryRow, Messages, OutboxMessage};
use crate::store::page::PageRequest;
use crate::store::tx::{Tx, with_tx};

/// Which messages are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFilter {
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those of this session.
    pub session_id: Option<SessionId>,
    /// Only those of this campaign.
    pub campaign_id: Option<CampaignId>,
    /// Only those to this recipient.
    pub recipient: Option<Recipient>,
    /// Accepted at this time or later, UTC milliseconds.
    pub from_ms: i64,
    /// Accepted at this time or earlier, UTC milliseconds.
    pub to_ms: i64,
}

impl Default for MessageFilter {
    fn default() -> Self {
        let (state, session_id, campaign_id, recipient) = (None, None, None, None);
        Self { state, session_id, campaign_id, recipient, from_ms: 0, to_ms: i64::MAX }
    }
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagePage {
    /// The messages of this page, newest first.
    pub items: Vec<DeliveryRecord>,
    /// How many there are among those that were looked at.
    pub total: u64,
    /// How far back they reach, UTC milliseconds, where there are more; the next list can end there.
    pub looked_back_to_ms: Option<i64>,
}

/// Where an export of messages goes on: behind this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageCursor {
    created_at_ms: i64,
    id: DeliveryId,
}

macro_rules! columns {
    () => {
        "delivery_id, session_id, campaign_id, seq, recipient, state, failure_class, reason, provider_code, \
         provider_message_id, n_attempts, created_at_ms, due_at_ms, sent_at_ms, delivered_at_ms, read_at_ms, settled_at_ms"
    };
}

/// The statements along one index. `$1` is the tenant, `$2` to `$4` session, campaign and recipient, `$5` and `$6` the time.
struct Along {
    /// Counts all that the index finds.
    count: &'static str,
    /// Counts those of them that are wanted.
    count_wanted: &'static str,
    page: &'static str,
    step: &'static str,
}

/// What is not in the index is compared outside, among the newest ones that are looked at.
macro_rules! along {
    ($indexed:literal) => {
        Along {
            count: concat!(
                "SELECT COUNT(*), COUNT(*), MIN(w.created_at_ms) FROM (SELECT created_at_ms FROM deliveries WHERE ",
                $indexed,
                " AND created_at_ms BETWEEN $5 AND $6 ORDER BY created_at_ms DESC LIMIT $8) AS w"
            ),
            count_wanted: concat!(
                "SELECT COUNT(*) FILTER (WHERE ($2 IS NULL OR w.session_id = $2) AND ($3 IS NULL OR w.campaign_id = $3) \
                     AND ($4 IS NULL OR w.recipient = $4) AND ($7 IS NULL OR w.state = $7)), \
                 COUNT(*), MIN(w.created_at_ms) \
                 FROM (SELECT session_id, campaign_id, recipient, state, created_at_ms FROM deliveries WHERE ",
                $indexed,
                " AND created_at_ms BETWEEN $5 AND $6 ORDER BY created_at_ms DESC, delivery_id DESC LIMIT $8) AS w"
            ),
            page: concat!(
                "SELECT w.* FROM (SELECT ",
                columns!(),
                " FROM deliveries WHERE ",
                $indexed,
                " AND created_at_ms BETWEEN $5 AND $6 ORDER BY created_at_ms DESC, delivery_id DESC LIMIT $8) AS w \
                 WHERE ($2 IS NULL OR w.session_id = $2) AND ($3 IS NULL OR w.campaign_id = $3) \
                   AND ($4 IS NULL OR w.recipient = $4) AND ($7 IS NULL OR w.state = $7) \
                 ORDER BY w.created_at_ms DESC, w.delivery_id DESC LIMIT $9 OFFSET $10"
            ),
            step: concat!(
                "SELECT ",
                columns!(),
                " FROM deliveries WHERE ",
                $indexed,
                " AND created_at_ms BETWEEN $5 AND $6 AND (created_at_ms < $6 OR delivery_id < $7) \
                 ORDER BY created_at_ms DESC, delivery_id DESC LIMIT $8"
            ),
        }
    };
}

const OF_TENANT: Along = along!("tenant_id = $1");
const OF_SESSION: Along = along!("tenant_id = $1 AND session_id = $2");
const OF_CAMPAIGN: Along = along!("tenant_id = $1 AND campaign_id = $3");
const OF_RECIPIENT: Along = along!("tenant_id = $1 AND recipient = $4");

/// Messages that are not admitted yet; they are newer than all that are.
macro_rules! in_outbox {
    ($columns:literal, $end:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM (SELECT outbox_id, job, created_at_ms, cancelled_at_ms, session_id, recipient FROM outbox \
             WHERE tenant_id = $1 AND created_at_ms BETWEEN $4 AND $5 \
             ORDER BY created_at_ms DESC, outbox_id DESC LIMIT $7) AS w \
             WHERE ($2 IS NULL OR w.session_id = $2) AND ($3 IS NULL OR w.recipient = $3) \
               AND ($6 IS NULL OR (w.cancelled_at_ms IS NOT NULL) = $6) ",
            $end
        )
    };
}

const COUNT_IN_OUTBOX: &str = in_outbox!("COUNT(*)", "");
const PAGE_IN_OUTBOX: &str = in_outbox!(
    "w.outbox_id, w.job, w.created_at_ms, w.cancelled_at_ms",
    "ORDER BY w.created_at_ms DESC, w.outbox_id DESC LIMIT $8 OFFSET $9"
);

const DOING: &str = "list messages";

/// A message in the outbox, with its id.
#[derive(FromRow)]
struct OutboxRow {
    outbox_id: Uuid,
    #[sqlx(flatten)]
    message: OutboxMessage,
}

/// What a look along an index counted.
#[derive(Debug, Clone, Copy)]
struct Looked {
    n_wanted: i64,
    n_seen: i64,
    oldest_ms: Option<i64>,
}

impl MessageFilter {
    /// Returns the statements along the index that leaves the fewest.
    fn along(&self) -> &'static Along {
        match (&self.recipient, self.campaign_id, self.session_id) {
            (Some(_), ..) => &OF_RECIPIENT,
            (None, Some(_), _) => &OF_CAMPAIGN,
            (None, None, Some(_)) => &OF_SESSION,
            (None, None, None) => &OF_TENANT,
        }
    }

    /// Tells whether an index alone finds exactly what is wanted.
    fn is_indexed(&self) -> bool {
        let n_fields = [self.recipient.is_some(), self.campaign_id.is_some(), self.session_id.is_some()];
        self.state.is_none() && n_fields.into_iter().filter(|is_given| *is_given).count() <= 1
    }

    /// Returns how many messages a list looks at.
    fn looked_at_max(&self) -> i64 {
        if self.is_indexed() { MESSAGES_LOOKED_AT_MAX } else { MESSAGES_COMPARED_MAX }
    }

    /// Tells whether a message that is not admitted yet can be wanted.
    fn may_be_in_outbox(&self) -> bool {
        let has_state = matches!(self.state, None | Some(DeliveryState::Pending | DeliveryState::Cancelled));
        self.campaign_id.is_none() && has_state
    }

    /// Tells whether a message is wanted.
    fn wants(&self, message: &DeliveryRecord) -> bool {
        self.state.is_none_or(|state| state == message.state)
            && self.session_id.is_none_or(|id| id == message.session_id)
            && self.campaign_id.is_none_or(|id| id == message.campaign_id)
            && self.recipient.as_ref().is_none_or(|recipient| *recipient == message.recipient)
    }

    fn recipient_text(&self) -> Option<&str> {
        self.recipient.as_ref().map(|recipient| recipient.as_str())
    }
}

/// Binds what every statement along an index begins with.
macro_rules! bind_filter {
    ($query:expr, $tenant_id:expr, $filter:expr) => {
        $query
            .bind($tenant_id.0)
            .bind($filter.session_id.map(|id| id.0))
            .bind($filter.campaign_id.map(|id| id.0))
            .bind($filter.recipient_text())
            .bind($filter.from_ms)
    };
}

/// Binds what the statements about the outbox begin with.
macro_rules! bind_outbox {
    ($query:expr, $tenant_id:expr, $filter:expr) => {
        $query
            .bind($tenant_id.0)
            .bind($filter.session_id.map(|id| id.0))
            .bind($filter.recipient_text())
            .bind($filter.from_ms)
            .bind($filter.to_ms)
            .bind($filter.state.map(|state| state == DeliveryState::Cancelled))
            .bind(MESSAGES_LOOKED_AT_MAX)
    };
}

impl Messages<'_> {
    /// Lists messages of the tenant, newest first; those whose time has not come are not among them.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn list(
        &self,
        tenant_id: TenantId,
        filter: &MessageFilter,
        page: PageRequest,
    ) -> Result<MessagePage, StoreError> {
        let mut tx = self.store.begin_snapshot_by_key(DOING).await?;
        let n_new = if filter.may_be_in_outbox() { tx.count_in_outbox(tenant_id, filter).await } else { Ok(0) };
        let n_new = n_new.map_err(StoreError::database(DOING))?;
        let (offset, limit) = (page.offset(), i64::from(page.limit()));
        let mut items = Vec::new();
        if offset < n_new {
            let rows = tx.page_in_outbox((tenant_id, filter), offset, limit).await;
            for row in rows.map_err(StoreError::database(DOING))? {
                items.push(DeliveryRecord::in_outbox(row.message, DeliveryId(row.outbox_id))?.0);
            }
        }
        let looked = tx.count_along(tenant_id, filter).await.map_err(StoreError::database(DOING))?;
        let limit = limit - i64::try_from(items.len()).unwrap_or(limit);
        let offset = (offset - n_new).max(0);
        if 0 < limit && offset < looked.n_wanted {
            let rows = tx.page_along((tenant_id, filter), offset, limit).await;
            for row in rows.map_err(StoreError::database(DOING))? {
                items.push(row.try_into()?);
            }
        }
        tx.commit(DOING).await?;
        let total = u64::try_from(n_new + looked.n_wanted).unwrap_or(0);
        let looked_back_to_ms = looked.oldest_ms.filter(|_| filter.looked_at_max() <= looked.n_seen);
        Ok(MessagePage { items, total, looked_back_to_ms })
    }

    /// Reads the next step of an export of messages that were admitted, newest first, with where to go on; however few of
    /// those that were looked at are wanted, a step looks at the same number.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn export_all(
        &self,
        tenant_id: TenantId,
        filter: &MessageFilter,
        after: Option<MessageCursor>,
    ) -> Result<(Vec<DeliveryRecord>, Option<MessageCursor>), StoreError> {
        let doing = "export messages";
        // Behind no message at all is before the largest id.
        let start = MessageCursor { created_at_ms: filter.to_ms, id: DeliveryId(Uuid::max()) };
        let after = after.unwrap_or(start);
        let mut tx = self.store.begin_snapshot_by_key(doing).await?;
        let sql = filter.along().step;
        let rows = with_tx!(&mut tx, |db| {
            let query = bind_filter!(sqlx::query_as::<_, DeliveryRow>(sql), tenant_id, filter);
            let query = query.bind(after.created_at_ms).bind(after.id.0).bind(i64::from(EXPORT_STEP_MAX));
            query.fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(doing))?;
        tx.commit(doing).await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|n| i64::from(EXPORT_STEP_MAX) <= n);
        let messages = rows.into_iter().map(DeliveryRecord::try_from).collect::<Result<Vec<_>, _>>()?;
        let last = messages.last().filter(|_| is_full);
        let next = last.map(|last| MessageCursor { created_at_ms: last.created_at_ms, id: last.id });
        Ok((messages.into_iter().filter(|message| filter.wants(message)).collect(), next))
    }
}

impl Tx {
    async fn count_in_outbox(&mut self, tenant_id: TenantId, filter: &MessageFilter) -> Result<i64, sqlx::Error> {
        with_tx!(self, |db| {
            bind_outbox!(sqlx::query_scalar::<_, i64>(COUNT_IN_OUTBOX), tenant_id, filter).fetch_one(db).await
        })
    }

    async fn page_in_outbox(
        &mut self,
        (tenant_id, filter): (TenantId, &MessageFilter),
        offset: i64,
        limit: i64,
    ) -> Result<Vec<OutboxRow>, sqlx::Error> {
        with_tx!(self, |db| {
            let query = bind_outbox!(sqlx::query_as::<_, OutboxRow>(PAGE_IN_OUTBOX), tenant_id, filter);
            query.bind(limit).bind(offset).fetch_all(db).await
        })
    }

    async fn count_along(&mut self, tenant_id: TenantId, filter: &MessageFilter) -> Result<Looked, sqlx::Error> {
        let along = filter.along();
        let sql = if filter.is_indexed() { along.count } else { along.count_wanted };
        let (n_wanted, n_seen, oldest_ms) = with_tx!(self, |db| {
            let query = bind_filter!(sqlx::query_as::<_, (i64, i64, Option<i64>)>(sql), tenant_id, filter);
            let query = query.bind(filter.to_ms).bind(filter.state.map(DeliveryState::as_str));
            query.bind(filter.looked_at_max()).fetch_one(db).await
        })?;
        Ok(Looked { n_wanted, n_seen, oldest_ms })
    }

    async fn page_along(
        &mut self,
        (tenant_id, filter): (TenantId, &MessageFilter),
        offset: i64,
        limit: i64,
    ) -> Result<Vec<DeliveryRow>, sqlx::Error> {
        let sql = filter.along().page;
        with_tx!(self, |db| {
            let query = bind_filter!(sqlx::query_as::<_, DeliveryRow>(sql), tenant_id, filter);
            let query = query.bind(filter.to_ms).bind(filter.state.map(DeliveryState::as_str));
            query.bind(filter.looked_at_max()).bind(limit).bind(offset).fetch_all(db).await
        })
    }
}
