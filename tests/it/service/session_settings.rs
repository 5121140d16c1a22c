//! Pacing settings of sessions and campaigns: merged, checked, told; and since when a number is linked.

use actiwapi_dispatcher::domain::id::{SessionId, TenantId};
use actiwapi_dispatcher::domain::pacing::{CampaignPacing, Pacing, PacingProfile};
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::gateway::connector::Connection;
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::sessions::{NewSession, PacingChange, SessionChange};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::session_events::SessionMove;
use actiwapi_dispatcher::with_writer;
use serde_json::{Map, Value, json};

use super::front::{Front, campaign, fields, silent};
use crate::support::db::store_contract;
use crate::support::seed::NOW_MS;

store_contract!(
    settings_are_merged_and_told,
    rate_and_burst_are_the_same_by_either_way,
    what_is_wrong_is_told_and_nothing_changes,
    changes_at_the_same_moment_are_both_kept,
    connecting_notes_the_moment_and_the_age_of_the_number,
    a_number_keeps_its_age_whoever_links_it,
    campaigns_keep_their_own_pace,
);

fn change(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn default_pacing() -> Pacing {
    Pacing::new(20.0, 1).unwrap()
}

async fn settings_are_merged_and_told(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    front.notices();
    let sessions = front.services.sessions.clone();
    let before = sessions.settings(tenant_id, id).await.unwrap();
    assert_eq!((before.version, &before.own), (1, &Default::default()));
    assert_eq!(before.effective.burst, Some(sessions.default_pacing().burst().get()));

    let given = json!({"profile": "standard", "hourlyCap": 40, "cold": {"dailyCap": 50}});
    let set = sessions.change_settings(tenant_id, id, change(given)).await.unwrap();
    assert_eq!((set.version, set.own.hourly_cap), (2, Some(40)));
    let cold = set.effective.cold.clone().unwrap();
    assert_eq!((cold.daily_cap, cold.rate_per_minute, cold.rewarm_after_hours), (Some(50), Some(7.5), Some(72)));
    assert_eq!(front.notices(), [Notice::SessionChanged(id)]);
    assert_eq!(sessions.settings(tenant_id, id).await.unwrap(), set);

    let lane = front.store.lane(id).await.unwrap().unwrap();
    let rules = lane.rules(default_pacing());
    assert_eq!((rules.version, rules.profile), (2, Some(PacingProfile::Standard)));
    assert_eq!((rules.hourly_cap, rules.cold.daily_cap), (Some(40), Some(50)));

    let again = sessions.change_settings(tenant_id, id, change(json!({"hourlyCap": 40}))).await.unwrap();
    assert_eq!(again, set, "a change of nothing is none");
    assert_eq!(front.notices(), []);

    let removed = json!({"profile": null, "hourlyCap": null, "cold": null});
    let set = sessions.change_settings(tenant_id, id, change(removed)).await.unwrap();
    assert_eq!((set.version, set.own), (3, Default::default()));
    assert_eq!(set.effective, before.effective);
}

async fn rate_and_burst_are_the_same_by_either_way(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    let sessions = &front.services.sessions;
    let set = sessions.change_settings(tenant_id, id, change(json!({"ratePerMinute": 6, "tier": 250}))).await.unwrap();
    assert_eq!(set.own.rate_per_minute, Some(6.0));
    let session = front.store.sessions().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!((session.rate_per_minute, session.pacing.rate_per_minute), (Some(6.0), None));

    let pacing = PacingChange { rate_per_minute: Some(7.0), burst: Some(3) };
    sessions.update(tenant_id, id, SessionChange { name: None, pacing }).await.unwrap();
    let set = sessions.settings(tenant_id, id).await.unwrap();
    assert_eq!((set.own.rate_per_minute, set.own.burst, set.own.tier), (Some(7.0), Some(3), Some(250)));
    assert_eq!(set.version, 3);
    let renamed = SessionChange { name: Some("Till".to_owned()), ..SessionChange::default() };
    sessions.update(tenant_id, id, renamed).await.unwrap();
    assert_eq!(sessions.settings(tenant_id, id).await.unwrap().version, 3, "a name is no pace");

    let set = sessions.change_settings(tenant_id, id, change(json!({"ratePerMinute": null}))).await.unwrap();
    assert_eq!((set.own.rate_per_minute, set.own.burst), (None, Some(3)));
    let profiled = sessions.change_settings(tenant_id, id, change(json!({"profile": "cloud"}))).await.unwrap();
    assert_eq!((profiled.effective.rate_per_minute, profiled.effective.burst), (Some(4_800.0), Some(3)));
    let session = front.store.sessions().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!(sessions.pacing_of(&session).rate_per_minute().round(), 4_800.0);
}

async fn what_is_wrong_is_told_and_nothing_changes(store: Store) {
    let mut front = Front::new(store);
    let (tenant_id, thief) = (front.tenant().await, front.tenant().await);
    let id = front.session(tenant_id).await;
    front.notices();
    let sessions = front.services.sessions.clone();
    let bad = json!({
        "ratePerMinute": 0, "burst": "many", "hourlyCap": 0,
        "hours": [{"days": ["mon"], "from": "22:00", "to": "06:00"}], "cold": {"jitter": 99},
    });
    let mut told = fields(sessions.change_settings(tenant_id, id, change(bad)).await);
    told.sort_unstable();
    assert_eq!(told, ["burst", "cold.jitter", "hourlyCap", "hours", "ratePerMinute"]);
    assert_eq!(sessions.settings(tenant_id, id).await.unwrap().version, 1);
    assert_eq!(front.notices(), []);
    assert!(sessions.settings(thief, id).await.is_err());
    assert!(sessions.change_settings(thief, id, change(json!({"burst": 2}))).await.is_err());
    let set = front.store.sessions().set_pacing(thief, id, 1, &Default::default()).await.unwrap();
    assert!(!set, "another tenant's");
}

async fn changes_at_the_same_moment_are_both_kept(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    let sessions = &front.services.sessions;
    let (a, b) = tokio::join!(
        sessions.change_settings(tenant_id, id, change(json!({"burst": 7}))),
        sessions.change_settings(tenant_id, id, change(json!({"tier": 9}))),
    );
    a.and(b).unwrap();
    let set = sessions.settings(tenant_id, id).await.unwrap();
    assert_eq!((set.own.burst, set.own.tier, set.version), (Some(7), Some(9), 3));
}

/// Since when a session is connected, and its number linked.
async fn since(front: &Front, id: SessionId) -> (Option<i64>, Option<i64>) {
    let lane = front.store.lane(id).await.unwrap().unwrap();
    (lane.connected_at_ms, lane.first_linked_at_ms)
}

async fn connecting_notes_the_moment_and_the_age_of_the_number(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    assert_eq!(since(&front, id).await, (None, None));
    front.gateway.answers(Ok(Connection::Connecting));
    front.services.sessions.connect(tenant_id, id).await.unwrap();
    assert_eq!(since(&front, id).await, (None, None), "on its way");
    let connected = async |now_ms| {
        let (from, to) = (SessionState::Connecting, SessionState::Connected);
        let (step, back) = (SessionMove { at_ms: now_ms, ..silent(from, to) }, silent(to, from));
        assert!(front.store.sessions().transition(tenant_id, id, &step).await.unwrap());
        assert!(!front.store.sessions().transition(tenant_id, id, &step).await.unwrap(), "no more");
        assert!(front.store.sessions().transition(tenant_id, id, &back).await.unwrap());
    };
    connected(NOW_MS).await;
    assert_eq!(since(&front, id).await, (Some(NOW_MS), Some(NOW_MS)));
    connected(NOW_MS + 5_000).await;
    assert_eq!(since(&front, id).await, (Some(NOW_MS + 5_000), Some(NOW_MS)), "age survives a new link");

    // The digits become known later, as with linked devices.
    set_phone_number(&front.store, id, "919876543210").await;
    connected(NOW_MS + 9_000).await;
    assert_eq!(since(&front, id).await, (Some(NOW_MS + 9_000), Some(NOW_MS)), "and a new name of the number");
}

async fn set_phone_number(store: &Store, id: SessionId, digits: &str) {
    with_writer!(store.pool(), |db| {
        sqlx::query("UPDATE sessions SET phone_number = $2 WHERE session_id = $1")
            .bind(id.0)
            .bind(digits)
            .execute(db)
            .await
            .map(drop)
    })
    .unwrap();
}

async fn with_number(front: &Front, tenant_id: TenantId) -> SessionId {
    let new = NewSession {
        name: "Shop".to_owned(),
        phone_number_id: Some("106540352242922".to_owned()),
        ..NewSession::default()
    };
    front.services.sessions.create(tenant_id, new).await.unwrap().id
}

async fn a_number_keeps_its_age_whoever_links_it(store: Store) {
    let front = Front::new(store);
    let (first, second) = (front.tenant().await, front.tenant().await);
    let (before, after) = (with_number(&front, first).await, with_number(&front, second).await);
    let sessions = front.store.sessions();
    let step = |at_ms| SessionMove { at_ms, ..silent(SessionState::Disconnected, SessionState::Connected) };
    assert!(sessions.transition(first, before, &step(NOW_MS)).await.unwrap());
    assert!(sessions.transition(second, after, &step(NOW_MS + 86_400_000)).await.unwrap());
    assert_eq!(since(&front, after).await, (Some(NOW_MS + 86_400_000), Some(NOW_MS)));
}

async fn campaigns_keep_their_own_pace(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session = front.session(tenant_id).await;
    let pacing = |value: Value| serde_json::from_value::<CampaignPacing>(value).unwrap();
    let slow = pacing(json!({"ratePerMinute": 5, "hours": [{"days": ["sat"], "from": "10:00", "to": "12:00"}]}));
    let new = || campaign(&[session]);
    let (made, _) = front
        .services
        .campaigns
        .create(tenant_id, {
            let mut new = new();
            new.pacing = slow.clone();
            new
        })
        .await
        .unwrap();
    let found = front.store.campaigns().find(tenant_id, made.id).await.unwrap().unwrap();
    assert_eq!((&found.pacing, &made.pacing), (&slow, &slow));
    let (plain, _) = front.services.campaigns.create(tenant_id, new()).await.unwrap();
    let found = front.store.campaigns().find(tenant_id, plain.id).await.unwrap().unwrap();
    assert_eq!(found.pacing, CampaignPacing::default());
    let mut bad = new();
    bad.pacing = pacing(json!({"ratePerMinute": 0, "dailyCap": 0}));
    let told = fields(front.services.campaigns.create(tenant_id, bad).await);
    assert_eq!(told, ["pacing.ratePerMinute", "pacing.dailyCap"]);
}
