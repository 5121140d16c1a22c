//! Contracts of files: kept once, within the tenant's room, and not removed while somebody needs them.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, MediaId, TenantId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::media::{MediaKind, MediaType};
use actiwapi_dispatcher::domain::message::{MediaSpec, MessageSpec};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::media::{MediaInsert, MediaRecord, MediaRemoval};
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::with_writer;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    the_same_bytes_are_kept_once_and_room_is_bounded,
    what_a_message_waits_for_is_not_removed,
    what_a_campaign_needs_is_not_removed,
    what_is_over_is_found,
);

const ROOM: i64 = 1_000;

fn file(tenant_id: TenantId, byte: u8) -> MediaRecord {
    MediaRecord {
        id: MediaId::generate(),
        tenant_id,
        media_type: MediaType::by_extension("png").unwrap(),
        filename: "a.png".to_owned(),
        n_bytes: 400,
        sha256: [byte; 32],
        created_at_ms: NOW_MS,
        expires_at_ms: None,
    }
}

async fn kept(store: &Store, tenant_id: TenantId, byte: u8) -> MediaRecord {
    let new = file(tenant_id, byte);
    assert_eq!(store.media().insert(&new, ROOM).await.unwrap(), MediaInsert::New);
    new
}

fn image(id: MediaId) -> MessageSpec {
    MessageSpec::of_media(MediaKind::Image, MediaSpec { media_id: Some(id), ..MediaSpec::default() })
}

async fn the_same_bytes_are_kept_once_and_room_is_bounded(store: Store) {
    let (ours, theirs) = (seed::lane(&store).await.tenant_id, seed::lane(&store).await.tenant_id);
    let passing = MediaRecord { expires_at_ms: Some(NOW_MS + 5), ..file(ours, 1) };
    assert_eq!(store.media().insert(&passing, ROOM).await.unwrap(), MediaInsert::New);
    assert_eq!(store.media().find(ours, passing.id).await.unwrap(), Some(passing.clone()));
    assert_eq!(store.media().find(theirs, passing.id).await.unwrap(), None);
    let later = MediaRecord { expires_at_ms: Some(NOW_MS + 9), ..file(ours, 1) };
    assert_eq!(store.media().insert(&later, ROOM).await.unwrap(), MediaInsert::Same(passing.clone()));
    let until = async || store.media().find(ours, passing.id).await.unwrap().unwrap().expires_at_ms;
    assert_eq!(until().await, Some(NOW_MS + 9));
    store.media().insert(&file(ours, 1), ROOM).await.unwrap();
    assert_eq!(until().await, None, "kept for good");
    store.media().insert(&later, ROOM).await.unwrap();
    assert_eq!(until().await, None, "and stays so");
    let pdf = MediaRecord { media_type: MediaType::by_extension("pdf").unwrap(), ..file(ours, 1) };
    assert_eq!(store.media().insert(&pdf, ROOM).await.unwrap(), MediaInsert::New, "another type is another file");
    assert_eq!(store.media().insert(&file(ours, 2), ROOM).await.unwrap(), MediaInsert::Full(800));
    kept(&store, theirs, 1).await;
    let page = store.media().list(ours, PageRequest::default()).await.unwrap();
    assert_eq!((page.total, page.items[0].id), (2, pdf.id), "the newest first");
    let mut known = store.media().known(&[passing.id, pdf.id, MediaId::generate()]).await.unwrap();
    known.sort_unstable();
    assert_eq!(known, [passing.id, pdf.id]);
}

/// Accepts a message as the service does.
async fn accept(store: &Store, job: &Job) {
    let jobs = std::slice::from_ref(job);
    assert!(store.media().note_uses(jobs, NOW_MS).await.unwrap());
    store.messages().insert(jobs, NOW_MS).await.unwrap().unwrap();
}

fn job(lane: Lane, message: MessageSpec) -> Job {
    Job { message, ..seed::job(lane, CampaignId::DIRECT, 1) }
}

