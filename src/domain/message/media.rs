//! Messages with a file: which file, and what is written below it.
//!
//! Does not know whether the file exists, nor what it is; both is asked where such a message is taken.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::syntax::{Pattern, Picks, escaped};
use super::variables::Variables;
use super::{MessageSpec, RenderProblem, SOURCE_CHARS_MAX, SyntaxProblem, is_longer};
use crate::domain::id::{MediaId, TenantId};
use crate::domain::media::{FILENAME_CHARS_MAX, MediaKey, MediaKind, clean_filename};
use crate::domain::recipient::Recipient;

/// Characters of a caption once rendered, at most; the provider's bound.
pub const CAPTION_CHARS_MAX: usize = 1_024;
/// Characters of the address of a file, at most; what browsers and proxies take.
pub(super) const MEDIA_URL_CHARS_MAX: usize = 2_048;

/// The file of a message as it is on the wire, its placeholders unread.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MediaSpec {
    /// The file, where it is one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_id: Option<MediaId>,
    /// From where the provider loads it, where it is not; `https://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_url: Option<String>,
    /// What stands below it, with placeholders; not of recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// What a document is called; only of documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// Why a message with a file cannot be used, in a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaProblem {
    /// No file, or two.
    #[error("There must be either mediaId or mediaUrl.")]
    NotOneFile,
    /// The address cannot be one.
    #[error("The mediaUrl must be an https:// address of at most {MEDIA_URL_CHARS_MAX} characters.")]
    BadUrl,
    /// A recording or a sticker with a caption.
    #[error("A recording or a sticker has no caption.")]
    CaptionOfOther,
    /// The caption has too many characters, whatever its variables hold.
    #[error("The caption is longer than {CAPTION_CHARS_MAX} characters.")]
    CaptionTooLong,
    /// The caption has a placeholder that cannot be read.
    #[error("Caption, {0}")]
    CaptionSyntax(SyntaxProblem),
    /// Something else than a document with a name.
    #[error("Only documents have a filename.")]
    FilenameOfOther,
    /// The name cannot be one.
    #[error("The filename must have 1 to {FILENAME_CHARS_MAX} characters and no path.")]
    BadFilename,
}

/// Which file goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    /// One that the provider loads from here.
    Link(Arc<str>),
    /// One of ours.
    Stored(MediaKey),
}

/// A message with a file, rendered for one recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaContent {
    /// What it is sent as.
    pub kind: MediaKind,
    /// Which file.
    pub source: MediaSource,
    /// What stands below it.
    pub caption: Option<String>,
    /// What a document is called.
    pub filename: Option<Arc<str>>,
}

/// A message with a file, read and checked.
#[derive(Debug)]
pub(super) struct MediaForm {
    kind: MediaKind,
    source: MediaSource,
    caption: Option<Pattern>,
    filename: Option<Arc<str>>,
}

impl MessageSpec {
    /// Makes a message with a file.
    #[must_use]
    pub fn of_media(kind: MediaKind, media: MediaSpec) -> Self {
        match kind {
            MediaKind::Image => Self::Image(media),
            MediaKind::Video => Self::Video(media),
            MediaKind::Audio => Self::Audio(media),
            MediaKind::Document => Self::Document(media),
            MediaKind::Sticker => Self::Sticker(media),
        }
    }

    /// Returns the file that goes along, and what it is sent as.
    #[must_use]
    pub fn media(&self) -> Option<(MediaKind, &MediaSpec)> {
        match self {
            Self::Image(media) => Some((MediaKind::Image, media)),
            Self::Video(media) => Some((MediaKind::Video, media)),
            Self::Audio(media) => Some((MediaKind::Audio, media)),
            Self::Document(media) => Some((MediaKind::Document, media)),
            Self::Sticker(media) => Some((MediaKind::Sticker, media)),
            Self::Template(template) => template.header.as_ref()?.media(),
            Self::Buttons(buttons) => buttons.header.as_ref()?.media(),
            Self::Link(link) => link.header.as_ref()?.media(),
            Self::Text { .. } | Self::Location(_) | Self::Contact(_) | Self::List(_) | Self::Reaction(_) => None,
        }
    }

    /// Returns the document that goes along, to be given its name.
    pub fn document_mut(&mut self) -> Option<&mut MediaSpec> {
        let header = match self {
            Self::Document(media) => return Some(media),
            Self::Template(template) => template.header.as_mut(),
            Self::Buttons(buttons) => buttons.header.as_mut(),
            Self::Link(link) => link.header.as_mut(),
            _ => None,
        };
        header.and_then(super::header::HeaderSpec::document_mut)
    }

    /// Returns the file that goes along, where it is one of ours.
    #[must_use]
    pub fn media_id(&self) -> Option<MediaId> {
        self.media().and_then(|(_, media)| media.media_id)
    }
}

