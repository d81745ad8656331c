//! Programs that a flake or package names, bundles of them, and where packages are defined.

use std::path::PathBuf;

use nopal_eval::context::{Context, ContextElement};
use nopal_eval::value::Attrs;
use nopal_eval::{Error, Evaluator, Pos, Value, View};
use nopal_format::{BuiltPath, SingleDerivedPath, StorePath};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::eval::{AutoArg, select_value};
use crate::flake::FlakeSource;
use crate::installable::{Installable, Source};
use crate::items::Item;
use crate::packages::installed;
use crate::realise::Wanted;
use crate::run::program_name;
use crate::session::package_place;

/// A program as `nix run` starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// What must be there for it.
    pub needs: Vec<Item>,
    /// Its path, which may have placeholders of outputs that are not built yet.
    pub program: String,
}

/// What a bundler made of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The derivation.
    pub wanted: Wanted,
    /// Its name.
    pub name: String,
}

impl Engine {
    /// The program of an installable: of an app the one it names, of a package its main one.
    ///
    /// # Errors
    /// Evaluation fails, or it is neither.
    pub fn app(&self, what: &Installable, args: &[AutoArg]) -> Result<App, EngineError> {
        let Installable::Attr { source, attr_path } = what else {
            return Err(EngineError::NotADerivation { what: what.to_string() });
        };
        self.shared.with_evaluator(|ev| match source {
            Source::Flake(flake) => {
                let (value, path) = crate::flake::select(ev, &self.shared, flake)?;
                app(ev, value, &path)
            }
            _ => {
                let (value, _) = select_value(ev, &self.shared, source, attr_path, args)?;
                app(ev, value, "")
            }
        })
    }

    /// The program of an app once what it needs is there: placeholders become paths.
    ///
    /// # Errors
    /// An output that it needs was not built.
    pub fn app_program(&self, app: &App) -> Result<PathBuf, EngineError> {
        let mut program = app.program.clone();
        for item in &app.needs {
            let Item::Outputs(wanted) = item else { continue };
            let outputs = self.output_paths(&wanted.drv_path)?;
            for (name, path) in outputs {
                let drv = SingleDerivedPath::Opaque(wanted.drv_path.clone());
                let placeholder = BuiltPath { drv, output: name.into() }.placeholder()?.render();
                if let Some(path) = path {
                    program = program.replace(&placeholder, &self.config().store_dir.print(&path));
                }
            }
        }
        Ok(PathBuf::from(program))
    }

    /// Gives a value to a bundler, a function of a flake.
    ///
    /// # Errors
    /// Evaluation fails, or no derivation comes of it.
    pub fn bundle(&self, what: &Installable, bundler: &FlakeSource, args: &[AutoArg]) -> Result<Bundle, EngineError> {
        let Installable::Attr { source, attr_path } = what else {
            return Err(EngineError::NotADerivation { what: what.to_string() });
        };
        self.shared.with_evaluator(|ev| {
            let (value, _) = select_value(ev, &self.shared, source, attr_path, args)?;
            let value = ev.hold(value);
            let (function, _) = crate::flake::select(ev, &self.shared, bundler)?;
            let made = ev.call(function, &[ev.held(value)], Pos::NONE)?;
            let made = ev.force(made, Pos::NONE)?;
            let wrong = || Error::eval(format!("the bundler '{}' does not produce a derivation", bundler.text));
            let View::Attrs(attrs) = made.view() else { return Err(wrong()) };
            if !ev.is_derivation(attrs)? {
                return Err(wrong());
            }
            let mut wanted = installed(ev, attrs, "")?;
            if wanted.output.is_empty() {
                wanted.output = "out".to_owned();
            }
            wanted.outputs.clear();
            let name = text(ev, attrs, "name", "")?;
            Ok(Bundle { wanted, name })
        })
    }

    /// The file, and in it the line, that a package is defined at.
    ///
    /// # Errors
    /// Evaluation fails, or the package does not say.
    pub fn package_place(&self, what: &Installable, args: &[AutoArg]) -> Result<(PathBuf, u32), EngineError> {
        let Installable::Attr { source, attr_path } = what else {
            return Err(EngineError::NoPlace { what: what.to_string() });
        };
        let place = self.shared.with_evaluator(|ev| {
            let (value, _) = select_value(ev, &self.shared, source, attr_path, args)?;
            package_place(ev, value)
        })?;
        let (path, line) = place.ok_or_else(|| EngineError::NoPlace { what: what.to_string() })?;
        Ok((self.shared.paths.locate(&path)?, line))
    }
}

