//! What happens, on its way to tenants that want to be told: queued in the transaction that makes it happen.
//!
//! A tenant that nobody is to tell costs one read and no write. Nothing is sent here. What is told of one subject is
//! queued while that subject is locked, so that the places in the queue are the order of the moves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::campaign::CampaignState;
use crate::domain::event::StateChange;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::inbound::InboundMessage;
use crate::domain::realtime::RealtimeEvent;
use crate::domain::webhook::WebhookEvent;
use crate::store::bind::{Hex, column, hex_list, ms_of, to_json};
use crate::store::realtime::RealtimeNews;
use crate::store::session_events::SessionMove;
use crate::store::sql::now_ms;
use crate::store::tx::Tx;
use crate::store::{Sql, Store, StoreError};

/// A row without events stands for somebody who looks on.
const WANTED: Sql = Sql::per_dialect(
    concat!(
        "SELECT webhook_id, tenant_id, events FROM webhooks \
         WHERE tenant_id = ANY($1) AND is_active AND deleted_at_ms IS NULL \
         UNION ALL SELECT node_id, tenant_id, NULL FROM realtime_listeners \
         WHERE tenant_id = ANY($1) AND ",
        now_ms!(postgres),
        " < until_ms"
    ),
    concat!(
        "SELECT webhook_id, tenant_id, events FROM webhooks \
         WHERE tenant_id IN (SELECT unhex(value) FROM json_each($1)) AND is_active AND deleted_at_ms IS NULL \
         UNION ALL SELECT node_id, tenant_id, NULL FROM realtime_listeners \
         WHERE tenant_id IN (SELECT unhex(value) FROM json_each($1)) AND ",
        now_ms!(sqlite),
        " < until_ms"
    ),
);

const QUEUE: Sql = Sql::per_dialect(
    concat!(
        "INSERT INTO webhook_deliveries (delivery_id, webhook_id, tenant_id, event, subject_id, at_ms, data, \
             created_at_ms, due_at_ms) \
         SELECT u.delivery_id, u.webhook_id, u.tenant_id, u.event, u.subject_id, u.at_ms, u.data, n.ms, n.ms \
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::int8[], $7::text[]) \
              AS u (delivery_id, webhook_id, tenant_id, event, subject_id, at_ms, data), \
             (SELECT ",
        now_ms!(postgres),
        " AS ms) AS n ON CONFLICT (delivery_id) DO NOTHING"
    ),
    concat!(
        "INSERT INTO webhook_deliveries (delivery_id, webhook_id, tenant_id, event, subject_id, at_ms, data, \
             created_at_ms, due_at_ms) \
         SELECT unhex(u.value ->> 0), unhex(u.value ->> 1), unhex(u.value ->> 2), u.value ->> 3, \
                unhex(u.value ->> 4), u.value ->> 5, u.value ->> 6, n.ms, n.ms \
         FROM json_each($1) AS u, (SELECT ",
        now_ms!(sqlite),
        " AS ms) AS n WHERE true ON CONFLICT (delivery_id) DO NOTHING"
    ),
);

const SESSIONS_OF_NUMBERS: Sql = Sql::per_dialect(
    "SELECT phone_number_id, session_id, tenant_id FROM sessions WHERE phone_number_id = ANY($1)",
    "SELECT phone_number_id, session_id, tenant_id FROM sessions \
     WHERE phone_number_id IN (SELECT value FROM json_each($1))",
);

const DOING_INBOUND: &str = "queue what recipients wrote";

/// Something that happened.
#[derive(Debug)]
pub(crate) struct Told {
    /// In whose account.
    pub(crate) tenant_id: TenantId,
    /// What.
    pub(crate) event: WebhookEvent,
    /// The message, session or campaign: what is told of it arrives in order.
    pub(crate) subject_id: Uuid,
    /// When, UTC milliseconds.
    pub(crate) at_ms: i64,
    /// What else is to be known.
    pub(crate) data: Value,
    /// Names it where the same may be told twice; it is then queued once.
    pub(crate) name: Option<String>,
}

/// A move of a campaign, as it is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CampaignTold<'a> {
    pub(crate) tenant_id: TenantId,
    pub(crate) campaign_id: CampaignId,
    pub(crate) from: CampaignState,
    pub(crate) to: CampaignState,
    /// Why, when no person did it.
    pub(crate) reason: Option<&'a str>,
    pub(crate) at_ms: i64,
}

/// Who wants to be told what.
#[derive(Debug, Default)]
struct Wanted {
    webhooks: BTreeMap<TenantId, Vec<(Uuid, Vec<WebhookEvent>)>>,
    /// Somebody looks on, on some node.
    listened: BTreeSet<TenantId>,
}

/// One row of the queue.
struct Queued<'a> {
    delivery_id: Uuid,
    webhook_id: Uuid,
    told: &'a Told,
    data: String,
}

