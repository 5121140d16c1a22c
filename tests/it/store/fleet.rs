//! Contracts of the count of all there is.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::CampaignId;
use actiwapi_dispatcher::store::Store;

use crate::support::db::store_contract;
use crate::support::seed;

store_contract!(what_a_paused_campaign_holds_does_not_wait_for_a_lane);

async fn what_a_paused_campaign_holds_does_not_wait_for_a_lane(store: Store) {
    let lane = seed::lane(&store).await;
    for (state, n) in [(CampaignState::Running, 3), (CampaignState::Paused, 4)] {
        let campaign_id = seed::campaign(&store, lane.tenant_id, state, OnUnknown::Quarantine).await;
        seed::admit(&store, &seed::job(lane, campaign_id, n)).await;
    }
    // Of a campaign that only the topic knows.
    seed::admit(&store, &seed::job(lane, CampaignId::generate(), 5)).await;
    let counts = store.count_fleet().await.unwrap();
    let of = |kind: &str, state: &str| -> i64 {
        counts.iter().filter(|count| count.0 == kind && count.1 == state).map(|count| count.2).sum()
    };
    assert_eq!((of("deliveries", "pending"), of("deliveries", "paused")), (8, 4));
    assert_eq!((of("campaigns", "running"), of("campaigns", "paused"), of("sessions", "connected")), (1, 1, 1));
}
