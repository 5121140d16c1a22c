//! Files of tenants: taken in piece by piece, looked at, kept within bounds, and removed when nobody needs them.
//!
//! What a file is, its first bytes say. Where the bytes are is [`crate::media`]'s business; who may have them is asked
//! here, in the database.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::id::{MediaId, TenantId};
use crate::domain::job::Job;
use crate::domain::media::{HEAD_BYTES, MediaKey, MediaKind, MediaType, clean_filename};
use crate::domain::message::MessageSpec;
use crate::error::{Error, Problems, Result, chain};
use crate::limits::{MEDIA_LOOK_MAX, MEDIA_UPLOADS_MAX, SENT_MEDIA_KEPT, STRAY_MEDIA_AGE};
use crate::media::{FoundMedia, MediaError, MediaFiles, MediaReader, MediaWriter};
use crate::service::Tools;
use crate::store::media::{MediaInsert, MediaRecord, MediaRemoval};

/// The field that a file is sent in.
const FIELD: &str = "file";

/// How large files may be, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct MediaBounds {
    /// Of one picture.
    pub image_bytes_max: u64,
    /// Of one film.
    pub video_bytes_max: u64,
    /// Of one recording.
    pub audio_bytes_max: u64,
    /// Of one document.
    pub document_bytes_max: u64,
    /// Of all files of a tenant.
    pub tenant_bytes_max: u64,
}

/// Where files are kept, and how large they may be.
#[derive(Debug, Clone)]
pub struct MediaSettings {
    /// Where.
    pub files: MediaFiles,
    /// How large.
    pub bounds: MediaBounds,
}

/// Keeps files.
#[derive(Debug, Clone)]
pub struct MediaService {
    tools: Tools,
    settings: MediaSettings,
    places: Arc<Semaphore>,
}

/// Bytes of a sticker, at most: the provider's bound of those that move (Meta: messages/sticker-messages).
const STICKER_BYTES_MAX: u64 = 500_000;

/// What is to become of a file that is taken in.
#[derive(Debug, Clone, Copy)]
pub struct MediaWish {
    /// What it is to be sent as; anything when none.
    pub kind: Option<MediaKind>,
    /// Whether it is kept until somebody removes it; otherwise it goes a while after it was sent.
    pub is_kept: bool,
}

