//! From words and source flags to what the engine works on.

use crate::args::SourceArgs;
use crate::error::CliError;
use nopal_engine::{Installable, Source};
use std::io::Read as _;
use std::path::Path;

/// What to say when nothing is named.
const NAME_SOMETHING: &str = "name a package such as deb:hello, a store path, or a file with -f FILE";

/// The expression the flags name, if they name one.
pub(crate) fn source(args: &SourceArgs) -> Result<Option<Source>, CliError> {
    match (&args.file, &args.expr) {
        (Some(file), _) if file == Path::new("-") => stdin().map(Some),
        (Some(file), _) => Ok(Some(Source::File(file.clone()))),
        (None, Some(text)) => Ok(Some(Source::Expr(text.clone()))),
        (None, None) => Ok(None),
    }
}

/// Reads an expression from standard input.
pub(crate) fn stdin() -> Result<Source, CliError> {
    read_stdin().map(Source::Stdin)
}

/// Reads all of standard input.
pub(crate) fn read_stdin() -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text).map_err(CliError::Input)?;
    Ok(text)
}

/// Everything that flags and words name, flags first. At least one.
pub(crate) fn all(args: &SourceArgs, words: &[String]) -> Result<Vec<Installable>, CliError> {
    let mut named = Vec::new();
    match source(args)? {
        Some(source) if args.attr.is_empty() => named.push(Installable::Attr { source, attr_path: String::new() }),
        Some(source) => {
            let attr = |path: &String| Installable::Attr { source: source.clone(), attr_path: path.clone() };
            named.extend(args.attr.iter().map(attr));
        }
        None if !args.attr.is_empty() => {
            return Err(CliError::usage_hint(
                "-A chooses from an expression, but none is named",
                "add -f FILE or --expr EXPR",
            ));
        }
        None => {}
    }
    for word in words {
        named.push(Installable::parse(word)?);
    }
    if named.is_empty() {
        return Err(CliError::usage_hint("nothing is named", NAME_SOMETHING));
    }
    Ok(named)
}
