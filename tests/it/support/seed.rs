//! Rows and values that tests start from.
//!
//! Writes with its own SQL what other parts of the program would write.

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use actiwapi_dispatcher::domain::job::{JOB_VERSION, Job, JobDelivery, TrafficClass};
use actiwapi_dispatcher::domain::message::{MessageSpec, Variables};
use actiwapi_dispatcher::domain::plan::OnLimit;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::zone::{Band, Temperature, Zone};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::{with_reader, with_writer};
use uuid::Uuid;

/// The time at which tests begin, UTC milliseconds.
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

/// The same time, UTC microseconds.
pub(crate) const NOW_US: i64 = NOW_MS * 1_000;

/// The place of delivery `n` of a stream whose first ones were admitted at [`NOW_US`].
pub(crate) const fn place(n: i64) -> i64 {
    NOW_US + 1 + n
}

/// The zone that the recipients of [`job`] have in streams of a campaign.
pub(crate) fn zone_of(_campaign_id: CampaignId) -> Option<Zone> {
    Some(Zone::of_country("IN").expect("India has a zone"))
}

/// The band that the recipients of [`job`] have in streams of a campaign.
pub(crate) fn band_of(campaign_id: CampaignId) -> Band {
    Band::of(zone_of(campaign_id).as_ref(), Temperature::Cold)
}

/// A tenant with one session, which is what most contracts need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    pub(crate) tenant_id: TenantId,
    pub(crate) session_id: SessionId,
}

/// Makes a tenant with a session that is connected.
pub(crate) async fn lane(store: &Store) -> Lane {
    let tenant_id = TenantId::generate();
    with_writer!(store.pool(), |db| {
        sqlx::query("INSERT INTO tenants (tenant_id, name, created_at_ms) VALUES ($1, 'Tenant', $2)")
            .bind(tenant_id.0)
            .bind(NOW_MS)
            .execute(db)
            .await
            .map(drop)
    })
    .expect("write a tenant");
    another_lane(store, tenant_id).await
}

/// Makes another session of a tenant.
pub(crate) async fn another_lane(store: &Store, tenant_id: TenantId) -> Lane {
    let session_id = SessionId::generate();
    with_writer!(store.pool(), |db| {
        sqlx::query(
            "INSERT INTO sessions (session_id, tenant_id, name, state, phone_number_id, rate_per_minute, burst, \
                 created_at_ms) VALUES ($1, $2, 'Session', 'connected', '106540352242922', 90.5, 3, $3)",
        )
        .bind(session_id.0)
        .bind(tenant_id.0)
        .bind(NOW_MS)
        .execute(db)
        .await
        .map(drop)
    })
    .expect("write a session");
    Lane { tenant_id, session_id }
}

/// Makes a campaign.
pub(crate) async fn campaign(
    store: &Store,
    tenant_id: TenantId,
    state: CampaignState,
    on_unknown: OnUnknown,
) -> CampaignId {
    let campaign_id = CampaignId::generate();
    let message = serde_json::to_string(&text()).expect("a text is JSON");
    with_writer!(store.pool(), |db| {
        sqlx::query(
            "INSERT INTO campaigns (campaign_id, tenant_id, name, state, message, on_unknown, created_at_ms) \
             VALUES ($1, $2, 'Campaign', $3, $4, $5, $6)",
        )
        .bind(campaign_id.0)
        .bind(tenant_id.0)
        .bind(state.as_str())
        .bind(&message)
        .bind(on_unknown.as_str())
        .bind(NOW_MS)
        .execute(db)
        .await
        .map(drop)
    })
    .expect("write a campaign");
    campaign_id
}

/// Puts a campaign into a state, as a person would.
pub(crate) async fn set_campaign_state(store: &Store, campaign_id: CampaignId, state: CampaignState) {
    with_writer!(store.pool(), |db| {
        sqlx::query("UPDATE campaigns SET state = $2, finished_at_ms = $3 WHERE campaign_id = $1")
            .bind(campaign_id.0)
            .bind(state.as_str())
            .bind(state.is_over().then_some(NOW_MS))
            .execute(db)
            .await
            .map(drop)
    })
    .expect("write the state of a campaign");
}

