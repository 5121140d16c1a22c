//! Where the bytes of media are: in a directory or in a bucket that speaks S3, under tenant, id and type.
//!
//! Names come from ids only, never from clients. Knows no database and no limits; what is there without anybody
//! knowing of it is listed, so that it can be removed.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart};
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Moment;
use crate::domain::media::{MediaKey, MediaType};

mod unfinished;

/// Bytes written at a time to a bucket, which takes no smaller parts but the last.
const S3_PART_BYTES: usize = 5 * 1024 * 1024;
/// Bytes written at a time to a directory.
const DIRECTORY_PART_BYTES: usize = 256 * 1024;
/// Parts of one file on their way at once.
const PARTS_MAX: usize = 2;

/// Where media are kept.
#[derive(Debug, Clone)]
pub enum MediaPlace {
    /// In a directory; made with the first file.
    Directory(PathBuf),
    /// In a bucket.
    S3(S3Place),
}

/// A bucket that speaks S3.
#[derive(Debug, Clone)]
pub struct S3Place {
    /// Its name.
    pub name: String,
    /// What the names of all objects in it begin with; may be empty.
    pub prefix: String,
    /// Its region.
    pub region: String,
    /// Where it is, when it is not at Amazon.
    pub endpoint: Option<String>,
    /// Who we are there.
    pub access_key_id: String,
    /// The secret of that.
    pub secret_access_key: SecretString,
}

/// What went wrong where media are kept; completes "could not …".
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}")]
pub struct MediaError {
    doing: &'static str,
    #[source]
    source: object_store::Error,
}

/// The files of all tenants; cheap to clone.
#[derive(Debug, Clone)]
pub struct MediaFiles {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    part_bytes: usize,
    /// None in a bucket.
    directory: Option<PathBuf>,
}

/// A file on its way in; nothing of it is there before [`Self::finish`].
#[derive(Debug)]
pub struct MediaWriter {
    parts: WriteMultipart,
}

/// A file on its way out.
pub struct MediaReader {
    /// Its bytes in all.
    pub n_bytes: u64,
    /// The bytes themselves.
    pub stream: BoxStream<'static, Result<Bytes, MediaError>>,
}

/// A file that is there.
#[derive(Debug, Clone, Copy)]
pub struct FoundMedia {
    /// Its name.
    pub key: MediaKey,
    /// What it is.
    pub media_type: &'static MediaType,
    /// When it was written.
    pub written_at: Moment,
}

fn failed(doing: &'static str) -> impl Fn(object_store::Error) -> MediaError + Copy {
    move |source| MediaError { doing, source }
}

impl MediaFiles {
    /// Opens the place; looks at nothing yet.
    ///
    /// # Errors
    /// When a directory has no absolute path, or the bucket's address is none.
    pub fn open(at: &MediaPlace) -> Result<Self, MediaError> {
        let doing = "open the place of media";
        match at {
            MediaPlace::Directory(directory) => {
                let absolute = std::path::absolute(directory)
                    .map_err(|error| object_store::Error::Generic { store: "directory", source: error.into() });
                let root = absolute.and_then(|path| Path::from_absolute_path(path).map_err(Into::into));
                let directory = Some(directory.clone());
                let objects = LocalFileSystem::new().with_automatic_cleanup(true).with_fsync(true);
                let root = root.map_err(failed(doing))?;
                Ok(Self { objects: Arc::new(objects), root, part_bytes: DIRECTORY_PART_BYTES, directory })
            }
            MediaPlace::S3(place) => {
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(&place.name)
                    .with_region(&place.region)
                    .with_access_key_id(&place.access_key_id)
                    .with_secret_access_key(place.secret_access_key.expose_secret());
                if let Some(endpoint) = &place.endpoint {
                    builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
                }
                let objects = builder.build().map_err(failed(doing))?;
                let root = Path::from(place.prefix.as_str());
                Ok(Self { objects: Arc::new(objects), root, part_bytes: S3_PART_BYTES, directory: None })
            }
        }
    }

    /// Begins a file.
    ///
    /// # Errors
    /// [`MediaError`] when the place can not be written to.
    pub async fn create(&self, key: MediaKey, media_type: &MediaType) -> Result<MediaWriter, MediaError> {
        let upload = self.objects.put_multipart(&self.path(key, media_type)).await;
        let upload = upload.map_err(failed("begin a file"))?;
        Ok(MediaWriter { parts: WriteMultipart::new_with_chunk_size(upload, self.part_bytes) })
    }