impl Wanted {
    fn rows<'a>(&self, told: &'a [Told]) -> Vec<Queued<'a>> {
        let mut rows = Vec::new();
        for told in told {
            let hooks = self.webhooks.get(&told.tenant_id).into_iter().flatten();
            for (webhook_id, _) in hooks.filter(|(_, events)| events.contains(&told.event)) {
                let name = told.name.as_ref().map(|name| Uuid::new_v5(webhook_id, name.as_bytes()));
                rows.push(Queued {
                    delivery_id: name.unwrap_or_else(Uuid::now_v7),
                    webhook_id: *webhook_id,
                    told,
                    data: told.data.to_string(),
                });
            }
        }
        rows
    }
}

impl Store {
    /// Queues what recipients wrote for every session that has the number they wrote to; each message once, however
    /// often the provider tells it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be durable; safe to repeat.
    pub async fn tell_inbound(&self, messages: &[InboundMessage]) -> Result<(), StoreError> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_write(DOING_INBOUND).await?;
        let sessions = tx.sessions_of_numbers(messages).await.map_err(StoreError::database(DOING_INBOUND))?;
        let tenants = sessions.iter().map(|(_, _, tenant_id)| TenantId(*tenant_id)).collect();
        let told = || {
            let mut told = Vec::new();
            // One without a name could not be told from the others.
            for message in messages.iter().filter(|message| !message.provider_message_id.is_empty()) {
                let of_number = sessions.iter().filter(|(number, ..)| *number == message.phone_number_id);
                told.extend(of_number.map(|(_, session_id, tenant_id)| received(message, *session_id, *tenant_id)));
            }
            // Whoever takes the same callback at the same time waits for the same rows in the same order.
            told.sort_by(|a, b| a.name.cmp(&b.name));
            told
        };
        tx.tell(&tenants, told, DOING_INBOUND).await?;
        self.commit_moves(tx, DOING_INBOUND).await
    }
}

impl Tx {
    /// Queues what happened to whoever is to be told of it; `told` is asked only if there is anybody.
    pub(crate) async fn tell(
        &mut self,
        tenants: &BTreeSet<TenantId>,
        told: impl FnOnce() -> Vec<Told>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let told = || {
            let told = told();
            let news = told.iter().filter_map(of_told).collect();
            (told, news)
        };
        self.tell_both(tenants, told, doing).await
    }

    /// Does the same, with what people who look on are told besides.
    async fn tell_both(
        &mut self,
        tenants: &BTreeSet<TenantId>,
        told: impl FnOnce() -> (Vec<Told>, Vec<(TenantId, RealtimeNews)>),
        doing: &'static str,
    ) -> Result<(), StoreError> {
        if tenants.is_empty() {
            return Ok(());
        }
        let wanted = self.wanted(tenants).await.map_err(StoreError::database(doing))?;
        if wanted.webhooks.is_empty() && wanted.listened.is_empty() {
            return Ok(());
        }
        let (told, news) = told();
        let rows = wanted.rows(&told);
        if !rows.is_empty() {
            self.queue(&rows).await.map_err(StoreError::database(doing))?;
        }
        self.record_realtime(&wanted.listened, news.into_iter()).await.map_err(StoreError::database(doing))
    }

    /// Queues what became of messages; their rows must be locked.
    pub(crate) async fn tell_changes(
        &mut self,
        tenants: &BTreeSet<TenantId>,
        changes: impl FnOnce() -> Vec<StateChange>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let told = || {
            let changes = changes();
            let news = changes.iter().map(|change| (change.tenant_id, news_of_change(change))).collect();
            (changes.iter().filter_map(of_change).collect(), news)
        };
        self.tell_both(tenants, told, doing).await
    }

    /// Queues what became of a campaign; its row must be locked.
    pub(crate) async fn tell_campaign(
        &mut self,
        told: CampaignTold<'_>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let CampaignTold { tenant_id, campaign_id, from, to, reason, at_ms } = told;
        let data = json!({
            "campaignId": campaign_id, "status": to.as_str(), "previousStatus": from.as_str(), "reason": reason,
        });
        let subject_id = campaign_id.0;
        let told = WebhookEvent::of_campaign(from, to);
        let told = told.map(|event| Told { tenant_id, event, subject_id, at_ms, data, name: None });
        let news = RealtimeNews { event: RealtimeEvent::CampaignProgress, subject_id, data: Value::Null };
        let both = || (told.into_iter().collect(), vec![(tenant_id, news)]);
        self.tell_both(&BTreeSet::from([tenant_id]), both, doing).await
    }

    /// Queues what became of a session; its row must be locked.
    pub(crate) async fn tell_session(
        &mut self,
        tenant_id: TenantId,
        id: SessionId,
        step: &SessionMove,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let data = json!({
            "sessionId": id, "status": step.to.as_str(), "previousStatus": step.from.as_str(), "reason": step.reason,
        });
        let (subject_id, at_ms) = (id.0, step.at_ms);
        let status = RealtimeNews { event: RealtimeEvent::SessionStatus, subject_id, data: data.clone() };
        let told = WebhookEvent::of_session(step.to);
        let told = told.map(|event| Told { tenant_id, event, subject_id, at_ms, data, name: None });
        let both = || (told.into_iter().collect(), vec![(tenant_id, status)]);
        self.tell_both(&BTreeSet::from([tenant_id]), both, doing).await
    }

