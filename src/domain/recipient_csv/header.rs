//! The first line of a recipient file: which delimiter it uses and what its columns mean.
//!
//! Reads no rows.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::lines::{Lines, is_line_end};
use crate::domain::message::Variables;

/// Names of the column that holds the address, most telling first; letter case, spaces, dashes
/// and underscores do not count.
const PHONE_NAMES: [&str; 5] = ["phone", "to", "number", "phonenumber", "mobile"];
/// Delimiters that are told apart, the likeliest first.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
/// Bytes of the header, at most: 33 names of 64 characters, quoted, in any script.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Columns of a file, at most: one for the address, 32 variables.
const COLUMNS_MAX: usize = 33;
/// Characters that the name of a column may be shown with.
const SHOWN_CHARS_MAX: usize = 64;

const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";
const UTF16_BOMS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
/// How zip archives begin, and so Excel's and LibreOffice's own files.
const ARCHIVE: &[u8] = b"PK\x03\x04";

/// Why a file as a whole cannot be read, in a sentence for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// Nothing but blank lines.
    #[error("The file is empty.")]
    Empty,
    /// A spreadsheet's own format.
    #[error("The file is a spreadsheet, not CSV: export it as CSV UTF-8.")]
    Spreadsheet,
    /// The header is not UTF-8, and so nothing else will be.
    #[error("The file is not UTF-8 text: export it as CSV UTF-8.")]
    NotUtf8,
    /// The first line does not end where it should.
    #[error("The first line is longer than {HEADER_BYTES_MAX} bytes: it must name the columns.")]
    HeaderTooLong,
    /// The first line does not end at all.
    #[error("A quote is opened in the first line and not closed.")]
    OpenQuote,
    /// No column for the address.
    #[error(
        "The file has no phone column: its first line must name the columns, one of them phone, to, number, phonenumber or mobile."
    )]
    NoPhoneColumn,
    /// More columns than a recipient may have variables.
    #[error("The file has {found} columns; it may have {COLUMNS_MAX}.")]
    TooManyColumns {
        /// How many.
        found: usize,
    },
    /// Two columns of the same name.
    #[error("The file has two columns named {name}.")]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// A name that no message could use.
    #[error(
        "Column {column} cannot be a variable: its name is too long or has a brace, bar, backslash or control character."
    )]
    BadColumn {
        /// Which one, counted from 1.
        column: usize,
    },
}

/// Bytes of the first line that is not blank, until it is whole.
#[derive(Default)]
pub(super) struct HeaderLine {
    bytes: Vec<u8>,
    in_quotes: bool,
}

impl HeaderLine {
    /// Takes bytes up to the end of the header; returns how many once it is whole.
    pub(super) fn take(&mut self, chunk: &[u8], lines: &mut Lines) -> Result<Option<usize>, FileProblem> {
        for (byte, n_taken) in chunk.iter().copied().zip(1..) {
            lines.pass(byte);
            if is_line_end(byte) && !self.in_quotes {
                if !self.is_blank() {
                    return Ok(Some(n_taken));
                }
                // What a byte order mark announced is over with the first line, blank or not.
                self.bytes.clear();
                continue;
            }
            self.in_quotes ^= byte == b'"' && (self.in_quotes || self.at_field_start());
            self.bytes.push(byte);
            if HEADER_BYTES_MAX < self.bytes.len() {
                check_format(&self.bytes)?;
                return Err(FileProblem::HeaderTooLong);
            }
        }
        Ok(None)
    }

    /// Reads the columns.
    pub(super) fn columns(&self) -> Result<Columns, FileProblem> {
        check_format(&self.bytes)?;
        if self.is_blank() {
            return Err(FileProblem::Empty);
        }
        if self.in_quotes {
            return Err(FileProblem::OpenQuote);
        }
        let splits = DELIMITERS.map(|delimiter| (delimiter, split(self.text(), delimiter)));
        // The delimiter that shows a phone column is the right one; a name may hold the others.
        let has_phone = |names: &[Vec<u8>]| names.iter().any(|name| phone_rank(name).is_some());
        let candidates = splits.iter().filter(|(_, names)| has_phone(names));
        // Of equals the last would win, and the first is the likeliest.
        let best = candidates.rev().max_by_key(|(_, names)| names.len());
        let Some((delimiter, names)) = best else {
            return Err(if str::from_utf8(self.text()).is_err() {
                FileProblem::NotUtf8
            } else {
                FileProblem::NoPhoneColumn
            });
        };
        Columns::new(*delimiter, names)
    }

