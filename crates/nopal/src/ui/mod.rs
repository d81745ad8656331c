//! What the user sees while something runs: events drawn on a terminal, or told in plain lines.

mod plain;
mod terminal;

use nopal_report::{Activity, Level, Reporter};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

/// A build that took this long is worth a line when it is over, even if its builder said nothing.
const LONG_BUILD: Duration = Duration::from_secs(2);

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Errors and warnings only.
    Quiet,
    /// What is fetched and built.
    Usual,
    /// All that is done.
    Verbose,
}

/// What to show and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// How much.
    pub(crate) verbosity: Verbosity,
    /// Whether the output of builders is shown line by line.
    pub(crate) build_logs: bool,
    /// Whether text may have colour.
    pub(crate) colour: bool,
    /// Whose manner it is.
    pub(crate) manner: Manner,
}

/// In whose manner is told what happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Our own.
    #[default]
    Ours,
    /// That of Nix's old commands.
    OldNix,
    /// That of `nix`.
    Nix,
}

/// The reporter that fits where stderr goes.
pub(crate) fn reporter(style: Style) -> Reporter {
    let drawn = std::io::stderr().is_terminal() && style.verbosity > Verbosity::Quiet;
    if drawn {
        Reporter::new(Arc::new(terminal::Bars::new(style)))
    } else {
        Reporter::new(Arc::new(plain::Lines::new(style)))
    }
}

/// A short line for an activity.
fn describe(activity: &Activity) -> String {
    match activity {
        Activity::Download { url } => format!("fetching {url}"),
        Activity::Unpack { from } => format!("unpacking {from}"),
        Activity::Build { name, .. } => format!("building {name}"),
        Activity::AddToStore { name } => format!("adding {name}"),
        Activity::Verify => "verifying".to_owned(),
        Activity::CollectGarbage => "collecting garbage".to_owned(),
        Activity::Resolve { what } => format!("resolving {what}"),
        _ => "working".to_owned(),
    }
}

/// Whether an activity is worth a line as soon as it begins, when nothing can be drawn. Builds have theirs when they say
/// something, or turn out to take long: most are over in milliseconds.
fn is_worth_a_line(activity: &Activity, verbosity: Verbosity) -> bool {
    match activity {
        Activity::Download { url } => verbosity >= Verbosity::Usual && !url.starts_with("file:"),
        _ => verbosity >= Verbosity::Verbose,
    }
}

/// Whether a message is shown.
fn is_shown(level: Level, verbosity: Verbosity) -> bool {
    match level {
        Level::Warning => true,
        Level::Notice => verbosity >= Verbosity::Usual,
        Level::Info => verbosity >= Verbosity::Verbose,
    }
}

/// A message as it is printed; a warning says that it is one.
fn message(level: Level, text: &str, colour: bool) -> String {
    match level {
        Level::Warning if text.starts_with("warning:") || text.starts_with('\u{1b}') => text.to_owned(),
        Level::Warning if colour => format!("\u{1b}[1;35mwarning:\u{1b}[0m {text}"),
        Level::Warning => format!("warning: {text}"),
        Level::Notice | Level::Info => text.to_owned(),
    }
}

/// Columns of the terminal that standard error is; 0 if it is none.
pub(crate) fn width() -> usize {
    rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map_or(0, |size| usize::from(size.ws_col))
}
