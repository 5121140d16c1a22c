//! What comes of it when somebody opts out: tenants are told, and the campaign that was answered so is charged.
//!
//! Who has opted out is [`crate::store::opt_outs`]; what is too much for a campaign is the domain's.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use crate::domain::webhook::WebhookEvent;
use crate::store::bind::{Hex, to_json};
use crate::store::opt_outs::OptChange;
use crate::store::tx::{Tx, with_tx};
use crate::store::webhook_feed::Told;
use crate::store::{Sql, StoreError};

/// By how much the provider's clock may be behind ours: a minute, most of it whole seconds and the way of the receipt.
const CLOCKS_DIFFER_MS: i64 = 60_000;

/// The word answers what the recipient was last sent from that number. A campaign that is over is not judged any more.
macro_rules! count_stops {
    ($from:literal, $tenant_id:literal, $recipient:literal, $number:literal, $until_ms:literal) => {
        concat!(
            "INSERT INTO campaign_stops AS t (campaign_id, n) SELECT c.campaign_id, COUNT(*) FROM \
                 (SELECT (SELECT d.campaign_id FROM deliveries d JOIN sessions s ON s.session_id = d.session_id \
                          WHERE d.tenant_id = ",
            $tenant_id,
            " AND d.recipient = ",
            $recipient,
            " AND s.phone_number_id = ",
            $number,
            " AND d.state IN ('sent', 'delivered', 'read') AND d.sent_at_ms <= ",
            $until_ms,
            " ORDER BY d.sent_at_ms DESC LIMIT 1) AS campaign_id FROM ",
            $from,
            ") AS l JOIN campaigns c ON c.campaign_id = l.campaign_id WHERE c.state IN ('running', 'paused') \
             GROUP BY c.campaign_id ORDER BY c.campaign_id \
             ON CONFLICT (campaign_id) DO UPDATE SET n = t.n + EXCLUDED.n"
        )
    };
}

const COUNT_STOPS: Sql = Sql::per_dialect(
    count_stops!(
        "json_to_recordset(CAST($1 AS JSON)) AS u (tenant_id uuid, recipient text, number text, until_ms int8)",
        "u.tenant_id",
        "u.recipient",
        "u.number",
        "u.until_ms"
    ),
    count_stops!(
        "json_each($1) AS u",
        "unhex(u.value ->> 'tenant_id')",
        "u.value ->> 'recipient'",
        "u.value ->> 'number'",
        "u.value ->> 'until_ms'"
    ),
);

impl Tx {
    /// Queues who has opted out; their rows must be locked.
    pub(super) async fn tell_opt_outs(
        &mut self,
        changes: Vec<&OptChange>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let tenants: BTreeSet<_> = changes.iter().map(|change| change.tenant_id).collect();
        self.tell(&tenants, || changes.into_iter().map(opted_out).collect(), doing).await
    }

    /// Charges campaigns with recipients who answered a message of theirs by opting out, each with the number they wrote to.
    pub(super) async fn count_stops(
        &mut self,
        stops: &[(&OptChange, &str)],
        doing: &'static str,
    ) -> Result<(), StoreError> {
        if stops.is_empty() {
            return Ok(());
        }
        let rows = to_json(stops, |(change, number)| {
            let until_ms = change.opt_out.changed_at_ms.saturating_add(CLOCKS_DIFFER_MS);
            json!({
                "tenant_id": Hex(change.tenant_id.0), "recipient": change.recipient.as_str(), "number": number,
                "until_ms": until_ms,
            })
        });
        let sql = match self {
            Self::Postgres(_) => COUNT_STOPS.postgres(),
            Self::Sqlite(_) => COUNT_STOPS.sqlite(),
        };
        with_tx!(self, |db| sqlx::query(sql).bind(rows).execute(db).await.map(drop))
            .map_err(StoreError::database(doing))
    }
}

fn opted_out(change: &OptChange) -> Told {
    let (phone, at_ms) = (change.recipient.as_str(), change.opt_out.changed_at_ms);
    Told {
        tenant_id: change.tenant_id,
        event: WebhookEvent::ContactOptedOut,
        subject_id: Uuid::new_v5(&change.tenant_id.0, phone.as_bytes()),
        at_ms,
        data: json!({ "phone": phone, "optedOutBy": change.opt_out.by.as_str() }),
        name: Some(format!("opted out {phone} {at_ms}")),
    }
}
