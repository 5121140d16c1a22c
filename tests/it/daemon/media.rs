//! Messages with files through the whole daemon: the right bytes arrive once and in pace, also over kills.

use std::collections::HashMap;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::client::{NewSession, phone};
use super::world::{EARLY_RECEIPTS, Plan, World};
use crate::support::wait::{PATIENCE, until};

const N_IMAGES: u64 = 12;

/// Makes an image; each number is another one.
fn png(n: u64) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend_from_slice(&n.to_be_bytes());
    bytes.resize(60_000, 7);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn arrivals(world: &World) -> HashMap<String, Vec<Option<String>>> {
    let mut by_token = HashMap::<_, Vec<_>>::new();
    for entry in world.provider.entries().await.into_iter().filter(|entry| entry.is_acceptance()) {
        by_token.entry(entry.token.unwrap()).or_default().push(entry.media_sha256);
    }
    by_token
}

#[tokio::test]
async fn images_arrive_once_with_the_right_bytes_over_kills() {
    let mut world = World::start(&Plan { faults: EARLY_RECEIPTS, ..Plan::default() }, None).await;
    let session = NewSession { phone_number_id: "1000".to_owned(), rate_per_second: 2.0, burst: 1 };
    let session = world.client.connect(&[session]).await.remove(0);
    let mut asked = HashMap::new();
    for n in 0..N_IMAGES {
        // Every second one is one that was sent before.
        let bytes = png(n / 2);
        let id = world.client.send_image(&session, &phone(n), bytes.clone()).await.unwrap();
        asked.insert(id, hex(&bytes));
        if n % 4 == 3 {
            world.kill_daemon();
            world.restart().await;
        }
    }
    let settled = async || {
        for id in asked.keys() {
            let status = world.client.status_of(id).await?;
            if !["sent", "delivered", "read", "unknown"].contains(&status.as_str()) {
                return None;
            }
        }
        Some(())
    };
    until("all images have gone", PATIENCE * 4, settled).await;
    let arrived = arrivals(&world).await;
    for (id, sha256) in &asked {
        let status = world.client.status_of(id).await.unwrap();
        match arrived.get(id).map(Vec::as_slice) {
            Some([found]) => assert_eq!(found.as_ref(), Some(sha256), "{id}"),
            // Begun when the daemon was killed, and never sent again.
            None => assert_eq!(status, "unknown", "{id}"),
            Some(several) => panic!("{id} arrived {} times", several.len()),
        }
    }
    let sums = world.provider.sums(2.0).await;
    assert_eq!((sums.duplicates, sums.pace_violations), (0, 0));
}

#[tokio::test]
async fn a_campaign_brings_its_image_once_for_each_number() {
    let world = World::start(&Plan { faults: EARLY_RECEIPTS, ..Plan::default() }, None).await;
    let sessions: Vec<_> = (0..2)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: 20.0, burst: 1 })
        .collect();
    let sessions = world.client.connect(&sessions).await;
    let media = world.client.upload(png(1)).await.unwrap();
    let message = json!({"message": {"type": "image", "mediaId": media, "text": "For {{phone}}"}});
    let campaign = world.client.draft_with(&sessions, 0..40, message).await;
    world.client.start(&campaign).await.unwrap();
    let completed = async || (world.client.stats(&campaign).await.ok()?.status == "completed").then_some(());
    until("the campaign is completed", PATIENCE, completed).await;
    let arrived = arrivals(&world).await;
    let sha256 = Some(hex(&png(1)));
    assert!(arrived.len() == 40 && arrived.values().all(|found| *found == [sha256.clone()]), "{arrived:?}");
    assert_eq!(world.provider.n_media().await, 2);
    let sums = world.provider.sums(20.0).await;
    assert_eq!((sums.duplicates, sums.pace_violations), (0, 0));
}
