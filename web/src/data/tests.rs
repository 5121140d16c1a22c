//! Keys that fit and keys that do not, one owner, numbers that last.

use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::wire::{Happening, Reached};

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; 32]).unwrap()
}

fn receipt(id: u32) -> Happening {
    Happening::Receipt { session: Uuid::nil(), id: format!("{id:032X}"), status: Reached::Read, at_ms: 1 }
}

#[tokio::test]
async fn data_is_encrypted_and_opens_with_its_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::open(folder.path(), Some(key(1))).unwrap();
    let device = data.device_of(Uuid::from_u128(1)).await.unwrap();
    drop(data.keys(device).await.unwrap());
    drop(data);
    for name in ["worker.db", "keys.db"] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert!(!bytes.starts_with(b"SQLite format 3"), "{name} is readable");
    }
    assert!(matches!(Data::open(folder.path(), Some(key(2))), Err(DataError::OtherKey)));
    assert!(matches!(Data::open(folder.path(), None), Err(DataError::OtherKey)));
    let data = Data::open(folder.path(), Some(key(1))).unwrap();
    assert_eq!(data.device_of(Uuid::from_u128(1)).await.unwrap(), device);
    data.keys(device).await.unwrap();
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::open(folder.path(), None).unwrap();
    assert!(matches!(Data::open(folder.path(), None), Err(DataError::InUse)));
    drop(data);
    Data::open(folder.path(), None).unwrap();
}

#[tokio::test]
async fn numbers_of_devices_are_not_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::open(folder.path(), None).unwrap();
    let session = Uuid::from_u128(7);
    let first = data.device_of(session).await.unwrap();
    drop(data.keys(first).await.unwrap());
    assert_eq!(data.device_of(session).await.unwrap(), first);
    data.forget(session).await.unwrap();
    assert_ne!(data.device_of(session).await.unwrap(), first);
}

#[tokio::test]
async fn what_happened_is_numbered_and_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::open(folder.path(), None).unwrap();
    data.keep(vec![(None, receipt(1)), (Some("a".into()), receipt(2))]).await.unwrap();
    data.keep(vec![(Some("a".into()), receipt(2)), (None, receipt(3))]).await.unwrap();
    let told = data.happened_after(0, Duration::ZERO).await.unwrap();
    let ids: Vec<_> = told["events"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3].map(|id| serde_json::json!(format!("{id:032X}"))));
    let next = told["next"].as_i64().unwrap();
    assert_eq!(told["events"][2]["at"], next);
    let told = data.happened_after(next, Duration::ZERO).await.unwrap();
    assert_eq!((told["next"].as_i64(), told["events"].as_array().map(Vec::len)), (Some(next), Some(0)));
    let told = data.happened_after(next + 1_000, Duration::ZERO).await.unwrap();
    assert_eq!(told["events"].as_array().map(Vec::len), Some(3), "a number of another folder begins anew");
}
