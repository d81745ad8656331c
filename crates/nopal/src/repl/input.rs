//! Where lines come from: a terminal, with editing, history and completion; or anything else, echoed as readline does
//! it, so that a transcript can be read.

use super::complete::Completion;
use super::screen::Screen;
use super::{Shared, history};
use crate::error::CliError;
use rustyline::error::ReadlineError;
use rustyline::history::{History as _, MemHistory, SearchDirection};
use rustyline::{CompletionType, Config, Editor};
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

const PROMPT: &str = "nix-repl> ";
/// Before the lines after the first of an input.
const CONTINUATION: &str = "        > ";

/// What was read.
pub(super) enum Line {
    /// A line, without its end.
    Text(String),
    /// Ctrl-C: forget what was begun.
    Interrupted,
    /// Ctrl-D, or the end of the file.
    End,
}

/// A source of lines.
pub(super) enum Input<'r, 's, 'e> {
    /// Standard input as it is.
    Plain,
    /// A terminal.
    Terminal(Box<Terminal<'r, 's, 'e>>),
}

/// A terminal, and the file for the lines that were read.
pub(super) struct Terminal<'r, 's, 'e> {
    editor: Editor<Completion<'r, 's, 'e>, MemHistory>,
    file: &'r Path,
}

impl<'r, 's, 'e> Input<'r, 's, 'e> {
    /// Standard input; `history` is the file of earlier lines.
    pub(super) fn new(history: &'r Path, session: &'r Shared<'s, 'e>) -> Result<Self, CliError> {
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return Ok(Self::Plain);
        }
        let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true);
        let config = config.max_history_size(history::MAX_LINES).map_err(failed)?.build();
        let lines = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, lines).map_err(failed)?;
        for line in history::read(history) {
            editor.add_history_entry(line).map_err(failed)?;
        }
        editor.set_helper(Some(Completion { session }));
        Ok(Self::Terminal(Box::new(Terminal { editor, file: history })))
    }

    /// The next line.
    pub(super) fn line(&mut self, is_first: bool, screen: &mut Screen) -> Result<Line, CliError> {
        let prompt = if is_first { PROMPT } else { CONTINUATION };
        match self {
            Self::Plain => plain(prompt, screen),
            Self::Terminal(terminal) => match terminal.editor.readline(prompt) {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(failed(error)),
            },
        }
    }
}

fn failed(error: ReadlineError) -> CliError {
    CliError::Input(match error {
        ReadlineError::Io(error) => error,
        error => std::io::Error::other(error.to_string()),
    })
}

fn plain(prompt: &str, screen: &mut Screen) -> Result<Line, CliError> {
    screen.buffer().extend_from_slice(prompt.as_bytes());
    screen.flush()?;
    let mut line = Vec::new();
    if std::io::stdin().lock().read_until(b'\n', &mut line).map_err(CliError::Input)? == 0 {
        return Ok(Line::End);
    }
    line.pop_if(|last| *last == b'\n');
    let line = String::from_utf8_lossy(&line).into_owned();
    screen.line(&line)?;
    Ok(Line::Text(line))
}

impl Drop for Terminal<'_, '_, '_> {
    fn drop(&mut self) {
        let kept = self.editor.history();
        let line = |index| kept.get(index, SearchDirection::Forward).ok().flatten();
        let lines: Vec<String> = (0..kept.len()).filter_map(line).map(|found| found.entry.into_owned()).collect();
        history::write(self.file, lines.iter());
    }
}
