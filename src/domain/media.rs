//! Files that are sent along: their kinds, which bytes are of which, and the names they go by.
//!
//! Decides by the first bytes and never by what a client says; bytes themselves are kept elsewhere.

use super::id::{MediaId, TenantId};
use super::words::words;

/// Bytes from the beginning of a file that its type is decided by; Office documents name themselves within these.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Characters of a file's name, at most.
pub const FILENAME_CHARS_MAX: usize = 120;

words! {
    /// What a file is sent as.
    MediaKind {
        /// A picture.
        Image = "image",
        /// A film.
        Video = "video",
        /// A recording.
        Audio = "audio",
        /// Anything to read.
        Document = "document",
        /// A small picture on its own.
        Sticker = "sticker",
    }
}

/// Where the bytes of a file are: under their owner and their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaKey {
    /// Whose they are.
    pub tenant_id: TenantId,
    /// The file.
    pub media_id: MediaId,
}

/// A type of files that the provider takes (Meta: business phone numbers, media).
#[derive(Debug, PartialEq, Eq)]
pub struct MediaType {
    /// What the provider calls it.
    pub mime: &'static str,
    /// What names of such files end in.
    pub extension: &'static str,
    /// What they are sent as.
    pub kind: MediaKind,
}

const fn media_type(mime: &'static str, extension: &'static str, kind: MediaKind) -> MediaType {
    MediaType { mime, extension, kind }
}

/// All of them; extensions are unique.
pub const MEDIA_TYPES: &[MediaType] = &[
    media_type("image/jpeg", "jpg", MediaKind::Image),
    media_type("image/png", "png", MediaKind::Image),
    media_type("image/webp", "webp", MediaKind::Sticker),
    media_type("video/mp4", "mp4", MediaKind::Video),
    media_type("video/3gpp", "3gp", MediaKind::Video),
    media_type("audio/aac", "aac", MediaKind::Audio),
    media_type("audio/amr", "amr", MediaKind::Audio),
    media_type("audio/mpeg", "mp3", MediaKind::Audio),
    media_type("audio/mp4", "m4a", MediaKind::Audio),
    media_type("audio/ogg", "ogg", MediaKind::Audio),
    media_type("application/pdf", "pdf", MediaKind::Document),
    media_type("application/msword", "doc", MediaKind::Document),
    media_type("application/vnd.ms-excel", "xls", MediaKind::Document),
    media_type("application/vnd.ms-powerpoint", "ppt", MediaKind::Document),
    media_type("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", MediaKind::Document),
    media_type("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", MediaKind::Document),
    media_type(
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "pptx",
        MediaKind::Document,
    ),
    media_type("text/plain", "txt", MediaKind::Document),
];

/// How the older Office documents begin, all three of them.
const OLE: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];

impl MediaType {
    /// Decides what a file is by its first bytes, [`HEAD_BYTES`] of them or all; `None` for what is not taken.
    ///
    /// The older Office documents are alike on the outside, so the end of their name tells them apart.
    #[must_use]
    pub fn of(head: &[u8], filename: Option<&str>) -> Option<&'static Self> {
        if head.starts_with(OLE) {
            let (_, extension) = filename?.rsplit_once('.')?;
            let extension = extension.to_ascii_lowercase();
            return ["doc", "xls", "ppt"].contains(&extension.as_str()).then(|| Self::by_extension(&extension))?;
        }
        // The library does not know it.
        if head.get(4..11) == Some(b"ftyp3gp") {
            return Self::by_mime("video/3gpp");
        }
        match infer::get(head).map(|found| found.mime_type()) {
            Some("audio/x-m4a" | "audio/m4a") => Self::by_mime("audio/mp4"),
            Some("audio/opus") => Self::by_mime("audio/ogg"),
            Some(mime) if !mime.starts_with("text/") => Self::by_mime(mime),
            _ => is_text(head).then(|| Self::by_mime("text/plain"))?,
        }
    }

    /// Finds a type by what its files end in.
    #[must_use]
    pub fn by_extension(extension: &str) -> Option<&'static Self> {
        MEDIA_TYPES.iter().find(|known| known.extension == extension)
    }

    /// Finds a type by what the provider calls it.
    #[must_use]
    pub fn by_mime(mime: &str) -> Option<&'static Self> {
        MEDIA_TYPES.iter().find(|known| known.mime == mime)
    }
}

/// Tells whether bytes are text: UTF-8, but for a character cut off at the end, without control characters.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && head.len() == HEAD_BYTES => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}'))
}