    /// Tells whether a quote here opens a field, or is the second of a doubled one; elsewhere it is
    /// a character like any other.
    fn at_field_start(&self) -> bool {
        self.text().last().is_none_or(|before| DELIMITERS.contains(before) || *before == b'"')
    }

    fn text(&self) -> &[u8] {
        self.bytes.strip_prefix(UTF8_BOM).unwrap_or(&self.bytes)
    }

    fn is_blank(&self) -> bool {
        self.text().iter().all(u8::is_ascii_whitespace)
    }
}

/// What the columns of a file mean.
pub(super) struct Columns {
    delimiter: u8,
    phone: usize,
    /// The variable that each column fills; none for the phone and for columns without a name.
    variables: Vec<Option<String>>,
}

impl Columns {
    fn new(delimiter: u8, names: &[Vec<u8>]) -> Result<Self, FileProblem> {
        if COLUMNS_MAX < names.len() {
            return Err(FileProblem::TooManyColumns { found: names.len() });
        }
        let ranks = names.iter().enumerate().filter_map(|(at, name)| Some((phone_rank(name)?, at)));
        let (_, phone) = ranks.min().ok_or(FileProblem::NoPhoneColumn)?;
        let mut variables = Vec::with_capacity(names.len());
        let mut seen = Variables::default();
        for (at, name) in names.iter().enumerate() {
            let name = str::from_utf8(name).map_err(|_| FileProblem::NotUtf8)?.trim();
            if at == phone || name.is_empty() {
                variables.push(None);
                continue;
            }
            if seen.get(name).is_some() {
                let name = name.chars().take(SHOWN_CHARS_MAX).collect();
                return Err(FileProblem::DuplicateColumn { name });
            }
            let column = at + 1;
            seen.insert(name, String::new()).map_err(|_| FileProblem::BadColumn { column })?;
            variables.push(Some(name.to_owned()));
        }
        Ok(Self { delimiter, phone, variables })
    }

    /// Returns how many fields each row has.
    pub(super) fn count(&self) -> usize {
        self.variables.len()
    }

    /// Returns the index of the column that holds the address.
    pub(super) fn phone(&self) -> usize {
        self.phone
    }

    /// Returns the variable that column `at` fills.
    pub(super) fn variable(&self, at: usize) -> Option<&str> {
        self.variables.get(at)?.as_deref()
    }

    /// Makes a reader of rows that stands at the beginning of one.
    pub(super) fn reader(&self) -> Reader {
        reader(self.delimiter)
    }
}

fn reader(delimiter: u8) -> Reader {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    // At its very first byte csv-core drops a byte order mark, if the chunk is long enough to show
    // it; past a blank line it takes all bytes alike.
    let (_, n_read, ..) = reader.read_record(b"\n", &mut [0], &mut [0]);
    debug_assert_eq!(n_read, 1);
    reader
}

fn check_format(bytes: &[u8]) -> Result<(), FileProblem> {
    if bytes.starts_with(ARCHIVE) {
        return Err(FileProblem::Spreadsheet);
    }
    if UTF16_BOMS.iter().any(|bom| bytes.starts_with(bom)) {
        return Err(FileProblem::NotUtf8);
    }
    Ok(())
}

/// Splits one line into its fields; none if it holds more than one record under this delimiter.
fn split(line: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut fields = vec![0; line.len() + 1];
    let mut ends = vec![0; line.len() + 2];
    let mut reader = reader(delimiter);
    let (result, _, _, n_ends) = reader.read_record(line, &mut fields, &mut ends);
    if !matches!(result, ReadRecordResult::InputEmpty) {
        return Vec::new();
    }
    // The end of input ends the last field.
    let (_, _, _, n_last) = reader.read_record(&[], &mut [], &mut ends[n_ends..]);
    let mut start = 0;
    let mut names = Vec::with_capacity(n_ends + n_last);
    for &end in &ends[..n_ends + n_last] {
        names.push(fields[start..end].to_vec());
        start = end;
    }
    names
}

/// Returns how telling a name is for the phone column, less being better.
fn phone_rank(name: &[u8]) -> Option<usize> {
    let counts = |byte: &u8| !matches!(byte, b' ' | b'-' | b'_' | b'\t');
    let plain: Vec<u8> = name.iter().copied().filter(counts).map(|byte| byte.to_ascii_lowercase()).collect();
    PHONE_NAMES.iter().position(|known| known.as_bytes() == plain)
}
