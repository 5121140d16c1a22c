//! Files in a directory: whole or not there, found, listed and removed.

use super::*;
use crate::domain::id::{MediaId, TenantId};

fn key() -> MediaKey {
    MediaKey { tenant_id: TenantId::generate(), media_id: MediaId::generate() }
}

fn pdf() -> &'static MediaType {
    MediaType::by_extension("pdf").unwrap()
}

fn files() -> (tempfile::TempDir, MediaFiles) {
    let folder = tempfile::tempdir().unwrap();
    let files = MediaFiles::open(&MediaPlace::Directory(folder.path().join("media"))).unwrap();
    (folder, files)
}

/// Returns the files below a folder, whoever made them.
fn on_disk(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(on_disk(&path)) } else { found.push(path) }
    }
    found
}

async fn listed(files: &MediaFiles) -> Vec<MediaKey> {
    files.list().map_ok(|found| found.key).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_file_is_there_when_it_is_finished() {
    let (folder, files) = files();
    let key = key();
    assert!(files.find(key).await.unwrap().is_none() && listed(&files).await.is_empty());
    let bytes = Bytes::from(vec![7; DIRECTORY_PART_BYTES * 5 / 2]);
    let mut writer = files.create(key, pdf()).await.unwrap();
    writer.write(bytes.slice(..100_000)).await.unwrap();
    writer.write(bytes.slice(100_000..)).await.unwrap();
    assert!(files.find(key).await.unwrap().is_none(), "not whole yet");
    writer.finish().await.unwrap();
    assert_eq!(files.find(key).await.unwrap(), Some(pdf()));
    assert_eq!(listed(&files).await, [key]);
    let other = MediaKey { tenant_id: TenantId::generate(), ..key };
    assert!(files.find(other).await.unwrap().is_none(), "of another tenant");
    let reader = files.read(key, pdf()).await.unwrap().unwrap();
    let read: Vec<Bytes> = reader.stream.try_collect().await.unwrap();
    assert!(reader.n_bytes == bytes.len() as u64 && read.concat() == bytes);
    files.remove(key, pdf()).await.unwrap();
    files.remove(key, pdf()).await.unwrap();
    assert!(files.read(key, pdf()).await.unwrap().is_none());
    assert_eq!(on_disk(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_breaks_off_leaves_nothing() {
    let (folder, files) = files();
    for is_dropped in [false, true] {
        let mut writer = files.create(key(), pdf()).await.unwrap();
        writer.write(Bytes::from(vec![7; DIRECTORY_PART_BYTES * 2])).await.unwrap();
        if is_dropped { drop(writer) } else { writer.abort().await }
    }
    assert!(listed(&files).await.is_empty());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !on_disk(folder.path()).is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", on_disk(folder.path()));
        tokio::task::yield_now().await;
    }
}

/// A process that is killed leaves the file as it was; nobody else ends it.
#[tokio::test]
async fn what_a_killed_process_leaves_is_removed_when_it_is_old() {
    let (folder, files) = files();
    let ended = key();
    let mut writer = files.create(ended, pdf()).await.unwrap();
    writer.write(Bytes::from_static(b"%PDF-1.7")).await.unwrap();
    writer.finish().await.unwrap();
    let mut writer = files.create(key(), pdf()).await.unwrap();
    writer.write(Bytes::from(vec![7; DIRECTORY_PART_BYTES * 2])).await.unwrap();
    assert_eq!(on_disk(folder.path()).len(), 2, "it is no more like what is looked for");
    assert_eq!(files.remove_unfinished(Moment::from_ms(0)).await.unwrap(), 0, "somebody may still write it");
    assert_eq!(files.remove_unfinished(Moment::from_ms(i64::MAX)).await.unwrap(), 1);
    assert_eq!((on_disk(folder.path()).len(), listed(&files).await), (1, vec![ended]));
}

#[tokio::test]
async fn what_else_lies_there_is_passed_over() {
    let (folder, files) = files();
    let root = folder.path().join("media");
    std::fs::create_dir_all(root.join(TenantId::generate().to_string())).unwrap();
    std::fs::write(root.join("notes.txt"), "x").unwrap();
    let odd = root.join(TenantId::generate().to_string()).join(MediaId::generate().to_string());
    std::fs::create_dir_all(&odd).unwrap();
    std::fs::write(odd.join("exe"), "x").unwrap();
    assert!(listed(&files).await.is_empty());
}
