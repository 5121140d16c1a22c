//! What tells who a contact is, taken out of every table; ids, states, counts and the audit log stay.
//!
//! In steps of bounded size that are safe to repeat. What may still be sent is found first, so that it can be taken back;
//! when a step is taken is decided elsewhere.

use uuid::Uuid;

use crate::domain::id::{CampaignId, DeliveryId, TenantId};
use crate::domain::message::MessageSpec;
use crate::domain::recipient::Recipient;
use crate::limits::ERASED_ROWS_MAX;
use crate::store::bind::{hex_list, written};
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

pub mod opt_outs;

pub mod texts;

/// Somebody who is not to be known any more.
#[derive(Debug, Clone)]
pub struct Erased {
    /// To whom.
    pub tenant_id: TenantId,
    /// Who it is.
    pub recipient: Recipient,
    /// What stands in their place.
    pub instead: Recipient,
    /// When that is done, UTC milliseconds.
    pub at_ms: i64,
}

/// What may still be sent to somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StillToSend {
    /// Messages that may be taken back: they wait for their time, for their admission or in their lane.
    pub waiting: Vec<DeliveryId>,
    /// Whether a message is on its way, or taken back and not out of the way yet.
    pub is_on_its_way: bool,
    /// A campaign that is about to hand over a message to them.
    pub about_to: Option<CampaignId>,
}

/// Single messages apart from their lanes, and those in lanes.
const WAITING: Sql = Sql::portable(
    "SELECT delivery_id FROM scheduled_messages WHERE tenant_id = $1 AND recipient = $2 \
     UNION ALL SELECT outbox_id FROM outbox WHERE tenant_id = $1 AND recipient = $2 AND cancelled_at_ms IS NULL \
     UNION ALL SELECT delivery_id FROM deliveries WHERE tenant_id = $1 AND recipient = $2 AND state = 'pending' LIMIT $3",
);
const ON_ITS_WAY: Sql = Sql::portable(
    "SELECT EXISTS (SELECT 1 FROM outbox WHERE tenant_id = $1 AND recipient = $2) \
         OR EXISTS (SELECT 1 FROM deliveries WHERE tenant_id = $1 AND recipient = $2 AND state IN ('pending', 'sending'))",
);
/// A recipient of a campaign has the id of the delivery that comes of it.
const ABOUT_TO: Sql = Sql::portable(
    "SELECT c.campaign_id FROM campaigns c JOIN campaign_recipients r ON r.campaign_id = c.campaign_id \
     WHERE c.tenant_id = $1 AND c.state IN ('running', 'paused') AND r.recipient = $2 \
     AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.delivery_id = r.recipient_id) ORDER BY c.campaign_id LIMIT 1",
);

const NEXT: Sql = Sql::per_dialect(
    "SELECT delivery_id, job_id, campaign_id FROM deliveries WHERE tenant_id = $1 AND recipient = $2 \
     AND state NOT IN ('pending', 'sending') ORDER BY delivery_id LIMIT $3 FOR NO KEY UPDATE",
    "SELECT delivery_id, job_id, campaign_id FROM deliveries WHERE tenant_id = $1 AND recipient = $2 \
     AND state NOT IN ('pending', 'sending') ORDER BY delivery_id LIMIT $3",
);
/// The provider's names of messages have the number in them.
const ERASE_DELIVERIES: Sql = Sql::per_dialect(
    "UPDATE deliveries SET recipient = $2, variables = '{}', provider_message_id = NULL, ignored_message_id = NULL \
     WHERE delivery_id = ANY($1)",
    "UPDATE deliveries SET recipient = $2, variables = '{}', provider_message_id = NULL, ignored_message_id = NULL \
     WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))",
);
const ERASE_OUTCOMES: Sql = Sql::per_dialect(
    "UPDATE attempt_outcomes SET provider_message_id = NULL WHERE delivery_id = ANY($1)",
    "UPDATE attempt_outcomes SET provider_message_id = NULL \
     WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))",
);
/// Of single messages: what a campaign says is said to all.
const ERASE_JOBS: Sql = Sql::per_dialect(
    "UPDATE jobs SET message = $2 WHERE job_id = ANY($1)",
    "UPDATE jobs SET message = $2 WHERE job_id IN (SELECT unhex(value) FROM json_each($1))",
);

const ERASE_RECIPIENTS: Sql = Sql::portable(
    "UPDATE campaign_recipients SET recipient = $3, variables = '{}', time_zone = NULL WHERE recipient = $2 \
     AND campaign_id IN (SELECT campaign_id FROM campaigns WHERE tenant_id = $1)",
);
const ERASE_CONVERSATIONS: Sql = Sql::portable(
    "DELETE FROM conversations WHERE recipient = $2 \
     AND session_id IN (SELECT session_id FROM sessions WHERE tenant_id = $1)",
);
/// They go on counting for the provider's tier.
const ERASE_TIERS: Sql = Sql::portable(
    "UPDATE tier_recipients SET recipient = $3 WHERE recipient = $2 \
     AND account_id IN (SELECT account_id FROM sessions WHERE tenant_id = $1)",
);

