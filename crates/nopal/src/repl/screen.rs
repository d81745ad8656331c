//! Standard output of the loop, written when Nix would write it: what is printed of a value before an error comes after
//! the error's message.

use crate::error::CliError;
use crate::output;
use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

/// What shows long texts if nothing else is asked for; the first that exists.
const PAGERS: &str = "pager || less || more";

/// Standard output.
#[derive(Debug, Default)]
pub(super) struct Screen {
    buffer: Vec<u8>,
}

impl Screen {
    /// Writes a line, and all before it.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.push(b'\n');
        self.flush()
    }

    /// What is not written yet.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes what is not written yet.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        let written = output::data(&self.buffer);
        self.buffer.clear();
        written
    }

    /// Shows a long text, on a terminal with the user's pager.
    pub(super) fn page(&mut self, text: &[u8]) -> Result<(), CliError> {
        self.flush()?;
        let pager = crate::env_vars::NIX_PAGER.text().or_else(|| crate::env_vars::PAGER.text());
        if !std::io::stdout().is_terminal() || pager.as_deref().is_some_and(|pager| pager == "cat") {
            return output::data(text);
        }
        let program = pager.unwrap_or_else(|| PAGERS.to_owned());
        let child = Command::new("sh").args(["-c", &program]).env("LESS", "FRSXMK").stdin(Stdio::piped()).spawn();
        let Ok(mut child) = child else { return output::data(text) };
        if let Some(mut stdin) = child.stdin.take() {
            // a pager that was left early does not want the rest
            let _ = stdin.write_all(text);
        }
        child.wait().map(drop).map_err(CliError::Output)
    }
}