    /// Opens a file; `None` when it is not there.
    ///
    /// # Errors
    /// [`MediaError`] when the place can not be read.
    pub async fn read(&self, key: MediaKey, media_type: &MediaType) -> Result<Option<MediaReader>, MediaError> {
        match self.objects.get(&self.path(key, media_type)).await {
            Ok(found) => {
                let n_bytes = found.meta.size;
                let stream = found.into_stream().map_err(failed("read a file")).boxed();
                Ok(Some(MediaReader { n_bytes, stream }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read a file")(error)),
        }
    }

    /// Finds out what a file is; `None` when it is not there.
    ///
    /// # Errors
    /// [`MediaError`] when the place can not be read.
    pub async fn find(&self, key: MediaKey) -> Result<Option<&'static MediaType>, MediaError> {
        let folder = self.folder(key);
        let found: Vec<ObjectMeta> =
            self.objects.list(Some(&folder)).take(1).try_collect().await.map_err(failed("look for a file"))?;
        Ok(found.first().and_then(|object| self.found(object)).map(|found| found.media_type))
    }

    /// Removes a file; one that is not there is no mistake.
    ///
    /// # Errors
    /// [`MediaError`] when it may still be there; safe to repeat.
    pub async fn remove(&self, key: MediaKey, media_type: &MediaType) -> Result<(), MediaError> {
        match self.objects.delete(&self.path(key, media_type)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove a file")(error)),
        }
    }

    /// Lists all files that are there, of all tenants; what else lies there is passed over.
    pub fn list(&self) -> BoxStream<'_, Result<FoundMedia, MediaError>> {
        let objects = self.objects.list(Some(&self.root)).map_err(failed("list files"));
        objects.try_filter_map(|object| std::future::ready(Ok(self.found(&object)))).boxed()
    }

    /// Removes what is left of files that nobody could end, as far as they were last written before a moment; returns how
    /// many there were. A bucket does that by a rule of its own.
    ///
    /// # Errors
    /// [`MediaError`] when the place can not be read.
    pub async fn remove_unfinished(&self, before: Moment) -> Result<usize, MediaError> {
        let Some(directory) = self.directory.clone() else { return Ok(0) };
        let removed = tokio::task::spawn_blocking(move || unfinished::remove(&directory, before)).await;
        let removed = removed.map_err(std::io::Error::from).flatten();
        removed.map_err(|error| {
            failed("remove unfinished files")(object_store::Error::Generic { store: "directory", source: error.into() })
        })
    }

    fn folder(&self, key: MediaKey) -> Path {
        self.root.clone().join(key.tenant_id.to_string()).join(key.media_id.to_string())
    }

    fn path(&self, key: MediaKey, media_type: &MediaType) -> Path {
        self.folder(key).join(media_type.extension)
    }

    fn found(&self, object: &ObjectMeta) -> Option<FoundMedia> {
        let mut parts = object.location.prefix_match(&self.root)?;
        let (tenant_id, media_id, extension) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let key = MediaKey { tenant_id: tenant_id.as_ref().parse().ok()?, media_id: media_id.as_ref().parse().ok()? };
        let written_at = Moment::from_ms(object.last_modified.timestamp_millis());
        Some(FoundMedia { key, media_type: MediaType::by_extension(extension.as_ref())?, written_at })
    }
}

impl MediaWriter {
    /// Writes the next bytes; waits while too many are on their way.
    ///
    /// # Errors
    /// [`MediaError`] when the place can not be written to; then [`Self::abort`] is to be called.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), MediaError> {
        self.parts.wait_for_capacity(PARTS_MAX).await.map_err(failed("write a file"))?;
        self.parts.put(bytes);
        Ok(())
    }

    /// Ends the file: it is there, whole and on disk, when this returns.
    ///
    /// # Errors
    /// [`MediaError`] when it is not; nothing of it is there then.
    pub async fn finish(self) -> Result<(), MediaError> {
        self.parts.finish().await.map(drop).map_err(failed("end a file"))
    }

    /// Takes everything back.
    pub async fn abort(self) {
        if let Err(error) = self.parts.abort().await {
            tracing::warn!(error = crate::error::chain(&error), "parts of a file were not taken back");
        }
    }
}

#[cfg(test)]
mod tests;