/// Makes the name of a file from what a client calls it: no path, nothing that could break out of a header, bounded;
/// `None` when nothing is left.
#[must_use]
pub fn clean_filename(given: &str) -> Option<String> {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_plain = |c: &char| !c.is_control() && !matches!(c, '"' | '<' | '>' | ':' | '|' | '?' | '*');
    let name: String = name.chars().filter(is_plain).collect();
    let is_edge = |c: char| c.is_whitespace() || c == '.';
    let name = name.trim_matches(is_edge);
    let n_chars = name.chars().count();
    if n_chars <= FILENAME_CHARS_MAX {
        return (!name.is_empty()).then(|| name.to_owned());
    }
    // What comes behind the last dot tells what it is, so the middle goes.
    let (stem, ending) = name.rsplit_once('.').filter(|(_, ending)| ending.len() <= 8).unwrap_or((name, ""));
    let dot = if ending.is_empty() { "" } else { "." };
    let stem: String = stem.chars().take(FILENAME_CHARS_MAX - ending.chars().count() - dot.len()).collect();
    Some(format!("{}{dot}{ending}", stem.trim_end_matches(is_edge)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(head: &[u8], filename: Option<&str>) -> Option<&'static str> {
        MediaType::of(head, filename).map(|found| found.extension)
    }

    #[test]
    fn bytes_decide() {
        assert_eq!(kind(&[0xFF, 0xD8, 0xFF, 0xE0, 0, 16], Some("x.png")), Some("jpg"));
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None), Some("png"));
        assert_eq!(kind(b"%PDF-1.7\n", Some("x.txt")), Some("pdf"));
        assert_eq!(kind(b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0OpusHead", None), Some("ogg"));
        assert_eq!(kind(b"#!AMR\n<\x91\x17\x16\xbef\x79\xe1", None), Some("amr"));
        assert_eq!(kind(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", None), Some("mp4"));
        assert_eq!(kind(b"\0\0\0\x18ftyp3gp4\0\0\0\0", None), Some("3gp"));
        assert_eq!(kind("Grüße,\n\tAna".as_bytes(), None), Some("txt"));
        assert_eq!(kind(b"<html><script>", Some("x.jpg")), Some("txt"), "text is shown as text");
        assert_eq!(kind(&[OLE, &[0; 64]].concat(), Some("Prices.XLS")), Some("xls"));
    }

    #[test]
    fn what_the_provider_does_not_take_is_nothing() {
        assert_eq!(kind(b"", Some("x.txt")), None);
        assert_eq!(kind(b"MZ\x90\0\x03\0\0\0", Some("x.jpg")), None);
        assert_eq!(kind(b"GIF89a\x01\0\x01\0", Some("x.png")), None);
        assert_eq!(kind(b"PK\x03\x04\x14\0\0\0\x08\0", Some("x.pdf")), None);
        assert_eq!(kind(&[OLE, &[0; 64]].concat(), Some("x.msi")), None);
        assert_eq!(kind(&[OLE, &[0; 64]].concat(), None), None);
        assert_eq!(kind(b"a\0b", None), None);
        assert_eq!(kind(b"gr\xfc\xdfe", None), None);
    }

    #[test]
    fn text_may_be_cut_inside_a_character() {
        let mut head = vec![b'a'; HEAD_BYTES - 1];
        head.push(0xC3);
        assert_eq!(kind(&head, None), Some("txt"));
        assert_eq!(kind(&head[1..], None), None, "all of it was there");
    }

    #[test]
    fn names_are_plain() {
        let table = [
            ("photo.jpg", Some("photo.jpg")),
            ("../../etc/passwd", Some("passwd")),
            (r"C:\Users\ana\Bill.pdf", Some("Bill.pdf")),
            ("a\r\nSet-Cookie: x\".pdf", Some("aSet-Cookie x.pdf")),
            ("Rechnung für Ana.pdf", Some("Rechnung für Ana.pdf")),
            (".htaccess", Some("htaccess")),
            ("..", None),
            ("", None),
            ("a/", None),
        ];
        for (given, expected) in table {
            assert_eq!(clean_filename(given).as_deref(), expected, "{given:?}");
        }
        let long = clean_filename(&format!("{}.pdf", "ä".repeat(300))).unwrap();
        assert!(long.chars().count() == FILENAME_CHARS_MAX && long.ends_with("ä.pdf"), "{long}");
    }

    proptest! {
        #[test]
        fn any_name_is_bounded_and_safe(given in ".{0,200}") {
            if let Some(name) = clean_filename(&given) {
                prop_assert!((1..=FILENAME_CHARS_MAX).contains(&name.chars().count()));
                prop_assert!(!name.chars().any(|c| c.is_control() || "/\\\"".contains(c)));
                prop_assert_eq!(clean_filename(&name), Some(name));
            }
        }
    }
}