async fn what_a_message_waits_for_is_not_removed(store: Store) {
    let lane = seed::lane(&store).await;
    let tenant_id = lane.tenant_id;
    let media = kept(&store, tenant_id, 1).await;
    let sent = job(lane, image(media.id));
    let id = sent.deliveries[0].id;
    accept(&store, &sent).await;
    let remove = async || store.media().remove(tenant_id, media.id).await.unwrap();
    assert_eq!(remove().await, MediaRemoval::WaitedFor, "in the outbox");
    seed::admit(&store, &sent).await;
    with_writer!(store.pool(), |db| sqlx::query("DELETE FROM outbox").execute(db).await.map(drop)).unwrap();
    assert_eq!(remove().await, MediaRemoval::WaitedFor, "pending");
    let entries = Entries { session_id: lane.session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
    journal::begin(&store, vec![entries.begin(id, 1)]).await;
    assert_eq!(remove().await, MediaRemoval::WaitedFor, "on the wire");
    journal::end(&store, vec![entries.end(id, 1, journal::accepted())]).await;
    assert_eq!(store.media().remove(TenantId::generate(), media.id).await.unwrap(), MediaRemoval::Missing);
    assert_eq!(remove().await, MediaRemoval::Removed(media.clone()));
    assert_eq!(remove().await, MediaRemoval::Missing);
    assert_eq!(seed::count(&store, "media_uses").await, 0);

    let (other, theirs) = (kept(&store, tenant_id, 2).await, seed::lane(&store).await);
    let jobs = [job(lane, image(other.id)), job(lane, image(media.id))];
    assert!(!store.media().note_uses(&jobs, NOW_MS).await.unwrap(), "one is gone");
    assert!(!store.media().note_uses(&[job(theirs, image(other.id))], NOW_MS).await.unwrap(), "of another tenant");
    assert_eq!(seed::count(&store, "media_uses").await, 0, "all or nothing");
}

async fn what_a_campaign_needs_is_not_removed(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let media = kept(&store, tenant_id, 1).await;
    let other = kept(&store, tenant_id, 2).await;
    let campaign = seed::campaign(&store, tenant_id, CampaignState::Draft, OnUnknown::Quarantine).await;
    let message = serde_json::to_string(&image(media.id)).unwrap();
    with_writer!(store.pool(), |db| {
        let query = sqlx::query("UPDATE campaigns SET message = $2 WHERE campaign_id = $1").bind(campaign.0);
        query.bind(&message).execute(db).await.map(drop)
    })
    .unwrap();
    for state in [CampaignState::Draft, CampaignState::Scheduled, CampaignState::Running, CampaignState::Paused] {
        seed::set_campaign_state(&store, campaign, state).await;
        assert_eq!(store.media().remove(tenant_id, media.id).await.unwrap(), MediaRemoval::InCampaign, "{state:?}");
    }
    assert_eq!(store.media().remove(tenant_id, other.id).await.unwrap(), MediaRemoval::Removed(other));
    seed::set_campaign_state(&store, campaign, CampaignState::Completed).await;
    assert_eq!(store.media().remove(tenant_id, media.id).await.unwrap(), MediaRemoval::Removed(media));
}

async fn what_is_over_is_found(store: Store) {
    let lane = seed::lane(&store).await;
    let first = MediaRecord { expires_at_ms: Some(NOW_MS + 5), ..file(lane.tenant_id, 1) };
    let second = MediaRecord { expires_at_ms: Some(NOW_MS + 2), ..file(lane.tenant_id, 2) };
    store.media().insert(&first, ROOM).await.unwrap();
    store.media().insert(&second, ROOM).await.unwrap();
    assert_eq!(store.media().expired(NOW_MS, 10).await.unwrap(), []);
    assert_eq!(store.media().expired(NOW_MS + 5, 10).await.unwrap(), [second.key(), first.key()]);
    assert_eq!(store.media().expired(NOW_MS + 5, 1).await.unwrap(), [second.key()]);
    let sent = job(lane, image(first.id));
    accept(&store, &sent).await;
    store.media().forget_uses(NOW_MS).await.unwrap();
    assert_eq!(store.media().remove(lane.tenant_id, first.id).await.unwrap(), MediaRemoval::WaitedFor);
    store.media().forget_uses(NOW_MS + 1).await.unwrap();
    assert_eq!(store.media().remove(lane.tenant_id, first.id).await.unwrap(), MediaRemoval::Removed(first));
}
