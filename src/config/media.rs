//! Section `media`: where files are kept, and how large they may be.

use std::path::PathBuf;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::problems::Problems;
use super::secret::Secret;

/// Where files are kept, and how large they may be.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Where.
    pub place: MediaPlaceConfig,
    /// Bytes of one picture, at most.
    pub image_bytes_max: u64,
    /// Bytes of one film, at most.
    pub video_bytes_max: u64,
    /// Bytes of one recording, at most.
    pub audio_bytes_max: u64,
    /// Bytes of one document, at most.
    pub document_bytes_max: u64,
    /// Bytes of all files of a tenant, at most.
    pub tenant_bytes_max: u64,
}

/// Where files are kept.
#[derive(Debug, Clone)]
pub enum MediaPlaceConfig {
    /// In a directory.
    Directory(PathBuf),
    /// In a bucket that speaks S3.
    S3 {
        /// Its name.
        name: String,
        /// What the names of all objects begin with; may be empty.
        prefix: String,
        /// Its region.
        region: String,
        /// Where it is, when it is not at Amazon.
        endpoint: Option<String>,
        /// Who we are there.
        access_key_id: String,
        /// The secret of that.
        secret_access_key: Secret,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MediaFile {
    url: String,
    s3_region: String,
    s3_endpoint: String,
    s3_access_key_id: String,
    s3_secret_access_key: Secret,
    image_bytes_max: u64,
    video_bytes_max: u64,
    audio_bytes_max: u64,
    document_bytes_max: u64,
    tenant_bytes_max: u64,
}

const MIB: u64 = 1024 * 1024;

impl Default for MediaFile {
    fn default() -> Self {
        Self {
            url: "file:data/media".into(),
            s3_region: "us-east-1".into(),
            s3_endpoint: String::new(),
            s3_access_key_id: String::new(),
            s3_secret_access_key: Secret::default(),
            image_bytes_max: 5 * MIB,
            video_bytes_max: 16 * MIB,
            audio_bytes_max: 16 * MIB,
            document_bytes_max: 100 * MIB,
            tenant_bytes_max: 1024 * MIB,
        }
    }
}

impl MediaFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<MediaConfig> {
        // No more than the provider takes.
        let image = problems.in_range("media.image_bytes_max", self.image_bytes_max, 1..=5 * MIB);
        let video = problems.in_range("media.video_bytes_max", self.video_bytes_max, 1..=16 * MIB);
        let audio = problems.in_range("media.audio_bytes_max", self.audio_bytes_max, 1..=16 * MIB);
        let document = problems.in_range("media.document_bytes_max", self.document_bytes_max, 1..=100 * MIB);
        let tenant = problems.in_range("media.tenant_bytes_max", self.tenant_bytes_max, 1..=1 << 50);
        let place = self.check_place(problems);
        Some(MediaConfig {
            place: place?,
            image_bytes_max: image?,
            video_bytes_max: video?,
            audio_bytes_max: audio?,
            document_bytes_max: document?,
            tenant_bytes_max: tenant?,
        })
    }

    fn check_place(self, problems: &mut Problems) -> Option<MediaPlaceConfig> {
        if let Some(path) = self.url.strip_prefix("file:").filter(|path| !path.trim_matches('/').is_empty()) {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Some(MediaPlaceConfig::Directory(PathBuf::from(path)));
        }
        let Some((name, prefix)) = self.url.strip_prefix("s3://").and_then(name_and_prefix) else {
            problems.push("media.url", format!("must be file:DIRECTORY or s3://BUCKET/PREFIX, is {:?}", self.url));
            return None;
        };
        let mut is_good = true;
        let mut need = |key: &str, is_set: bool| {
            if !is_set {
                problems.push(key, "must be set when media.url begins with s3://");
                is_good = false;
            }
        };
        need("media.s3_region", !self.s3_region.is_empty());
        need("media.s3_access_key_id", !self.s3_access_key_id.is_empty());
        need("media.s3_secret_access_key", !self.s3_secret_access_key.is_empty());
        let endpoint = problems.or_push("media.s3_endpoint", check_endpoint(self.s3_endpoint));
        is_good.then_some(MediaPlaceConfig::S3 {
            name,
            prefix,
            region: self.s3_region,
            endpoint: endpoint?,
            access_key_id: self.s3_access_key_id,
            secret_access_key: self.s3_secret_access_key,
        })
    }
}

fn name_and_prefix(text: &str) -> Option<(String, String)> {
    let (name, prefix) = text.split_once('/').unwrap_or((text, ""));
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let is_good = (3..=63).contains(&name.len()) && name.bytes().all(is_name) && !prefix.chars().any(char::is_control);
    is_good.then(|| (name.to_owned(), prefix.trim_matches('/').to_owned()))
}

fn check_endpoint(text: String) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let uri: Option<Uri> = text.parse().ok();
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https" | "http") => Ok(Some(text.trim_end_matches('/').to_owned())),
        _ => Err(format!("must be an address such as https://s3.example.com, or empty for Amazon's; is {text:?}")),
    }
}
