//! Recipient files, read as they arrive: bytes in any chunks in, one row at a time out.
//!
//! The path of a file: the first line is kept until it is whole and tells delimiter and columns
//! ([`header`]); from then on each physical line goes through csv-core into one buffer of fixed
//! size, and each record becomes a [`Row`]. However the bytes are cut, the rows are the same.
//! Finds no duplicates (the store does) and never holds more than one row.

mod header;
mod lines;
mod report;
#[cfg(test)]
mod tests;

use std::str;

use csv_core::{ReadRecordResult, Reader};

pub use self::header::FileProblem;
use self::header::{Columns, HeaderLine};
use self::lines::{Lines, is_line_end, up_to_line_end};
pub use self::report::{ImportReport, LineProblem, PROBLEMS_MAX};
use crate::domain::message::{Variables, VariablesProblem};
use crate::domain::recipient::{Recipient, RecipientProblem};

/// Bytes of one row, at most: 32 variables of 1,024 characters in a script of two bytes a letter.
pub const ROW_BYTES_MAX: usize = 64 * 1024;
/// Physical lines of one row, at most. A quote that is never closed costs so many lines and not
/// the rest of the file.
pub const ROW_LINES_MAX: u64 = 64;

/// What became of one row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Somebody to be written to.
    Good {
        /// Physical line on which the row begins; the file's first line is 1.
        line: u64,
        /// Whom it names.
        recipient: Recipient,
        /// The other columns, without empty cells, so that defaults apply there.
        variables: Variables,
    },
    /// A row that is left out.
    Bad {
        /// Physical line on which the row begins; the file's first line is 1.
        line: u64,
        /// Why.
        problem: RowProblem,
    },
}

/// Why a row is left out, in a sentence that holds nothing of what the row says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    /// The cell under the phone column is no address.
    #[error(transparent)]
    Recipient(RecipientProblem),
    /// A cell under another column breaks a bound.
    #[error(transparent)]
    Variables(VariablesProblem),
    /// More or fewer cells than the header.
    #[error("The row has {found} fields, the header has {expected}.")]
    Ragged {
        /// Fields of this row.
        found: usize,
        /// Columns of the header.
        expected: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("The row is not UTF-8 text: export the file as CSV UTF-8.")]
    NotUtf8,
    /// More bytes than a row may have.
    #[error("The row is longer than {ROW_BYTES_MAX} bytes; lines up to {last_line} are left out.")]
    TooLong {
        /// Last physical line that was taken for part of it.
        last_line: u64,
    },
    /// A quote without its end, as far as can be told.
    #[error("A quote is opened in this row and not closed; lines up to {last_line} are left out.")]
    OpenQuote {
        /// Last physical line that was taken for part of it.
        last_line: u64,
    },
}

/// Reads one recipient file, chunk by chunk. Takes about 70 kB, whatever the size of the file.
pub struct RecipientCsv {
    lines: Lines,
    stage: Stage,
}

enum Stage {
    Header(HeaderLine),
    Rows(Box<Rows>),
    Failed(FileProblem),
}

impl RecipientCsv {
    /// Makes a reader that stands before the first byte of a file.
    #[must_use]
    pub fn new() -> Self {
        Self { lines: Lines::default(), stage: Stage::Header(HeaderLine::default()) }
    }

    /// Takes the next bytes of the file and gives each row that they complete to `sink`.
    ///
    /// # Errors
    ///
    /// Says why the file as a whole cannot be read; every later call says the same.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl FnMut(Row)) -> Result<(), FileProblem> {
        let mut rest = chunk;
        if let Stage::Header(header) = &mut self.stage {
            let Some(n_taken) = header.take(rest, &mut self.lines).map_err(|problem| self.fail(problem))? else {
                return Ok(());
            };
            rest = &rest[n_taken..];
            self.start_rows()?;
        }
        match &mut self.stage {
            Stage::Rows(rows) => rows.feed(rest, &mut self.lines, sink),
            Stage::Failed(problem) => return Err(problem.clone()),
            Stage::Header(_) => {}
        }
        Ok(())
    }

    /// Takes the end of the file; the last row needs no line break.
    ///
    /// # Errors
    ///
    /// Says why the file as a whole cannot be read, for instance that it is empty.
    pub fn finish(mut self, sink: &mut impl FnMut(Row)) -> Result<(), FileProblem> {
        if matches!(self.stage, Stage::Header(_)) {
            self.start_rows()?;
        }
        match &mut self.stage {
            Stage::Rows(rows) => rows.finish(&self.lines, sink),
            Stage::Failed(problem) => return Err(problem.clone()),
            Stage::Header(_) => {}
        }
        Ok(())
    }

    fn start_rows(&mut self) -> Result<(), FileProblem> {
        if let Stage::Header(header) = &self.stage {
            let columns = header.columns().map_err(|problem| self.fail(problem))?;
            self.stage = Stage::Rows(Box::new(Rows::new(columns)));
        }
        Ok(())
    }

    fn fail(&mut self, problem: FileProblem) -> FileProblem {
        self.stage = Stage::Failed(problem.clone());
        problem
    }
}

impl Default for RecipientCsv {
    fn default() -> Self {
        Self::new()
    }
}

/// The part of a file below its header.
struct Rows {
    reader: Reader,
    columns: Columns,
    /// Fields of the present row, unquoted, one behind the other.
    fields: Box<[u8]>,
    fields_len: usize,
    /// Where each field ends; one place more than columns.
    ends: Box<[usize]>,
    ends_len: usize,
    /// Fields that had no place in `ends` any more; the row is ragged then.
    n_surplus: usize,
    at: Position,
}

