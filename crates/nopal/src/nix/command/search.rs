//! `nix search`: packages by regular expressions.

use super::source::What;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, JSON, Line, SOURCE};
use crate::output;
use nopal_engine::{Installable, Patterns};
use nopal_format::json::Json;
use std::ops::Range;
use std::process::ExitCode;

/// `nix search`.
pub(super) const COMMAND: Command = Command::new(
    "search",
    "look for packages",
    &[OWN, JSON, SOURCE, EVAL, FLAKE],
    &[Arg::optional("installable", Complete::Installable), Arg::rest("regex", Complete::Nothing)],
    run,
);

const OWN: &[Flag] = &[Flag::new("exclude", "Leave out packages that match this").short('e').takes(&["regex"])];

const GREEN: &str = "\u{1b}[32;1m";
const BOLD: &str = "\u{1b}[0;1m";
const NORMAL: &str = "\u{1b}[0m";

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let wanted: Vec<String> = line.args.iter().skip(1).cloned().collect();
    if wanted.is_empty() {
        return Err(CliError::usage(
            "Must provide at least one regex! To match all packages, use 'nix search <installable> ^'.",
        ));
    }
    let lookup = line.lookup()?;
    line.common.set_default("allow-import-from-derivation", "false");
    let mut context = line.context()?;
    context.settings.evaluate_read_only(true);
    let engine = context.settings.open(context.style)?;
    let target = lookup.target(&engine, line.arg(0).unwrap_or("."))?;
    let What::Installable(Installable::Attr { source, attr_path }) = target.what else {
        let message = format!("'{}' cannot be evaluated because it is not a Nix value", target.word);
        return Err(CliError::Found(message));
    };
    let unwanted = line.values("exclude").filter_map(|values| values.first().cloned()).collect();
    let found = engine.search(&source, &attr_path, &line.auto_args(), &Patterns { wanted, unwanted })?;
    if line.has("json") {
        let packages = found.into_iter().map(|package| {
            let fields = [
                ("description", Json::String(package.description)),
                ("pname", Json::String(package.pname)),
                ("version", Json::String(package.version)),
            ];
            (package.attr_path, Json::object(fields))
        });
        line.print_json(&Json::object(packages))?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        return Err(CliError::Found("no results for the given search term(s)!".to_owned()));
    }
    let shown = found.iter().map(|package| {
        let version = match &package.version[..] {
            "" => String::new(),
            version => format!(" ({version})"),
        };
        let path = marked(&package.attr_path, &package.in_attr_path, BOLD);
        let first = format!("* {BOLD}{path}{NORMAL}{version}\n");
        match &package.description[..] {
            "" => first,
            text => format!("{first}  {}\n", marked(text, &package.in_description, NORMAL)),
        }
    });
    output::data(shown.collect::<Vec<_>>().join("\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A text with what matched in green. Matches that touch each other are one.
fn marked(text: &str, spans: &[Range<usize>], after: &str) -> String {
    let mut spans = spans.to_vec();
    spans.sort_by_key(|span| span.start);
    let mut out = String::new();
    let mut done = 0;
    let mut spans = spans.into_iter().peekable();
    while let Some(mut span) = spans.next() {
        while let Some(next) = spans.next_if(|next| next.start <= span.end) {
            span.end = span.end.max(next.end);
        }
        let piece = |range: Range<usize>| text.get(range).unwrap_or_default();
        out += &format!("{}{GREEN}{}{after}", piece(done..span.start), piece(span.clone()));
        done = span.end;
    }
    out + text.get(done..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn touching_matches_are_one() {
        assert_eq!(marked("foo bar", &[1..3, 0..2, 4..5], "|"), "\u{1b}[32;1mfoo| \u{1b}[32;1mb|ar");
        assert_eq!(marked("x", &[], "|"), "x");
    }
}
