//! Files as they are taken in, kept within bounds, sent and swept away.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::id::TenantId;
use actiwapi_dispatcher::domain::media::MediaKind;
use actiwapi_dispatcher::domain::message::{MediaSpec, MessageSpec};
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::campaigns::NewCampaign;
use actiwapi_dispatcher::service::made_messages::{NewMediaMessage, SingleTo};
use actiwapi_dispatcher::service::media::MediaWish;
use actiwapi_dispatcher::service::message_bulk::{Bulk, BulkMessage};
use actiwapi_dispatcher::service::messages::NewMessage;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::media::MediaRecord;
use actiwapi_dispatcher::store::page::PageRequest;
use bytes::Bytes;
use futures::TryStreamExt;

use super::front::{Front, campaign, conflict, fields};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, count};

store_contract!(
    bytes_decide_and_are_kept_once,
    what_is_refused_leaves_no_file,
    messages_with_files_are_checked,
    several_messages_share_a_file,
    bytes_stay_where_it_is_not_known_what_was_written,
    what_nobody_needs_is_swept,
);

/// Makes an image of so many bytes; their last differ with their number.
pub(super) fn png(n_bytes: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.resize(n_bytes, u8::try_from(n_bytes % 251).unwrap());
    bytes
}

async fn take(front: &Front, tenant_id: TenantId, bytes: &[u8], wish: MediaWish) -> Result<MediaRecord, Error> {
    let mut upload = front.services.media.begin(tenant_id, Some("../a/Sale.png"), wish).await?;
    for chunk in bytes.chunks(7_000) {
        if let Err(error) = upload.feed(Bytes::copy_from_slice(chunk)).await {
            upload.abort().await;
            return Err(error);
        }
    }
    upload.finish().await
}

/// Uploads a file to be kept.
pub(super) async fn upload(front: &Front, tenant_id: TenantId, bytes: &[u8]) -> Result<MediaRecord, Error> {
    take(front, tenant_id, bytes, MediaWish { kind: None, is_kept: true }).await
}

fn on_disk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(on_disk(&path)) } else { found.push(path) }
    }
    found
}

async fn bytes_decide_and_are_kept_once(store: Store) {
    let front = Front::new(store);
    let (owner, other) = (front.tenant().await, front.tenant().await);
    let bytes = png(40_000);
    let media = upload(&front, owner, &bytes).await.unwrap();
    assert_eq!((media.media_type.mime, media.filename.as_str(), media.n_bytes), ("image/png", "Sale.png", 40_000));
    let (_, reader) = front.services.media.read(owner, media.id).await.unwrap();
    let read: Vec<Bytes> = reader.stream.try_collect().await.unwrap();
    assert!(read.concat() == bytes);
    assert_eq!(upload(&front, owner, &bytes).await.unwrap().id, media.id);
    assert_ne!(upload(&front, other, &bytes).await.unwrap().id, media.id, "tenants share nothing");
    assert_eq!(on_disk(front.media.path()).len(), 2);
    let small = upload(&front, owner, b"%PDF-1.4\n").await.unwrap();
    assert_eq!(small.media_type.kind, MediaKind::Document, "whatever it is called");
    front.services.media.remove(owner, media.id).await.unwrap();
    assert!(matches!(front.services.media.read(owner, media.id).await.map(drop), Err(Error::NotFound(_))));
    assert_eq!(on_disk(front.media.path()).len(), 2);
}

async fn what_is_refused_leaves_no_file(store: Store) {
    let front = Front::new(store);
    let owner = front.tenant().await;
    let image = MediaWish { kind: Some(MediaKind::Image), is_kept: false };
    assert_eq!(fields(upload(&front, owner, &png(100_001)).await), ["file"]);
    assert_eq!(fields(upload(&front, owner, b"").await), ["file"]);
    assert_eq!(fields(upload(&front, owner, b"MZ\x90\0\x03\0\0\0\0\0").await), ["file"]);
    assert_eq!(fields(take(&front, owner, b"%PDF-1.4\n", image).await), ["file"]);
    let mut broken = front.services.media.begin(owner, None, image).await.unwrap();
    broken.feed(Bytes::from(png(50_000))).await.unwrap();
    broken.abort().await;
    assert_eq!(on_disk(front.media.path()), Vec::<PathBuf>::new());
    for n in [90_000, 90_001, 90_002] {
        upload(&front, owner, &png(n)).await.unwrap();
    }
    let full = conflict(upload(&front, owner, &png(90_003)).await);
    assert_eq!(full, "All media together may have 300000 bytes, and 270003 are used: remove some.");
    assert_eq!(on_disk(front.media.path()).len(), 3);
    assert_eq!(front.store.media().list(owner, PageRequest::default()).await.unwrap().total, 3);
}

