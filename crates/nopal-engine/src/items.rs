//! What an installable stands for: derivations with outputs, or a store path itself.

use nopal_eval::context::{Context, ContextElement};
use nopal_eval::{Coerce, Error, Evaluator, Pos, Value, View};
use nopal_format::StorePath;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::eval::{AutoArg, auto_args, select_value};
use crate::installable::{Installable, Source};
use crate::packages::{Outputs, derivations};
use crate::realise::Wanted;

/// One thing that an installable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A store path.
    Path(StorePath),
    /// Outputs of a derivation.
    Outputs(Wanted),
}

impl Engine {
    /// What an installable stands for, as the commands of `nix` take it: also a path, which is copied to the store, and a
    /// string that is a store path or an output.
    ///
    /// # Errors
    /// Evaluation fails, or something else comes of it.
    pub fn items(&self, what: &Installable, args: &[AutoArg]) -> Result<Vec<Item>, EngineError> {
        let Installable::Attr { source, attr_path } = what else {
            return Ok(self.instantiate(what, args)?.into_iter().map(Item::Outputs).collect());
        };
        if let Source::Flake(flake) = source {
            return self.shared.with_threads(|evaluator| crate::flake::items(evaluator, &self.shared, flake));
        }
        self.shared.with_threads(|evaluator| {
            let (value, pos) = select_value(evaluator, &self.shared, source, attr_path, args)?;
            let frame = format!("while evaluating the attribute '{attr_path}'");
            if let Some(item) = single(evaluator, value, pos, &frame)? {
                return Ok(vec![item]);
            }
            use std::os::unix::ffi::OsStrExt as _;
            let args = auto_args(evaluator, self.config().working_dir.as_os_str().as_bytes(), args)?;
            // each derivation once, with all outputs that are asked of it
            let mut found: Vec<Wanted> = Vec::new();
            for wanted in derivations(evaluator, value, args, attr_path, Outputs::Installed, &mut Vec::new())? {
                match found.iter_mut().find(|known| known.drv_path == wanted.drv_path) {
                    Some(known) => {
                        known.outputs.extend(wanted.outputs);
                        known.outputs.sort();
                        known.outputs.dedup();
                    }
                    None => found.push(wanted),
                }
            }
            found.sort_by(|one, other| one.drv_path.cmp(&other.drv_path));
            Ok(found.into_iter().map(Item::Outputs).collect())
        })
    }
}

/// A path or string that stands for one store path or output.
pub(crate) fn single(evaluator: &mut Evaluator, value: Value, pos: Pos, frame: &str) -> Result<Option<Item>, Error> {
    let mut context = Context::EMPTY;
    match value.view() {
        View::Path(_) => {
            evaluator.coerce_to_string(
                value,
                pos,
                &mut context,
                frame,
                Coerce { copy_to_store: true, ..Coerce::NO_COPY },
            )?;
            let elements = evaluator.contexts.get(context);
            Ok(elements.iter().find_map(|element| match element {
                ContextElement::Opaque(path) => Some(Item::Path(path.clone())),
                ContextElement::DrvDeep(_) | ContextElement::Built(_) => None,
            }))
        }
        View::Str(text) => {
            let shown = text.to_lossy().into_owned();
            let elements: Vec<ContextElement> = evaluator.contexts.get(text.context()).iter().cloned().collect();
            let wrong = |message: String| Error::eval(message).trace(pos, frame);
            match &elements[..] {
                [ContextElement::Opaque(path)] => Ok(Some(Item::Path(path.clone()))),
                [ContextElement::Built(built)] => {
                    let drv_path = evaluator.obtain_derivation(&built.drv).map_err(|error| error.trace(pos, frame))?;
                    let output = built.output.to_string();
                    let outputs = vec![output.clone()];
                    Ok(Some(Item::Outputs(Wanted { drv_path, outputs, output, attr: String::new() })))
                }
                [ContextElement::DrvDeep(_)] => Err(wrong(format!(
                    "string '{shown}' has a context which refers to a complete source and binary closure. This is not \
                     supported at this time"
                ))),
                found => Err(wrong(format!(
                    "string '{shown}' has {} entries in its context. It should only have exactly one entry",
                    found.len()
                ))),
            }
        }
        _ => Ok(None),
    }
}
