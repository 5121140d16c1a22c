//! Bounds of files that are sent along, and of templates.

use std::time::Duration;

/// Bytes of the largest file that the provider takes, a document: 100 MiB; streamed, never held.
pub const MEDIA_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Files on their way in at once: 32 × at most 15 MiB of parts on their way to a bucket = 480 MiB.
pub const MEDIA_UPLOADS_MAX: usize = 32;

/// Longest time in which a form with a file may arrive: 10 minutes, 100 MiB at 175 kB/s.
pub const MEDIA_UPLOAD_TIME_MAX: Duration = Duration::from_secs(600);

/// Bytes of a form beside its file: six fields of at most 16,384 characters each, and what stands between them.
pub const FORM_FIELDS_BYTES_MAX: usize = 512 * 1024;

/// Fields of a form, at most: 8, the file and seven others, and as many again before it is no honest mistake.
pub const FORM_FIELDS_MAX: usize = 16;

/// Bytes of one field of a form beside its file: 16,384 characters at four bytes each.
pub const FORM_FIELD_BYTES_MAX: usize = 64 * 1024;

/// Files looked at together when those without an owner are looked for: 1,000 × 39 bytes of id = 39 kB.
pub const MEDIA_LOOK_MAX: usize = 1_000;

/// How long files are kept that came with a single message: 30 days, as long as the provider keeps them.
pub const SENT_MEDIA_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Age from which a file that nobody knows of is removed: 60 minutes, six times as long as an upload may take.
pub const STRAY_MEDIA_AGE: Duration = Duration::from_secs(3_600);

/// Names of files at the provider that a node remembers: 100,000 × about 150 bytes = 15 MB.
pub const UPLOADED_MEDIA_MAX: usize = 100_000;

/// Files on their way to the provider at once: 8 × about 64 KiB of buffers, and at 5 MB/s each 40 MB/s.
pub const UPLOADS_MAX: usize = 8;

/// Kept messages of one tenant: 1,000 × at most 100 kB.
pub const TEMPLATES_PER_TENANT_MAX: u64 = 1_000;
