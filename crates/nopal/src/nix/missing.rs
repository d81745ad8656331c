//! Telling what is about to be built and fetched.

use crate::error::CliError;
use nopal_engine::{Engine, Wanted};
use nopal_format::StorePath;
use nopal_report::Level;

/// Tells what is not valid and will be built or fetched.
pub(crate) fn print(engine: &Engine, wanted: &[Wanted]) -> Result<(), CliError> {
    let lines = text(engine, wanted)?;
    for line in lines {
        engine.config().reporter.message(Level::Notice, line);
    }
    Ok(())
}

/// Likewise where nothing else happens, whatever the verbosity.
pub(crate) fn print_always(engine: &Engine, wanted: &[Wanted]) -> Result<(), CliError> {
    for line in text(engine, wanted)? {
        eprintln!("{line}");
    }
    Ok(())
}

/// Tells that nothing is known of how to make a path.
pub(crate) fn tell_unknown(engine: &Engine, path: &StorePath) {
    let printed = engine.config().store_dir.print(path);
    engine.config().reporter.message(Level::Notice, format!("don't know how to build these paths:\n  {printed}"));
}

/// The same, with the error of whoever needs it.
pub(crate) fn unknown(engine: &Engine, path: &StorePath) -> CliError {
    tell_unknown(engine, path);
    let printed = engine.config().store_dir.print(path);
    CliError::Found(match path.is_derivation() {
        true => format!("failed to obtain derivation of '{printed}'"),
        false => format!("path '{printed}' is required, but there is no substituter that can build it"),
    })
}

fn text(engine: &Engine, wanted: &[Wanted]) -> Result<Vec<String>, CliError> {
    let plan = engine.plan(wanted)?;
    let mut lines = Vec::new();
    match plan.will_build.len() {
        0 => {}
        1 => lines.push("this derivation will be built:".to_owned()),
        many => lines.push(format!("these {many} derivations will be built:")),
    }
    let print = |path| format!("  {}", engine.config().store_dir.print(path));
    lines.extend(plan.will_build.iter().map(print));
    let sizes = format!(
        "({} download, {} unpacked)",
        super::size::render(plan.download_bytes),
        super::size::render(plan.unpacked_bytes)
    );
    match plan.will_fetch.len() {
        0 => {}
        1 => lines.push(format!("this path will be fetched {sizes}:")),
        many => lines.push(format!("these {many} paths will be fetched {sizes}:")),
    }
    lines.extend(plan.will_fetch.iter().map(print));
    Ok(lines)
}