const DOING_LOOK: &str = "look for what may be sent to somebody";
const DOING_ERASE: &str = "erase who somebody is";

impl Store {
    /// Finds what may still be sent to somebody; of what waits so many at most.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn still_to_send(&self, tenant_id: TenantId, recipient: &Recipient) -> Result<StillToSend, StoreError> {
        let sql = [WAITING, ON_ITS_WAY, ABOUT_TO].map(|sql| sql.of(self.pool()));
        let read: Result<_, sqlx::Error> = with_reader!(self.pool(), |db| async {
            let query = sqlx::query_scalar::<_, Uuid>(sql[0]).bind(tenant_id.0).bind(recipient.as_str());
            let waiting = query.bind(i64::from(ERASED_ROWS_MAX)).fetch_all(db).await?;
            let query = sqlx::query_scalar::<_, bool>(sql[1]).bind(tenant_id.0).bind(recipient.as_str());
            let is_on_its_way = query.fetch_one(db).await?;
            let query = sqlx::query_scalar::<_, Uuid>(sql[2]).bind(tenant_id.0).bind(recipient.as_str());
            Ok((waiting, is_on_its_way, query.fetch_optional(db).await?))
        }
        .await);
        let (waiting, is_on_its_way, about_to) = read.map_err(StoreError::database(DOING_LOOK))?;
        let waiting = waiting.into_iter().map(DeliveryId).collect();
        Ok(StillToSend { waiting, is_on_its_way, about_to: about_to.map(CampaignId) })
    }

    /// Takes somebody out of messages that came to an end, one step of them; returns whether there are more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn erase_messages(&self, erased: &Erased) -> Result<bool, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.erase_messages_once(erased).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn erase_messages_once(&self, erased: &Erased) -> Result<bool, StoreError> {
        let mut tx = self.begin_write(DOING_ERASE).await?;
        let n_erased = tx.erase_messages(erased).await.map_err(StoreError::database(DOING_ERASE))?;
        tx.commit(DOING_ERASE).await?;
        Ok(usize::try_from(ERASED_ROWS_MAX).is_ok_and(|max| max <= n_erased))
    }

    /// Takes somebody out of campaigns, conversations and opt-outs; that they opted out is kept by a hash.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn erase_recipient(&self, erased: &Erased) -> Result<(), StoreError> {
        let mut tx = self.begin_write(DOING_ERASE).await?;
        let sql = [ERASE_RECIPIENTS, ERASE_TIERS, ERASE_CONVERSATIONS].map(|sql| sql.of(self.pool()));
        let (tenant_id, who, instead) = (erased.tenant_id.0, erased.recipient.as_str(), erased.instead.as_str());
        let done: Result<(), sqlx::Error> = with_tx!(&mut tx, |db| async {
            for sql in &sql[..2] {
                sqlx::query(*sql).bind(tenant_id).bind(who).bind(instead).execute(&mut *db).await?;
            }
            sqlx::query(sql[2]).bind(tenant_id).bind(who).execute(db).await.map(drop)
        }
        .await);
        done.map_err(StoreError::database(DOING_ERASE))?;
        let said = tx.erase_opt_out(erased.tenant_id, (who, erased.at_ms)).await;
        said.map_err(StoreError::database(DOING_ERASE))?;
        tx.commit(DOING_ERASE).await
    }
}

impl Tx {
    async fn erase_messages(&mut self, erased: &Erased) -> Result<usize, sqlx::Error> {
        let next = match self {
            Self::Postgres(_) => NEXT.postgres(),
            Self::Sqlite(_) => NEXT.sqlite(),
        };
        let rows: Vec<(Uuid, Uuid, Uuid)> = with_tx!(&mut *self, |db| {
            let query = sqlx::query_as(next).bind(erased.tenant_id.0).bind(erased.recipient.as_str());
            query.bind(i64::from(ERASED_ROWS_MAX)).fetch_all(db).await
        })?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.0).collect();
        let single = rows.iter().filter(|row| CampaignId(row.2).is_direct()).map(|row| row.1).collect();
        let nothing = written(&MessageSpec::Text { text: "-".to_owned() });
        self.erase_rows(ERASE_DELIVERIES, &ids, Some(erased.instead.as_str())).await?;
        self.erase_rows(ERASE_OUTCOMES, &ids, None).await?;
        let single: Vec<Uuid> = single;
        self.erase_rows(ERASE_JOBS, &single, Some(&nothing)).await?;
        Ok(ids.len())
    }

    async fn erase_rows(&mut self, sql: Sql, ids: &[Uuid], instead: Option<&str>) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(tx) => {
                let query = sqlx::query(sql.postgres()).bind(ids);
                let query = if instead.is_some() { query.bind(instead) } else { query };
                query.execute(&mut **tx).await.map(drop)
            }
            Self::Sqlite(tx) => {
                let query = sqlx::query(sql.sqlite()).bind(hex_list(ids));
                let query = if instead.is_some() { query.bind(instead) } else { query };
                query.execute(&mut **tx).await.map(drop)
            }
        }
    }
}