/// A file on its way in; nothing of it is there before [`Self::finish`].
#[derive(Debug)]
pub struct MediaUpload {
    service: MediaService,
    tenant_id: TenantId,
    filename: Option<String>,
    wish: MediaWish,
    head: BytesMut,
    hash: Sha256,
    n_bytes: u64,
    file: Option<(MediaKey, &'static MediaType, MediaWriter)>,
    _place: OwnedSemaphorePermit,
}

impl MediaBounds {
    /// Returns the most bytes of a file of a kind.
    #[must_use]
    pub fn of(&self, kind: MediaKind) -> u64 {
        match kind {
            MediaKind::Image => self.image_bytes_max,
            MediaKind::Video => self.video_bytes_max,
            MediaKind::Audio => self.audio_bytes_max,
            MediaKind::Document => self.document_bytes_max,
            MediaKind::Sticker => STICKER_BYTES_MAX,
        }
    }
}

impl MediaService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools, settings: MediaSettings) -> Self {
        Self { tools, settings, places: Arc::new(Semaphore::new(MEDIA_UPLOADS_MAX)) }
    }

    /// Begins to take in a file; waits while too many others are on their way in.
    ///
    /// # Errors
    /// `Unavailable` when the daemon ends.
    pub async fn begin(&self, tenant_id: TenantId, filename: Option<&str>, wish: MediaWish) -> Result<MediaUpload> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::Unavailable("the storage"))?;
        Ok(MediaUpload {
            service: self.clone(),
            tenant_id,
            filename: filename.and_then(clean_filename),
            wish,
            head: BytesMut::new(),
            hash: Sha256::new(),
            n_bytes: 0,
            file: None,
            _place: place,
        })
    }

    /// Returns a file with its bytes.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` when its bytes can not be read now.
    pub async fn read(&self, tenant_id: TenantId, id: MediaId) -> Result<(MediaRecord, MediaReader)> {
        let media = self.tools.store.media().find(tenant_id, id).await?.ok_or(Error::NotFound("media"))?;
        let reader = self.settings.files.read(media.key(), media.media_type).await.map_err(unavailable)?;
        Ok((media, reader.ok_or(Error::NotFound("media"))?))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a message that waits or a campaign that is not over needs it.
    pub async fn remove(&self, tenant_id: TenantId, id: MediaId) -> Result<()> {
        match self.tools.store.media().remove(tenant_id, id).await? {
            MediaRemoval::Removed(media) => {
                self.drop_bytes(media.key(), media.media_type).await;
                Ok(())
            }
            MediaRemoval::WaitedFor => Err(Error::conflict("A message that waits to be sent needs this media.")),
            MediaRemoval::InCampaign => Err(Error::conflict("A campaign that is not over needs this media.")),
            MediaRemoval::Missing => Err(Error::NotFound("media")),
        }
    }

    /// Removes files that came with single messages a while ago, and bytes that nobody knows of.
    ///
    /// # Errors
    /// `Store` or `Unavailable` when that could not be done; safe to repeat.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.tools.clock.now();
        let media = self.tools.store.media();
        media.forget_uses((now - SENT_MEDIA_KEPT).as_ms()).await?;
        let n = u32::try_from(MEDIA_LOOK_MAX).unwrap_or(u32::MAX);
        for key in media.expired(now.as_ms(), n).await? {
            // One that is needed stays until the next look.
            if let MediaRemoval::Removed(media) = media.remove(key.tenant_id, key.media_id).await? {
                self.drop_bytes(media.key(), media.media_type).await;
            }
        }
        let before = now - STRAY_MEDIA_AGE;
        let n_unfinished = self.settings.files.remove_unfinished(before).await.map_err(unavailable)?;
        if 0 < n_unfinished {
            tracing::info!(media.unfinished = n_unfinished, "media that nobody ended removed");
        }
        let mut all = self.settings.files.list().try_chunks(MEDIA_LOOK_MAX);
        while let Some(found) = all.try_next().await.map_err(|error| unavailable(error.1))? {
            self.remove_strays(found.into_iter().filter(|found| found.written_at < before).collect()).await?;
        }
        Ok(())
    }

    async fn remove_strays(&self, found: Vec<FoundMedia>) -> Result<()> {
        let ids: Vec<MediaId> = found.iter().map(|found| found.key.media_id).collect();
        let known = self.tools.store.media().known(&ids).await?;
        for stray in found.iter().filter(|found| !known.contains(&found.key.media_id)) {
            tracing::info!(media.id = %stray.key.media_id, "media that nobody knows of removed");
            self.drop_bytes(stray.key, stray.media_type).await;
        }
        Ok(())
    }

    /// Removes bytes; what is left of them is found by [`Self::sweep`].
    async fn drop_bytes(&self, key: MediaKey, media_type: &MediaType) {
        if let Err(error) = self.settings.files.remove(key, media_type).await {
            tracing::warn!(media.id = %key.media_id, error = chain(&error), "bytes of media not removed");
        }
    }
}

impl MediaUpload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// `Validation` by the field `file` when it is too large or not of a type that is taken; `Unavailable` when it can not
    /// be written. Then [`Self::abort`] is to be called.
    pub async fn feed(&mut self, bytes: Bytes) -> Result<()> {
        self.hash.update(&bytes);
        self.n_bytes = self.n_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.file.is_none() {
            self.head.extend_from_slice(&bytes);
            if self.head.len() < HEAD_BYTES {
                return Ok(());
            }
            return self.open().await;
        }
        let Some((_, media_type, writer)) = &mut self.file else { return Ok(()) };
        check_size(&self.service.settings.bounds, media_type.kind, self.n_bytes)?;
        writer.write(bytes).await.map_err(unavailable)
    }

    /// Looks at the beginning, and begins to write.
    async fn open(&mut self) -> Result<()> {
        let head = self.head.split().freeze();
        if head.is_empty() {
            return Err(Error::invalid(FIELD, "must not be empty"));
        }
        let sniffed = &head[..head.len().min(HEAD_BYTES)];
        let media_type = MediaType::of(sniffed, self.filename.as_deref()).ok_or_else(|| {
            let taken = "must be a JPEG or PNG image, an MP4 or 3GPP video, an AAC, AMR, MP3, MP4 or Ogg recording, a PDF, \
                         an Office document or plain text";
            Error::invalid(FIELD, taken)
        })?;
        if let Some(kind) = self.wish.kind.filter(|kind| *kind != media_type.kind) {
            let (is, wanted) = (media_type.mime, kind.as_str());
            return Err(Error::invalid(FIELD, format!("is {is}, which is not sent as {wanted}")));
        }
        check_size(&self.service.settings.bounds, media_type.kind, self.n_bytes)?;
        let key = MediaKey { tenant_id: self.tenant_id, media_id: MediaId::generate() };
        let writer = self.service.settings.files.create(key, media_type).await.map_err(unavailable)?;
        let (_, _, writer) = self.file.insert((key, media_type, writer));
        writer.write(head).await.map_err(unavailable)
    }

    /// Ends the file. Where the tenant has the same bytes already, those are returned and nothing is added.
    ///
    /// # Errors
    /// As those of [`Self::feed`], and `Conflict` when the tenant has no room for it; nothing of it is there then.
    pub async fn finish(mut self) -> Result<MediaRecord> {
        if self.file.is_none()
            && let Err(error) = self.open().await
        {
            self.abort().await;
            return Err(error);
        }
        let Some((key, media_type, writer)) = self.file.take() else { return Err(Error::Unavailable("the storage")) };
        writer.finish().await.map_err(unavailable)?;
        let now = self.service.tools.clock.now();
        let media = MediaRecord {
            id: key.media_id,
            tenant_id: key.tenant_id,
            media_type,
            filename: self
                .filename
                .take()
                .unwrap_or_else(|| format!("{}.{}", media_type.kind.as_str(), media_type.extension)),
            n_bytes: i64::try_from(self.n_bytes).map_err(Error::internal("count bytes"))?,
            sha256: self.hash.finalize().into(),
            created_at_ms: now.as_ms(),
            expires_at_ms: (!self.wish.is_kept).then(|| (now + SENT_MEDIA_KEPT).as_ms()),
        };
        let bytes_max = self.service.settings.bounds.tenant_bytes_max;
        let room = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        // Where it is not known what was written the bytes stay: a row without them would be worse than bytes without a row,
        // which are swept.
        let inserted = self.service.tools.store.media().insert(&media, room).await?;
        if inserted != MediaInsert::New {
            self.service.drop_bytes(key, media_type).await;
        }
        match inserted {
            MediaInsert::New => Ok(media),
            MediaInsert::Same(same) => Ok(same),
            MediaInsert::Full(used) => Err(Error::conflict(format!(
                "All media together may have {bytes_max} bytes, and {used} are used: remove some."
            ))),
        }
    }

    /// Takes everything back.
    pub async fn abort(mut self) {
        if let Some((_, _, writer)) = self.file.take() {
            writer.abort().await;
        }
    }
}