async fn messages_with_files_are_checked(store: Store) {
    let front = Front::new(store);
    let (owner, thief) = (front.tenant().await, front.tenant().await);
    let session_id = front.connected_session(owner).await;
    let media = upload(&front, owner, &png(100)).await.unwrap();
    let new = |kind, media_id, media_url: Option<&str>| NewMediaMessage {
        single: SingleTo { session_id, to: "919800000001".to_owned() },
        kind,
        media_id,
        media_url: media_url.map(str::to_owned),
        caption: Some("{{as}} it {is}".to_owned()),
        filename: None,
    };
    let send = async |new| front.services.messages.send_media(owner, new).await;
    let sent = send(new(MediaKind::Image, Some(media.id), None)).await.unwrap();
    assert_eq!(front.store.messages().find(owner, sent.id).await.unwrap().map(|found| found.id), Some(sent.id));
    assert_eq!(fields(send(new(MediaKind::Video, Some(media.id), None)).await), ["mediaId"], "it is an image");
    assert_eq!(fields(send(new(MediaKind::Image, None, None)).await), ["mediaId"]);
    assert_eq!(fields(send(new(MediaKind::Image, None, Some("http://a.example"))).await), ["mediaUrl"]);
    let odd = NewMediaMessage {
        single: SingleTo { session_id, to: "x".to_owned() },
        caption: Some("x".repeat(1_025)),
        filename: Some("a.pdf".to_owned()),
        ..new(MediaKind::Image, None, Some("https://a.example"))
    };
    assert_eq!(fields(send(odd).await), ["caption", "filename", "to"]);
    let theirs = front.services.messages.send_media(thief, new(MediaKind::Image, Some(media.id), None)).await;
    assert_eq!(fields(theirs), ["mediaId"]);
    assert_eq!(
        conflict(front.services.media.remove(owner, media.id).await),
        "A message that waits to be sent needs this media."
    );

    let file = MediaSpec { media_id: Some(media.id), caption: Some("For {{name}}".into()), ..MediaSpec::default() };
    let of = |message| NewCampaign { message, ..campaign(&[session_id]) };
    let campaigns = &front.services.campaigns;
    assert_eq!(fields(campaigns.create(owner, of(MessageSpec::Video(file.clone()))).await), ["message.mediaId"]);
    campaigns.create(owner, of(MessageSpec::Image(file))).await.unwrap();
}

async fn several_messages_share_a_file(store: Store) {
    let front = Front::new(store);
    let owner = front.tenant().await;
    let session_id = front.connected_session(owner).await;
    let bill = upload(&front, owner, b"%PDF-1.4\n").await.unwrap();
    let file = MediaSpec { media_id: Some(bill.id), ..MediaSpec::default() };
    let to = "919800000001".to_owned();
    let send = async |second: MessageSpec| {
        let first = BulkMessage { to: to.clone(), message: MessageSpec::Document(file.clone()) };
        let both = vec![first, BulkMessage { to: to.clone(), message: second }];
        front.services.messages.send_bulk(owner, session_id, Bulk::Messages(both)).await
    };
    assert_eq!(fields(send(MessageSpec::Image(file.clone())).await), ["messages[1].message.mediaId"]);
    assert_eq!(count(&front.store, "media_uses").await, 0);
    send(MessageSpec::Document(file.clone())).await.unwrap();
    let at = Moment::from_ms(NOW_MS) + Duration::from_secs(60);
    let later = |message| NewMessage { session_id, to: to.clone(), message };
    let schedule = async |message| front.services.messages.schedule(owner, later(message), at).await;
    assert_eq!(fields(schedule(MessageSpec::Video(file.clone())).await), ["message.mediaId"]);
    schedule(MessageSpec::Document(file.clone())).await.unwrap();
    assert_eq!(count(&front.store, "media_uses").await, 3);
    let named = async |table: &str| count(&front.store, &format!("{table} WHERE job LIKE '%Sale.png%'")).await;
    assert_eq!((named("outbox").await, named("scheduled_messages").await), (2, 1), "named as they were uploaded");
}

async fn bytes_stay_where_it_is_not_known_what_was_written(store: Store) {
    let front = Front::new(store);
    let owner = front.tenant().await;
    let mut upload = front.services.media.begin(owner, None, MediaWish { kind: None, is_kept: true }).await.unwrap();
    upload.feed(Bytes::from(png(100))).await.unwrap();
    front.store.close().await;
    assert!(matches!(upload.finish().await, Err(Error::Store(_))));
    assert_eq!(on_disk(front.media.path()).len(), 1, "a row without bytes would be worse");
}

async fn what_nobody_needs_is_swept(store: Store) {
    let front = Front::new(store);
    let owner = front.tenant().await;
    let kept = upload(&front, owner, &png(100)).await.unwrap();
    let passing = MediaWish { kind: None, is_kept: false };
    take(&front, owner, &png(200), passing).await.unwrap();
    // As if its node had died between the bytes and the row.
    let stray = take(&front, owner, &png(300), passing).await.unwrap();
    actiwapi_dispatcher::with_writer!(front.store.pool(), |db| {
        sqlx::query("DELETE FROM media WHERE media_id = $1").bind(stray.id.0).execute(db).await.map(drop)
    })
    .unwrap();
    front.services.media.sweep().await.unwrap();
    let n_files = || on_disk(front.media.path()).len();
    // The tests' clock may be ahead of the machine's, by which the bytes are dated.
    assert!((2..=3).contains(&n_files()));
    front.clock.advance(Duration::from_secs(31 * 86_400));
    front.services.media.sweep().await.unwrap();
    assert_eq!(n_files(), 1);
    assert_eq!(front.store.media().list(owner, PageRequest::default()).await.unwrap().items[0].id, kept.id);
}
