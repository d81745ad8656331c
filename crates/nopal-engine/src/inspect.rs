//! Looking into values: names of attributes, and strings that become files.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nopal_eval::pos::Origin;
use nopal_eval::{Error, Evaluator, Pos, Value, View};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::eval::{AutoArg, EvalRequest, auto_args, requested, select_value};
use crate::installable::Source;

/// A file or folder to be made.
enum Entry {
    Folder(PathBuf),
    File(PathBuf, Vec<u8>),
}

impl Engine {
    /// The names of the attributes at an attribute path, sorted; none if there is no set.
    ///
    /// # Errors
    /// Evaluation fails.
    pub fn attr_names(&self, source: &Source, attr_path: &str, args: &[AutoArg]) -> Result<Vec<String>, EngineError> {
        self.shared.with_evaluator(|evaluator| {
            let (value, pos) = select_value(evaluator, &self.shared, source, attr_path, args)?;
            let args = auto_args(evaluator, self.config().working_dir.as_os_str().as_bytes(), args)?;
            let called = evaluator.auto_call(value, args)?;
            let View::Attrs(attrs) = evaluator.force(called, pos)?.view() else { return Ok(Vec::new()) };
            let mut names: Vec<String> = attrs
                .iter()
                .map(|(name, ..)| String::from_utf8_lossy(evaluator.symbols.get(name)).into_owned())
                .collect();
            names.sort_unstable();
            Ok(names)
        })
    }

    /// Evaluates and writes what comes of it: a string to a file, a set of such things to a folder. Nothing may be there.
    ///
    /// # Errors
    /// Evaluation fails, the path exists, or it cannot be written.
    pub fn write_value(&self, request: &EvalRequest, path: &Path) -> Result<(), EngineError> {
        let path = self.config().working_dir.join(path);
        let mut entries = Vec::new();
        if nopal_fs::symlink_metadata_if_exists(&path)?.is_some() {
            return Err(EngineError::Exists { path });
        }
        let result = self.shared.with_evaluator(|evaluator| {
            let (value, pos) = requested(evaluator, &self.shared, request)?;
            collect(evaluator, value, pos, &path, &mut entries)
        });
        // what was evaluated before the error is written, as Nix does
        for entry in entries {
            match entry {
                Entry::Folder(path) => nopal_fs::create_dir_all(&path)?,
                Entry::File(path, text) => nopal_fs::write(&path, &text)?,
            }
        }
        result
    }
}

fn collect(
    evaluator: &mut Evaluator,
    value: Value,
    pos: Pos,
    path: &Path,
    entries: &mut Vec<Entry>,
) -> Result<(), Error> {
    let value = evaluator.force(value, pos)?;
    match value.view() {
        View::Str(text) => entries.push(Entry::File(path.to_owned(), text.as_bytes().to_vec())),
        View::Attrs(attrs) => {
            entries.push(Entry::Folder(path.to_owned()));
            let members: Vec<_> = attrs.iter().collect();
            for (name, member, pos) in members {
                let name = evaluator.symbols.get(name).to_vec();
                let text = String::from_utf8_lossy(&name).into_owned();
                let done = match &text[..] {
                    "." | ".." => Err(Error::eval(format!("invalid file name '{text}'"))),
                    _ => collect(evaluator, member, pos, &path.join(std::ffi::OsStr::from_bytes(&name)), entries),
                };
                done.map_err(|error| error.trace(pos, format!("while evaluating the attribute '{text}'")))?;
            }
        }
        _ => {
            let message = format!("value at '{}' is not a string or an attribute set", place(evaluator, pos));
            return Err(Error::type_error(message));
        }
    }
    Ok(())
}

/// A position as `file:line:column`.
fn place(evaluator: &Evaluator, pos: Pos) -> String {
    let Some(location) = evaluator.positions.locate(pos) else { return "undefined position".to_owned() };
    let origin = match &location.source.origin {
        Origin::File { path, .. } => String::from_utf8_lossy(path).into_owned(),
        Origin::Text => "«string»".to_owned(),
        Origin::Stdin => "«stdin»".to_owned(),
    };
    format!("{origin}:{}:{}", location.line, location.column)
}