impl MediaSpec {
    /// Returns the file with its caption marked as text, so that it is sent as it is written.
    #[must_use]
    pub(super) fn literally(self) -> Self {
        Self { caption: self.caption.as_deref().map(escaped), ..self }
    }
}

impl MediaProblem {
    /// Returns the field of the message that it is about.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::NotOneFile => "mediaId",
            Self::BadUrl => "mediaUrl",
            Self::CaptionOfOther | Self::CaptionTooLong | Self::CaptionSyntax(_) => "caption",
            Self::FilenameOfOther | Self::BadFilename => "filename",
        }
    }
}

impl MediaForm {
    /// Reads the placeholders of the caption and checks what can be checked without the file.
    pub(super) fn compile(kind: MediaKind, spec: &MediaSpec, tenant_id: TenantId) -> Result<Self, MediaProblem> {
        let source = match (spec.media_id, spec.media_url.as_deref()) {
            (Some(media_id), None) => MediaSource::Stored(MediaKey { tenant_id, media_id }),
            (None, Some(url)) => MediaSource::Link(check_url(url)?.as_str().into()),
            _ => return Err(MediaProblem::NotOneFile),
        };
        let caption = spec.caption.as_deref().filter(|caption| !caption.trim().is_empty());
        if caption.is_some() && matches!(kind, MediaKind::Audio | MediaKind::Sticker) {
            return Err(MediaProblem::CaptionOfOther);
        }
        let caption = caption.map(compile_caption).transpose()?;
        if spec.filename.is_some() && kind != MediaKind::Document {
            return Err(MediaProblem::FilenameOfOther);
        }
        let is_clean = |name: &&str| clean_filename(name).as_deref() == Some(*name);
        let filename = match spec.filename.as_deref() {
            Some(name) => Some(Some(name).filter(is_clean).ok_or(MediaProblem::BadFilename)?.into()),
            None => None,
        };
        Ok(Self { kind, source, caption, filename })
    }

    /// Fills in the placeholders of the caption; one of which nothing is left is left out.
    pub(super) fn render(
        &self,
        variables: &Variables,
        recipient: &Recipient,
        picks: &mut Picks,
    ) -> Result<MediaContent, RenderProblem> {
        let caption = self.caption.as_ref().map(|pattern| pattern.render(variables, recipient, picks)).transpose()?;
        if caption.as_deref().is_some_and(|caption| is_longer(caption, CAPTION_CHARS_MAX)) {
            return Err(RenderProblem::CaptionTooLong);
        }
        Ok(MediaContent {
            kind: self.kind,
            source: self.source.clone(),
            caption: caption.filter(|caption| !caption.trim().is_empty()),
            filename: self.filename.clone(),
        })
    }

    /// Returns the names of the variables that the caption uses.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.caption.iter().flat_map(Pattern::variables)
    }
}

impl MediaContent {
    /// Returns what was rendered as a message that could be written again.
    #[must_use]
    pub(super) fn into_spec(self) -> (MediaKind, MediaSpec) {
        let (media_id, media_url) = match self.source {
            MediaSource::Stored(key) => (Some(key.media_id), None),
            MediaSource::Link(url) => (None, Some(url.as_ref().to_owned())),
        };
        let filename = self.filename.map(|name| name.as_ref().to_owned());
        (self.kind, MediaSpec { media_id, media_url, caption: self.caption, filename })
    }
}

fn check_url(text: &str) -> Result<Url, MediaProblem> {
    // The parser would leave tabs and line breaks out.
    let is_plain = !is_longer(text, MEDIA_URL_CHARS_MAX) && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let url = Url::parse(text).ok().filter(|url| is_plain && url.scheme() == "https" && url.has_host());
    url.ok_or(MediaProblem::BadUrl)
}

fn compile_caption(caption: &str) -> Result<Pattern, MediaProblem> {
    if is_longer(caption, SOURCE_CHARS_MAX) {
        return Err(MediaProblem::CaptionTooLong);
    }
    let pattern = Pattern::parse(caption).map_err(MediaProblem::CaptionSyntax)?;
    if CAPTION_CHARS_MAX < pattern.chars_min() {
        return Err(MediaProblem::CaptionTooLong);
    }
    Ok(pattern)
}

impl fmt::Debug for MediaSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_bytes = self.caption.as_ref().map_or(0, String::len);
        write!(f, "Media({:?}, link {}, {n_bytes} bytes)", self.media_id, self.media_url.is_some())
    }
}

impl fmt::Debug for MediaContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_bytes = self.caption.as_ref().map_or(0, String::len);
        write!(f, "Media({:?}, {n_bytes} bytes)", self.kind)
    }
}
