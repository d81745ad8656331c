//! Standard output: data that a pipe can use, and nothing else.

use crate::error::CliError;
use std::io::{self, Write as _};

/// Writes data. A reader that went away ends the program quietly, as it does `cat`.
pub(crate) fn data(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
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