    async fn wanted(&mut self, tenants: &BTreeSet<TenantId>) -> Result<Wanted, sqlx::Error> {
        let tenants: Vec<Uuid> = tenants.iter().map(|tenant_id| tenant_id.0).collect();
        let rows: Vec<(Uuid, Uuid, Option<String>)> = match self {
            Self::Postgres(tx) => sqlx::query_as(WANTED.postgres()).bind(tenants).fetch_all(&mut **tx).await?,
            Self::Sqlite(tx) => sqlx::query_as(WANTED.sqlite()).bind(hex_list(&tenants)).fetch_all(&mut **tx).await?,
        };
        let mut wanted = Wanted::default();
        for (id, tenant_id, events) in rows {
            let tenant_id = TenantId(tenant_id);
            match events {
                Some(events) => wanted.webhooks.entry(tenant_id).or_default().push((id, events_of(&events))),
                None => drop(wanted.listened.insert(tenant_id)),
            }
        }
        Ok(wanted)
    }

    async fn queue(&mut self, rows: &[Queued<'_>]) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(tx) => sqlx::query(QUEUE.postgres())
                .bind(column(rows, |row| row.delivery_id))
                .bind(column(rows, |row| row.webhook_id))
                .bind(column(rows, |row| row.told.tenant_id.0))
                .bind(column(rows, |row| row.told.event.as_str()))
                .bind(column(rows, |row| row.told.subject_id))
                .bind(column(rows, |row| row.told.at_ms))
                .bind(column(rows, |row| row.data.as_str()))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(rows, |row| {
                    let (ids, told) = ((Hex(row.delivery_id), Hex(row.webhook_id)), row.told);
                    let about = (told.event.as_str(), Hex(told.subject_id));
                    (ids.0, ids.1, Hex(told.tenant_id.0), about.0, about.1, told.at_ms, row.data.as_str())
                });
                sqlx::query(QUEUE.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }

    async fn sessions_of_numbers(
        &mut self,
        messages: &[InboundMessage],
    ) -> Result<Vec<(String, Uuid, Uuid)>, sqlx::Error> {
        let numbers: BTreeSet<&str> = messages.iter().map(|message| message.phone_number_id.as_str()).collect();
        let numbers: Vec<&str> = numbers.into_iter().collect();
        match self {
            Self::Postgres(tx) => {
                sqlx::query_as(SESSIONS_OF_NUMBERS.postgres()).bind(numbers).fetch_all(&mut **tx).await
            }
            Self::Sqlite(tx) => {
                let json = to_json(&numbers, |number| *number);
                sqlx::query_as(SESSIONS_OF_NUMBERS.sqlite()).bind(json).fetch_all(&mut **tx).await
            }
        }
    }
}

/// Reads the events of an address; words that a newer program wrote are passed over.
pub(super) fn events_of(words: &str) -> Vec<WebhookEvent> {
    let words: Vec<String> = serde_json::from_str(words).unwrap_or_default();
    words.iter().filter_map(|word| WebhookEvent::parse(word)).collect()
}

fn of_change(change: &StateChange) -> Option<Told> {
    Some(Told {
        tenant_id: change.tenant_id,
        event: WebhookEvent::of_message(change.state)?,
        subject_id: change.delivery_id.0,
        at_ms: ms_of(change.at),
        data: data_of_change(change),
        name: None,
    })
}

fn data_of_change(change: &StateChange) -> Value {
    let failure = change
        .failure_class
        .map(|class| json!({ "code": class.as_str(), "reason": change.reason, "providerCode": change.provider_code }));
    json!({
        "messageId": change.delivery_id,
        "sessionId": change.session_id,
        "campaignId": change.campaign_id,
        "status": change.state.api_word(),
        "previousStatus": change.from.map(|state| state.api_word()),
        "attempts": change.attempt,
        "failure": failure,
    })
}

fn news_of_change(change: &StateChange) -> RealtimeNews {
    let (event, subject_id) = (RealtimeEvent::MessageStatus, change.delivery_id.0);
    RealtimeNews { event, subject_id, data: data_of_change(change) }
}

fn of_told(told: &Told) -> Option<(TenantId, RealtimeNews)> {
    let event = RealtimeEvent::of_webhook(told.event)?;
    Some((told.tenant_id, RealtimeNews { event, subject_id: told.subject_id, data: told.data.clone() }))
}

fn received(message: &InboundMessage, session_id: Uuid, tenant_id: Uuid) -> Told {
    Told {
        tenant_id: TenantId(tenant_id),
        event: WebhookEvent::MessageReceived,
        subject_id: Uuid::new_v5(&session_id, message.provider_message_id.as_bytes()),
        at_ms: message.at_ms,
        data: json!({
            "sessionId": session_id,
            "from": message.from.as_str(),
            "providerMessageId": message.provider_message_id,
            "type": message.kind,
            "text": message.text,
        }),
        name: Some(format!("{session_id} {}", message.provider_message_id)),
    }
}