/// Where in a row the next byte stands.
enum Position {
    Between,
    Inside {
        first_line: u64,
    },
    /// In the last physical line of a row that is too long.
    Skipping {
        first_line: u64,
    },
}

impl Rows {
    fn new(columns: Columns) -> Self {
        let mut rows = Self {
            reader: Reader::new(),
            fields: vec![0; ROW_BYTES_MAX].into(),
            fields_len: 0,
            ends: vec![0; columns.count() + 1].into(),
            ends_len: 0,
            n_surplus: 0,
            at: Position::Between,
            columns,
        };
        rows.restart();
        rows
    }

    fn feed(&mut self, chunk: &[u8], lines: &mut Lines, sink: &mut impl FnMut(Row)) {
        let mut rest = chunk;
        while let Some(&first) = rest.first() {
            match self.at {
                Position::Between if is_line_end(first) => {
                    lines.pass(first);
                    rest = &rest[1..];
                }
                Position::Between => self.at = Position::Inside { first_line: lines.line },
                // One physical line at a time, so that bounds are met at the same byte however
                // the file is cut.
                Position::Inside { first_line } => {
                    let n_taken = self.read(up_to_line_end(rest), first_line, sink);
                    lines.pass_slice(&rest[..n_taken]);
                    let n_lines = lines.line - first_line;
                    if matches!(self.at, Position::Inside { .. }) && ROW_LINES_MAX <= n_lines {
                        let problem = RowProblem::OpenQuote { last_line: lines.line - 1 };
                        sink(Row::Bad { line: first_line, problem });
                        self.restart();
                    }
                    rest = &rest[n_taken..];
                }
                Position::Skipping { first_line } => {
                    let slice = up_to_line_end(rest);
                    let line = lines.line;
                    lines.pass_slice(slice);
                    if slice.last().copied().is_some_and(is_line_end) {
                        let problem = RowProblem::TooLong { last_line: line };
                        sink(Row::Bad { line: first_line, problem });
                        self.restart();
                    }
                    rest = &rest[slice.len()..];
                }
            }
        }
    }

    fn finish(&mut self, lines: &Lines, sink: &mut impl FnMut(Row)) {
        let last_line = lines.line;
        match self.at {
            Position::Between => {}
            Position::Inside { first_line } => {
                // A line break ends every row but one with an open quote.
                self.read(b"\n", first_line, sink);
                if matches!(self.at, Position::Inside { .. }) {
                    let problem = RowProblem::OpenQuote { last_line };
                    sink(Row::Bad { line: first_line, problem });
                }
            }
            Position::Skipping { first_line } => {
                sink(Row::Bad { line: first_line, problem: RowProblem::TooLong { last_line } });
            }
        }
        self.restart();
    }

    /// Reads bytes of the present row until they or the row end; returns how many were taken.
    fn read(&mut self, input: &[u8], first_line: u64, sink: &mut impl FnMut(Row)) -> usize {
        let mut n_taken = 0;
        while n_taken < input.len() {
            let (result, n_read, n_written, n_ends) = self.reader.read_record(
                &input[n_taken..],
                &mut self.fields[self.fields_len..],
                &mut self.ends[self.ends_len..],
            );
            n_taken += n_read;
            self.fields_len += n_written;
            self.ends_len += n_ends;
            if matches!(result, ReadRecordResult::Record) {
                if let Some(row) = self.row(first_line) {
                    sink(row);
                }
                self.begin_row();
                break;
            }
            if self.fields_len == self.fields.len() {
                self.at = Position::Skipping { first_line };
                break;
            }
            if self.ends_len == self.ends.len() {
                self.n_surplus += self.ends_len;
                self.ends_len = 0;
            }
        }
        n_taken
    }

    /// Makes a row of the fields read; none if all of them are blank.
    fn row(&self, line: u64) -> Option<Row> {
        let bytes = &self.fields[..self.fields_len];
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        Some(match self.read_fields() {
            Ok((recipient, variables)) => Row::Good { line, recipient, variables },
            Err(problem) => Row::Bad { line, problem },
        })
    }

    fn read_fields(&self) -> Result<(Recipient, Variables), RowProblem> {
        let (found, expected) = (self.n_surplus + self.ends_len, self.columns.count());
        if found != expected {
            return Err(RowProblem::Ragged { found, expected });
        }
        let mut recipient = Err(RecipientProblem::Empty);
        let mut variables = Variables::default();
        let mut start = 0;
        for (at, &end) in self.ends[..self.ends_len].iter().enumerate() {
            let field = str::from_utf8(&self.fields[start..end]).map_err(|_| RowProblem::NotUtf8)?;
            start = end;
            if at == self.columns.phone() {
                recipient = Recipient::parse(field);
                continue;
            }
            let value = field.trim();
            if let (Some(name), false) = (self.columns.variable(at), value.is_empty()) {
                variables.insert(name, value.to_owned()).map_err(RowProblem::Variables)?;
            }
        }
        Ok((recipient.map_err(RowProblem::Recipient)?, variables))
    }

    fn begin_row(&mut self) {
        self.fields_len = 0;
        self.ends_len = 0;
        self.n_surplus = 0;
        self.at = Position::Between;
    }

    /// Forgets the present row and stands between rows again.
    fn restart(&mut self) {
        self.reader = self.columns.reader();
        self.begin_row();
    }
}
