//! Physical lines of a file, which end in LF, CRLF or CR.
//!
//! Knows neither quotes nor rows.

/// Counts lines.
pub(super) struct Lines {
    /// The line on which the next byte stands.
    pub(super) line: u64,
    after_cr: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { line: 1, after_cr: false }
    }
}

impl Lines {
    /// Goes past one byte.
    pub(super) fn pass(&mut self, byte: u8) {
        let ends_line = byte == b'\r' || (byte == b'\n' && !self.after_cr);
        self.line += u64::from(ends_line);
        self.after_cr = byte == b'\r';
    }

    /// Goes past bytes of which only the last can end a line.
    pub(super) fn pass_slice(&mut self, bytes: &[u8]) {
        if let [.., last] = bytes {
            self.after_cr &= bytes.len() == 1;
            self.pass(*last);
        }
    }
}

/// Tells whether `byte` ends a line.
pub(super) fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Returns the bytes up to and with the first end of a line, or all.
pub(super) fn up_to_line_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| is_line_end(byte));
    end.map_or(bytes, |at| &bytes[..=at])
}