/// The program of an app or a package that was found at `path` of a flake, or anywhere else.
fn app(ev: &mut Evaluator, value: Value, path: &str) -> Result<App, Error> {
    let View::Attrs(attrs) = ev.force(value, Pos::NONE)?.view() else { return Err(missing("type", path)) };
    let kind = text(ev, attrs, "type", path)?;
    let is_app = matches!(path.split('.').next(), Some("apps" | "defaultApp"));
    let expected = if is_app { "app" } else { "derivation" };
    if kind != expected {
        return Err(Error::eval(format!("attribute '{path}' should have type '{expected}'")));
    }
    if is_app {
        let (program, pos) = attr(ev, attrs, "program", path)?;
        let program = ev.force_string(program, pos, &format!("while evaluating the attribute '{path}.program'"))?;
        let needs = needs(ev, program.context())?;
        return Ok(App { needs, program: program.to_lossy().into_owned() });
    }
    let mut found = installed(ev, attrs, path)?;
    if found.output.is_empty() {
        found.output = "out".to_owned();
    }
    found.outputs = vec![found.output.clone()];
    let out = text(ev, attrs, "outPath", path)?;
    let symbol = ev.symbols.intern(b"meta");
    let main = match attrs.get_with_pos(symbol) {
        Some((meta, pos)) => {
            let meta = ev.force_attrs(meta, pos, &format!("while evaluating the attribute '{path}.meta'"))?;
            optional(ev, meta, "mainProgram")?
        }
        None => None,
    };
    let main = match main {
        Some(name) => name,
        None => match optional(ev, attrs, "pname")? {
            Some(name) => name,
            None => program_name(&text(ev, attrs, "name", path)?).to_owned(),
        },
    };
    Ok(App { needs: vec![Item::Outputs(found)], program: format!("{out}/bin/{main}") })
}

/// An attribute that must be there.
fn attr(ev: &mut Evaluator, attrs: Attrs, name: &str, path: &str) -> Result<(Value, Pos), Error> {
    let symbol = ev.symbols.intern(name.as_bytes());
    attrs.get_with_pos(symbol).ok_or_else(|| missing(name, path))
}

fn missing(name: &str, path: &str) -> Error {
    let dot = if path.is_empty() { "" } else { "." };
    Error::eval(format!("attribute '{path}{dot}{name}' does not exist"))
}

/// An attribute that must be there and a string.
fn text(ev: &mut Evaluator, attrs: Attrs, name: &str, path: &str) -> Result<String, Error> {
    let (value, pos) = attr(ev, attrs, name, path)?;
    let what = format!("while evaluating the attribute '{name}'");
    Ok(ev.force_string(value, pos, &what)?.to_lossy().into_owned())
}

/// An attribute that is a string if it is there.
fn optional(ev: &mut Evaluator, attrs: Attrs, name: &str) -> Result<Option<String>, Error> {
    let symbol = ev.symbols.intern(name.as_bytes());
    let Some((value, pos)) = attrs.get_with_pos(symbol) else { return Ok(None) };
    let what = format!("while evaluating the attribute '{name}'");
    Ok(Some(ev.force_string(value, pos, &what)?.to_lossy().into_owned()))
}

/// What a string is made of.
fn needs(ev: &mut Evaluator, context: Context) -> Result<Vec<Item>, Error> {
    let elements: Vec<ContextElement> = ev.contexts.get(context).iter().cloned().collect();
    let outputs = |drv_path: StorePath, outputs: Vec<String>| {
        Item::Outputs(Wanted { drv_path, outputs, output: String::new(), attr: String::new() })
    };
    let mut needs = Vec::with_capacity(elements.len());
    for element in elements {
        needs.push(match element {
            ContextElement::Opaque(path) => Item::Path(path),
            ContextElement::DrvDeep(path) => outputs(path, Vec::new()),
            ContextElement::Built(built) => outputs(ev.obtain_derivation(&built.drv)?, vec![built.output.to_string()]),
        });
    }
    Ok(needs)
}
