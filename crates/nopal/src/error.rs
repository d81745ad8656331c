//! What the user sees on failure: the kind decides the exit code, causes follow in a chain, hints come last.
//! This is the one file that knows the policy.

use nopal_engine::{EngineError, ErrorKind, InstallableParseError, as_error};
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use thiserror::Error;

use crate::output;

/// Exit code of an evaluation, a store or a network that failed.
const FAILED: u8 = 1;
/// Exit code of a command line that makes no sense.
const USAGE: u8 = 2;

/// Why a command did not do what it was asked to.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The command line makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to write instead, if that is known.
        hint: Option<String>,
    },
    /// A word names nothing.
    #[error(transparent)]
    Installable(#[from] InstallableParseError),
    /// The engine failed.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] nopal_store::StoreError),
    /// A tree could not be read or written.
    #[error(transparent)]
    Tree(#[from] nopal_store::TreeError),
    /// Standard output could not be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// Standard input could not be read.
    #[error("cannot read standard input")]
    Input(#[source] io::Error),
    /// A file of the user could not be read or written.
    #[error(transparent)]
    File(#[from] nopal_fs::FsError),
    /// The working directory is gone.
    #[error("cannot find the working directory")]
    WorkingDir(#[source] io::Error),
    /// Neither the home nor a folder is known.
    #[error("cannot tell where {0} lies: HOME is not set")]
    NoHome(&'static str, &'static str),
    /// A build failed.
    #[error("{message}")]
    Build {
        /// What to say.
        message: String,
        /// The exit code of Nix's old commands.
        code: u8,
    },
    /// A file is no ELF file, or makes no sense as one.
    #[error("cannot read {}", path.display())]
    Elf {
        /// Which file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        #[source]
        source: nopal_elf::read::ReadError,
    },
    /// Nothing can be said of what a program loads.
    #[error(transparent)]
    Resolve(#[from] nopal_elf::resolve::ResolveError),
    /// Nothing was packed.
    #[error(transparent)]
    Pack(#[from] nopal_relocate::PackError),
    /// Nothing was relocated.
    #[error(transparent)]
    Relocate(#[from] nopal_relocate::RelocateError),
    /// There is no wrapper.
    #[error(transparent)]
    Wrap(#[from] nopal_relocate::wrap::WrapError),
    /// Flags that make no wrapper.
    #[error(transparent)]
    WrapFlag(#[from] nopal_relocate::wrap::FlagError),
    /// It is not known where this program is.
    #[error("cannot tell where this program is")]
    Program(#[source] io::Error),
    /// Something checked turned out wrong, and was told already.
    #[error("{0}")]
    Found(String),
}

impl From<nopal_format::store_path::StorePathError> for CliError {
    fn from(error: nopal_format::store_path::StorePathError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl CliError {
    /// A command line that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// Likewise, with advice.
    pub(crate) fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Installable(_) | Self::WrapFlag(_) => USAGE,
            Self::Build { code, .. } => *code,
            Self::Engine(error) => match error.kind() {
                ErrorKind::Usage => USAGE,
                ErrorKind::Build(code) => code,
                _ => FAILED,
            },
            _ => FAILED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Usage { hint, .. } => hint.iter().cloned().collect(),
            Self::Installable(error) => vec![error.hint().to_owned()],
            Self::Engine(error) => error.hints(),
            Self::Store(error) => error.hint().into_iter().collect(),
            Self::File(error) => error.hint().map(str::to_owned).into_iter().collect(),
            Self::Wrap(error) => error.hint().map(str::to_owned).into_iter().collect(),
            Self::WrapFlag(error) => error.hint().map(str::to_owned).into_iter().collect(),
            Self::NoHome(_, variable) => vec![format!("set HOME, or {variable}")],
            _ => Vec::new(),
        }
    }

    /// Whether something that evaluation fetched had another hash than it should have.
    fn is_wrong_fetch(&self) -> bool {
        matches!(self, Self::Engine(error) if matches!(**error, EngineError::Evaluation { is_mismatch: true, .. }))
    }

    /// Whether the reader of our output went away: no reason to say anything.
    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Tells how it ended, and gives the exit code.
pub(crate) fn conclude(outcome: Result<ExitCode, CliError>) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) if error.is_broken_pipe() => return ExitCode::from(FAILED),
        Err(error) => error,
    };
    print_begun(&error);
    let text = match &error {
        // sources that it quotes need not be UTF-8
        CliError::Engine(error) if let EngineError::Evaluation { report, .. } = &**error => report.clone(),
        _ => render(&error).into_bytes(),
    };
    // there is nobody left to tell if standard error is closed
    let _ = io::stderr().lock().write_all(&[&text[..], b"\n"].concat());
    ExitCode::from(error.exit_code())
}

/// Prints what Nix prints of an answer before it fails.
fn print_begun(error: &CliError) {
    if let CliError::Engine(error) = error
        && let EngineError::Evaluation { begun, .. } = &**error
    {
        let _ = output::pieces(|stdout| begun.write(stdout));
    }
}

/// Tells of an error in Nix's form, while the program goes on.
pub(crate) fn tell_as_nix(error: &CliError) {
    let text = match error {
        CliError::Engine(error) if let EngineError::Evaluation { report, .. } = &**error => report.clone(),
        _ => render_as_nix(error).into_bytes(),
    };
    let _ = io::stderr().lock().write_all(&[&text[..], b"\n"].concat());
}

/// Where to read on, as Nix says behind an error of usage.
fn more(program: &str) -> Vec<u8> {
    format!("\nTry '{program} --help' for more information.").into_bytes()
}

/// Tells how a command by one of Nix's names ended, in Nix's form, and gives Nix's exit code.
pub(crate) fn conclude_as_nix(outcome: Result<ExitCode, CliError>, program: &str) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) if error.is_broken_pipe() => return ExitCode::from(FAILED),
        Err(error) => error,
    };
    print_begun(&error);
    let text = match &error {
        CliError::Engine(error) if let EngineError::Evaluation { report, is_usage, .. } = &**error => {
            if *is_usage {
                [&report[..], &more(program)].concat()
            } else {
                report.clone()
            }
        }
        CliError::Usage { .. } => [render_as_nix(&error).into_bytes(), more(program)].concat(),
        _ => render_as_nix(&error).into_bytes(),
    };
    let _ = io::stderr().lock().write_all(&[&text[..], b"\n"].concat());
    ExitCode::from(match error.exit_code() {
        USAGE => FAILED,
        // only the old commands tell kinds of failures apart
        // and what evaluation found to have another hash
        _ if program == "nix" && !error.is_wrong_fetch() => FAILED,
        code => code,
    })
}

/// The error in one message: causes follow after a colon, and further lines are indented, as Nix does.
fn render_as_nix(error: &CliError) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !message.ends_with(&said) {
            message = format!("{message}: {said}");
        }
        cause = inner.source();
    }
    as_error(&message)
}

/// The error, its causes, and hints, each on lines of their own.
fn render(error: &CliError) -> String {
    let message = error.to_string();
    // the evaluator's errors are Nix's text, which says `error:` itself
    let mut text = if message.starts_with("error:") { message } else { format!("error: {message}") };
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // a transparent wrapper repeats what it wraps
        if !text.ends_with(&said) {
            text.push_str(&format!("\n  caused by: {said}"));
        }
        cause = inner.source();
    }
    for hint in error.hints() {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_hints_follow_the_message() {
        let error = CliError::Output(io::Error::other("disk is full"));
        assert_eq!(render(&error), "error: cannot write to standard output\n  caused by: disk is full");
        let error = CliError::usage_hint("no package is named", "write deb:NAME");
        assert_eq!(render(&error), "error: no package is named\nhint: write deb:NAME");
        assert_eq!(error.exit_code(), 2);
    }
}