/// Gives a campaign its sessions and recipients, places 0 to `n_recipients` - 1.
pub(crate) async fn recipients(store: &Store, campaign_id: CampaignId, lanes: &[Lane], n_recipients: i64) {
    for (ordinal, lane) in (0_i32..).zip(lanes) {
        with_writer!(store.pool(), |db| {
            sqlx::query("INSERT INTO campaign_sessions (campaign_id, ordinal, session_id) VALUES ($1, $2, $3)")
                .bind(campaign_id.0)
                .bind(ordinal)
                .bind(lane.session_id.0)
                .execute(db)
                .await
                .map(drop)
        })
        .expect("write a session of a campaign");
    }
    for seq in 0..n_recipients {
        with_writer!(store.pool(), |db| {
            sqlx::query(
                "INSERT INTO campaign_recipients (campaign_id, seq, recipient_id, recipient, variables) \
                 VALUES ($1, $2, $3, $4, '{\"name\":\"Ana\"}')",
            )
            .bind(campaign_id.0)
            .bind(seq)
            .bind(Uuid::now_v7())
            .bind((919_800_000_000 + seq).to_string())
            .execute(db)
            .await
            .map(drop)
        })
        .expect("write a recipient");
    }
}

/// Writes a row of the outbox and returns its id.
pub(crate) async fn outbox(store: &Store, campaign_id: CampaignId, job: Option<&Job>) -> Uuid {
    let outbox_id = Uuid::now_v7();
    let job = job.map(|job| String::from_utf8(job.encode().expect("a job is JSON")).expect("JSON is UTF-8"));
    with_writer!(store.pool(), |db| {
        sqlx::query("INSERT INTO outbox (outbox_id, campaign_id, job, created_at_ms) VALUES ($1, $2, $3, $4)")
            .bind(outbox_id)
            .bind(campaign_id.0)
            .bind(&job)
            .bind(NOW_MS)
            .execute(db)
            .await
            .map(drop)
    })
    .expect("write a row of the outbox");
    outbox_id
}

/// A message with one variable.
pub(crate) fn text() -> MessageSpec {
    MessageSpec::Text { text: "Hello {{name}}".to_owned() }
}

/// A job for one lane.
pub(crate) fn job(lane: Lane, campaign_id: CampaignId, n_deliveries: u64) -> Job {
    let mut variables = Variables::default();
    variables.insert("name", "Zoë \"Z\"".to_owned()).expect("a plain variable");
    let delivery = |n: u64| JobDelivery {
        id: DeliveryId::generate(),
        to: Recipient::from_stored(&(919_800_000_000 + n).to_string()).expect("a stored phone number"),
        variables: variables.clone(),
        time_zone: None,
    };
    Job {
        v: JOB_VERSION,
        job_id: JobId::generate(),
        tenant_id: lane.tenant_id,
        session_id: lane.session_id,
        campaign_id: Some(campaign_id).filter(|id| !id.is_direct()),
        traffic_class: TrafficClass::Bulk,
        on_unknown: OnUnknown::Quarantine,
        on_limit: OnLimit::Hold,
        not_before: None,
        expires_at: None,
        message: text(),
        deliveries: (0..n_deliveries).map(delivery).collect(),
    }
}

/// Admits a job; returns its deliveries.
pub(crate) async fn admit(store: &Store, job: &Job) -> Vec<DeliveryId> {
    store.admit_jobs(&[job], NOW_US).await.expect("admit a job");
    job.deliveries.iter().map(|delivery| delivery.id).collect()
}

/// The columns of a delivery that tests look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) state: String,
    pub(crate) n_attempts: i32,
    pub(crate) due_at_ms: i64,
    pub(crate) failure_class: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) provider_code: Option<String>,
    pub(crate) provider_message_id: Option<String>,
    pub(crate) sent_at_ms: Option<i64>,
    pub(crate) delivered_at_ms: Option<i64>,
    pub(crate) read_at_ms: Option<i64>,
    pub(crate) settled_at_ms: Option<i64>,
}

/// Reads a delivery.
pub(crate) async fn row(store: &Store, delivery_id: DeliveryId) -> Row {
    with_reader!(store.pool(), |db| {
        sqlx::query_as::<_, Row>(
            "SELECT state, n_attempts, due_at_ms, failure_class, reason, provider_code, provider_message_id, \
                 sent_at_ms, delivered_at_ms, read_at_ms, settled_at_ms FROM deliveries WHERE delivery_id = $1",
        )
        .bind(delivery_id.0)
        .fetch_one(db)
        .await
    })
    .expect("read a delivery")
}

/// Reads the state of a delivery.
pub(crate) async fn state(store: &Store, delivery_id: DeliveryId) -> DeliveryState {
    DeliveryState::parse(&row(store, delivery_id).await.state).expect("a known state")
}

/// Reads the words of a delivery's outcomes, in order of attempt.
pub(crate) async fn outcomes(store: &Store, delivery_id: DeliveryId) -> Vec<(i32, String)> {
    with_reader!(store.pool(), |db| {
        sqlx::query_as::<_, (i32, String)>(
            "SELECT attempt_no, outcome FROM attempt_outcomes WHERE delivery_id = $1 ORDER BY attempt_no",
        )
        .bind(delivery_id.0)
        .fetch_all(db)
        .await
    })
    .expect("read outcomes")
}

