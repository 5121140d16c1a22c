//! Files brought to the provider, once for each number, and the names that it gave them.
//!
//! Never while a message waits for its moment: a message whose file is not there yet comes back without having left, and
//! goes at its next place. So no pace is broken by what an upload takes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, RETRY_AFTER};
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::classify::outcome_of_no_connection;
use super::classify::upload::{
    name_of_upload, outcome_of_broken_upload, outcome_of_missing_media, outcome_of_unreadable_media,
    outcome_while_uploading,
};
use super::cloud::AccessToken;
use crate::clock::{Clock, Moment};
use crate::domain::attempt::Outcome;
use crate::domain::media::MediaKey;
use crate::error::chain;
use crate::limits::{UPLOADED_MEDIA_MAX, UPLOADS_MAX};
use crate::media::MediaFiles;

/// Longest time of one upload: 100 MB at 1 MB/s, and some.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a name is used; the provider keeps files for 30 days.
const NAME_LIFETIME: Duration = Duration::from_secs(29 * 86_400);
/// How long messages share the failure of an upload that will not pass, and one that may is remembered for whoever asks.
const FAILURE_LIFETIME: Duration = Duration::from_secs(60);
/// How long a file is certainly still there: a refusal within this time is about something else.
const CERTAINLY_THERE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A file for one number.
type Place = (MediaKey, Arc<str>);

/// What is known of a file at the provider.
#[derive(Debug, Clone)]
enum Known {
    /// It is on its way.
    UnderWay,
    /// It is there under this name.
    There(There),
    /// It did not arrive; this is the outcome of messages that need it, until then.
    Failed(Outcome, Moment),
}

/// A file at the provider.
#[derive(Debug, Clone)]
pub(super) struct There {
    /// The provider's name of it.
    pub(super) name: Arc<str>,
    since: Moment,
}

/// How the provider is reached for files.
#[derive(Debug)]
pub(super) struct Uploads {
    http: reqwest::Client,
    /// Address and version, `https://graph.facebook.com/v25.0/`.
    prefix: String,
    access_token: AccessToken,
    files: MediaFiles,
    clock: Clock,
    known: Mutex<HashMap<Place, Known>>,
    places: Semaphore,
    /// Nothing waits for these at the end: an upload that is cut off has changed nothing.
    tasks: TaskTracker,
}

impl Uploads {
    pub(super) fn new(
        prefix: String,
        access_token: AccessToken,
        files: MediaFiles,
        clock: Clock,
    ) -> Result<Arc<Self>, reqwest::Error> {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).timeout(UPLOAD_TIMEOUT).build()?;
        Ok(Arc::new(Self {
            http,
            prefix,
            access_token,
            files,
            clock,
            known: Mutex::default(),
            places: Semaphore::new(UPLOADS_MAX),
            tasks: TaskTracker::new(),
        }))
    }

    /// Returns the provider's name of a file, or the outcome of the message that needs it; begins the upload.
    pub(super) fn ask(self: &Arc<Self>, key: MediaKey, number: &Arc<str>, is_single: bool) -> Result<There, Outcome> {
        let now = self.clock.now();
        let place = (key, Arc::clone(number));
        let mut known = self.lock();
        let n_known = known.len();
        match known.entry(place.clone()) {
            Entry::Occupied(mut entry) => match entry.get() {
                Known::UnderWay => return Err(outcome_while_uploading(is_single)),
                Known::There(there) if now < there.since + NAME_LIFETIME => return Ok(there.clone()),
                Known::Failed(outcome, until) if now < *until => {
                    let outcome = outcome.clone();
                    // What may pass is told to one, and the next one tries again.
                    if !matches!(outcome, Outcome::Rejected(_)) {
                        entry.remove();
                    }
                    return Err(outcome);
                }
                _ => *entry.get_mut() = Known::UnderWay,
            },
            Entry::Vacant(entry) => {
                entry.insert(Known::UnderWay);
                if UPLOADED_MEDIA_MAX <= n_known {
                    // Whatever is needed again is brought again.
                    known.retain(|_, known| matches!(known, Known::UnderWay));
                }
            }
        }
        drop(known);
        self.tasks.spawn(Arc::clone(self).upload(place));
        Err(outcome_while_uploading(is_single))
    }

    /// Forgets a name that the provider seems not to know any more; tells whether the message may be sent again.
    pub(super) fn forget(&self, key: MediaKey, number: &Arc<str>, used: &There) -> bool {
        if self.clock.now() < used.since + CERTAINLY_THERE {
            return false;
        }
        let place = (key, Arc::clone(number));
        let mut known = self.lock();
        if let Some(Known::There(there)) = known.get(&place)
            && there.name == used.name
        {
            known.remove(&place);
        }
        true
    }

    async fn upload(self: Arc<Self>, place: Place) {
        let permit = self.places.acquire().await;
        let result = tokio::time::timeout(UPLOAD_TIMEOUT, self.bring(place.0, &place.1)).await;
        drop(permit);
        let now = self.clock.now();
        let known = match result.unwrap_or_else(|_| Err(outcome_of_broken_upload())) {
            Ok(name) => Known::There(There { name: name.into(), since: now }),
            Err(outcome) => {
                tracing::warn!(media.id = %place.0.media_id, outcome = outcome.as_str(), "media not taken by the provider");
                Known::Failed(outcome, now + FAILURE_LIFETIME)
            }
        };
        self.lock().insert(place, known);
    }

    /// Brings a file to a number (Meta: business phone numbers, media).
    async fn bring(&self, key: MediaKey, number: &str) -> Result<String, Outcome> {
        let unreadable = |error| {
            tracing::warn!(media.id = %key.media_id, error = chain(&error), "media not readable");
            outcome_of_unreadable_media()
        };
        let media_type = self.files.find(key).await.map_err(unreadable)?.ok_or_else(outcome_of_missing_media)?;
        let file = self.files.read(key, media_type).await.map_err(unreadable)?;
        let file = file.ok_or_else(outcome_of_missing_media)?;
        let body = reqwest::Body::wrap_stream(file.stream);
        let part = Part::stream_with_length(body, file.n_bytes)
            .file_name(format!("file.{}", media_type.extension))
            .mime_str(media_type.mime)
            .map_err(|_| outcome_of_missing_media())?;
        let form = Form::new().text("messaging_product", "whatsapp").text("type", media_type.mime).part("file", part);
        let request =
            self.http.post(format!("{}{number}/media", self.prefix)).header(AUTHORIZATION, self.access_token.header());
        let answer = request.multipart(form).send().await.map_err(|error| {
            if error.is_connect() { outcome_of_no_connection() } else { outcome_of_broken_upload() }
        })?;
        let status = answer.status().as_u16();
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = read_answer(answer).await.map_err(|_| outcome_of_broken_upload())?;
        name_of_upload(status, &body, wait.map(Duration::from_secs))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an answer; the head of a long one is enough.
async fn read_answer(mut answer: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX
        && let Some(chunk) = answer.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
