//! Standard output: data that a pipe can use, and nothing else.

use crate::error::CliError;
use std::io::{self, BufWriter, StdoutLock, Write as _};

/// Bytes of a buffer for data that comes in small pieces.
const BUFFER_BYTES: usize = 1 << 16;

/// Writes data. A reader that went away ends the program quietly, as it does `cat`.
pub(crate) fn data(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(CliError::Output)
}

/// Writes data that comes in small pieces.
pub(crate) fn pieces(write: impl FnOnce(&mut BufWriter<StdoutLock<'_>>) -> io::Result<()>) -> Result<(), CliError> {
    let mut stdout = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let written = write(&mut stdout).and_then(|()| stdout.flush());
    written.map_err(CliError::Output)
}

/// Writes a line of data.
pub(crate) fn line(text: &str) -> Result<(), CliError> {
    data(format!("{text}\n").as_bytes())
}

/// Writes lines of data in one go.
pub(crate) fn lines<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> Result<(), CliError> {
    let text: String = items.into_iter().map(|item| format!("{item}\n")).collect();
    data(text.as_bytes())
}

/// Writes a JSON document and a line end.
pub(crate) fn json(value: &serde_json::Value) -> Result<(), CliError> {
    line(&format!("{value:#}"))
}