/// Executes a statement.
pub(crate) async fn execute(store: &Store, sql: &str) {
    with_writer!(store.pool(), |db| sqlx::query(sqlx::AssertSqlSafe(sql)).execute(db).await.map(drop))
        .expect("execute a statement");
}

/// Writes an id as a statement has it.
pub(crate) fn hex(store: &Store, id: Uuid) -> String {
    match store.pool() {
        actiwapi_dispatcher::store::Pool::Postgres(_) => format!("'{id}'"),
        actiwapi_dispatcher::store::Pool::Sqlite { .. } => format!("X'{}'", id.as_simple()),
    }
}

/// Counts rows of a table, by a condition.
pub(crate) async fn count(store: &Store, from: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {from}");
    with_reader!(store.pool(), |db| {
        sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql.as_str())).fetch_one(db).await
    })
    .expect("count rows")
}

/// How the messages of days stand as they are added up, and as they are counted from the rows: day, tenant, session and
/// campaign, then the counts in their order.
type Days = Vec<(i64, Vec<Uuid>, [i64; 10])>;

/// Adds up all that moved, and checks that the days are what is counted from the rows.
pub(crate) async fn days(store: &Store) {
    while store.roll_up_days(2).await.expect("add up days") != 0 {}
    let stored = "SELECT day, tenant_id, session_id, campaign_id, waiting, sent, delivered, read, failed_limit, \
                  failed_unavailable, skipped, cancelled, unknown, used FROM message_days WHERE waiting <> 0 OR sent <> 0 \
                  OR delivered <> 0 OR read <> 0 OR failed_limit <> 0 OR failed_unavailable <> 0 OR skipped <> 0 \
                  OR cancelled <> 0 OR unknown <> 0 OR used <> 0";
    let counted = "SELECT CAST(day AS BIGINT) AS day, tenant_id, session_id, campaign_id, \
             COUNT(CASE WHEN state IN ('pending', 'sending') THEN 1 END), COUNT(CASE WHEN state = 'sent' THEN 1 END), \
             COUNT(CASE WHEN state = 'delivered' THEN 1 END), COUNT(CASE WHEN state = 'read' THEN 1 END), \
             COUNT(CASE WHEN state = 'failed' AND failure_class = 'LIMIT_EXCEEDED' THEN 1 END), \
             COUNT(CASE WHEN state = 'failed' AND failure_class <> 'LIMIT_EXCEEDED' THEN 1 END), \
             COUNT(CASE WHEN state = 'skipped' THEN 1 END), COUNT(CASE WHEN state = 'cancelled' THEN 1 END), \
             COUNT(CASE WHEN state = 'unknown' THEN 1 END), COUNT(CASE WHEN quota_period_ms IS NOT NULL \
                 AND state IN ('sent', 'delivered', 'read', 'unknown') THEN 1 END) \
         FROM (SELECT d.*, (CASE WHEN state IN ('pending', 'sending') THEN created_at_ms \
                   ELSE COALESCE(sent_at_ms, settled_at_ms, created_at_ms) END) / 86400000 AS day FROM deliveries d) AS d \
         GROUP BY 1, 2, 3, 4";
    assert_eq!(all_days(store, stored).await, all_days(store, counted).await, "days as added up, and as counted");
}

async fn all_days(store: &Store, sql: &'static str) -> Days {
    type Row = (i64, Uuid, Uuid, Uuid, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);
    let rows: Vec<Row> =
        with_reader!(store.pool(), |db| sqlx::query_as(sql).fetch_all(db).await).expect("read the days");
    let day = |r: Row| (r.0, vec![r.1, r.2, r.3], [r.4, r.5, r.6, r.7, r.8, r.9, r.10, r.11, r.12, r.13]);
    let mut days: Days = rows.into_iter().map(day).collect();
    days.sort_unstable();
    days
}

/// Returns a campaign's counters after checking that every ledger holds: the sums agree, and what
/// is stored is what is counted from the rows.
pub(crate) async fn ledger(store: &Store, campaign_id: CampaignId) -> Counters {
    days(store).await;
    let mut found = Counters::default();
    for (id, stored, counted) in store.recount().await.expect("recount") {
        assert_eq!(stored, counted, "stored and counted of {id}");
        assert_eq!(stored.drift(), 0, "drift of {id}");
        if id == campaign_id {
            found = stored;
        }
    }
    found
}
