//! Files that senders bring before they send them (Meta: business phone numbers, media): named, hashed, and not kept.
//!
//! Reads the form by a library, since the sender's side writes it by another one. Whether a file is what it says is not
//! looked at.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyDataStream;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use multer::{Constraints, Multipart, SizeLimit};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::simulator::MEDIA_MAX;

/// Bytes of a whole form: the largest document, 100 MB, and what stands around it.
const FORM_BYTES_MAX: u64 = 101 * 1024 * 1024;

/// The types that Meta lists.
const TYPES: &[&str] = &[
    "audio/aac",
    "audio/amr",
    "audio/mpeg",
    "audio/mp4",
    "audio/ogg",
    "application/msword",
    "application/pdf",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/plain",
    "video/3gpp",
    "video/mp4",
];

/// A file that was brought.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Brought {
    /// The name it got.
    pub(crate) id: Box<str>,
    /// Which number brought it.
    pub(crate) number: Box<str>,
    mime_type: Box<str>,
    bytes: u64,
    /// The hash of its bytes, in hex.
    pub(crate) sha256: Box<str>,
}

/// All files that are known.
#[derive(Debug, Default)]
pub(crate) struct Library {
    by_id: Mutex<HashMap<Box<str>, Arc<Brought>>>,
    n_brought: AtomicU64,
}

impl Library {
    /// Reads a form to its end and names its file.
    ///
    /// # Errors
    /// What is wrong with the form, in Meta's way; `None` when it did not come to its end.
    pub(crate) async fn take(
        &self,
        number: &str,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Box<str>, Option<&'static str>> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(kind).map_err(|_| Some("The request body is not a form"))?;
        let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(FORM_BYTES_MAX));
        let mut form = Multipart::with_constraints(BodyDataStream::new(body), boundary, constraints);
        let (mut product, mut file) = (None, None);
        while let Some(mut field) = form.next_field().await.map_err(|_| None)? {
            match field.name() {
                Some("messaging_product") => product = Some(field.text().await.map_err(|_| None)?),
                Some("file") => {
                    let mime_type = field.content_type().map(ToString::to_string).unwrap_or_default();
                    let (mut hash, mut bytes) = (Sha256::new(), 0);
                    while let Some(chunk) = field.chunk().await.map_err(|_| None)? {
                        hash.update(&chunk);
                        bytes += chunk.len() as u64;
                    }
                    file = Some((mime_type, hash.finalize(), bytes));
                }
                _ => {}
            }
        }
        if product.as_deref() != Some("whatsapp") {
            return Err(Some("The parameter messaging_product is required."));
        }
        let (mime_type, hash, bytes) = file.ok_or(Some("The parameter file is required."))?;
        if !TYPES.contains(&mime_type.as_str()) || bytes == 0 {
            return Err(Some("Param file must be a file with one of the types that are listed."));
        }
        let id: Box<str> = format!("{}", 1_000_000_000_000_000 + self.n_brought.fetch_add(1, Ordering::Relaxed)).into();
        let sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        let brought = Brought { id: id.clone(), number: number.into(), mime_type: mime_type.into(), bytes, sha256 };
        let mut by_id = self.lock();
        if MEDIA_MAX <= by_id.len() {
            return Err(Some("The simulator knows too many files"));
        }
        by_id.insert(id.clone(), Arc::new(brought));
        Ok(id)
    }

    /// Returns the file of this name, if this number brought it.
    pub(crate) fn find(&self, id: &str, number: &str) -> Option<Arc<Brought>> {
        self.lock().get(id).filter(|brought| &*brought.number == number).map(Arc::clone)
    }

    /// Returns all files, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Brought>> {
        let mut all: Vec<_> = self.lock().values().map(Arc::clone).collect();
        all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Forgets all files, as if 30 days had passed.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Arc<Brought>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
