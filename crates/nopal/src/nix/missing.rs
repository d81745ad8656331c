//! Telling what is about to be built.

use crate::error::CliError;
use nopal_engine::{Engine, Wanted};
use nopal_report::Level;

/// Tells what is not valid and will be built.
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

fn text(engine: &Engine, wanted: &[Wanted]) -> Result<Vec<String>, CliError> {
    let will_build = engine.plan(wanted)?;
    let mut lines = Vec::new();
    match will_build.len() {
        0 => {}
        1 => lines.push("this derivation will be built:".to_owned()),
        many => lines.push(format!("these {many} derivations will be built:")),
    }
    lines.extend(will_build.iter().map(|path| format!("  {}", engine.config().store_dir.print(path))));
    Ok(lines)
}