/// Checks that the file of a message is the tenant's, and of the kind that it is sent as; gives a document its name. What
/// is wrong is noted as a problem of `field`.
pub(super) async fn check_media(
    tools: &Tools,
    tenant_id: TenantId,
    message: &mut MessageSpec,
    (field, problems): (&str, &mut Problems),
) -> Result<()> {
    check_all_media(tools, tenant_id, vec![(field.to_owned(), message)], problems).await
}

/// Does the same for many messages, each with its field; a file of several of them is looked for once.
pub(super) async fn check_all_media(
    tools: &Tools,
    tenant_id: TenantId,
    messages: Vec<(String, &mut MessageSpec)>,
    problems: &mut Problems,
) -> Result<()> {
    let mut known: HashMap<MediaId, Option<MediaRecord>> = HashMap::new();
    for (field, message) in messages {
        let Some(id) = message.media_id() else { continue };
        let media = match known.entry(id) {
            Entry::Occupied(media) => media.into_mut(),
            Entry::Vacant(place) => place.insert(tools.store.media().find(tenant_id, id).await?),
        };
        fit(message, media.as_ref(), (field, problems));
    }
    Ok(())
}

/// Notes what is wrong with the file of a message; gives a document its name.
fn fit(message: &mut MessageSpec, media: Option<&MediaRecord>, (field, problems): (String, &mut Problems)) {
    let Some(media) = media else {
        problems.push(field, "There is no such media");
        return;
    };
    let kind = message.media().map(|(kind, _)| kind);
    if let Some(kind) = kind.filter(|kind| *kind != media.media_type.kind) {
        let (is, wanted) = (media.media_type.mime, kind.as_str());
        problems.push(field, format!("is {is}, which is not sent as {wanted}"));
    }
    if let Some(spec) = message.document_mut() {
        spec.filename.get_or_insert_with(|| media.filename.clone());
    }
}

/// Takes note that the files of messages are needed.
pub(super) async fn take_media(tools: &Tools, jobs: &[Job], at_ms: i64) -> Result<()> {
    let are_there = tools.store.media().note_uses(jobs, at_ms).await?;
    if are_there { Ok(()) } else { Err(Error::invalid("mediaId", "There is no such media")) }
}

fn check_size(bounds: &MediaBounds, kind: MediaKind, n_bytes: u64) -> Result<()> {
    let most = bounds.of(kind);
    if most < n_bytes {
        return Err(Error::invalid(FIELD, format!("must have at most {most} bytes to be sent as {}", kind.as_str())));
    }
    Ok(())
}

fn unavailable(error: MediaError) -> Error {
    tracing::error!(error = chain(&error), "storage of media not usable");
    Error::Unavailable("the storage of media")
}
