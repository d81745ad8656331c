//! Flakes: from a reference to a locked flake, and from that to its outputs.
//!
//! [`Flakes`] does what a command asks for within one evaluation. Reading `flake.nix` is in `read`, computing the lock
//! file in `locking`, putting flakes together in `call`, and what commands show in `commands`.

mod call;
mod check;
mod commands;
mod config;
mod installable;
mod locking;
mod read;
mod reference;
mod registries;
mod show;
mod template;

use std::collections::BTreeMap;
use std::path::PathBuf;

use nopal_eval::host::Fetched;
use nopal_eval::{Error, Evaluator, Pos, Value};
use nopal_format::StorePath;
use nopal_format::flake::lock::InputPath;
use nopal_format::flake::{Attrs, FlakeError, FlakeRef, LockFile, NodeId};

use crate::engine::Shared;
use crate::inputs::registry::{Resolved, Use, resolve};

pub use check::CheckOptions;
pub use commands::{FlakeMetadata, Prefetched};
pub use installable::{FlakeSource, Purpose};
pub(crate) use installable::{derivation, items, load, select, shown};
pub use registries::RegistryChange;
pub use show::ShowOptions;

/// What may be done about a lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFlags {
    /// Ignore the lock file there is.
    pub recreate: bool,
    /// Whether it may be changed at all.
    pub may_change: bool,
    /// Whether changes are written.
    pub write: bool,
    /// Fail where an input cannot be locked, instead of warning.
    pub fail_on_unlocked: bool,
    /// Whether registries are asked; `None` leaves it to the setting.
    pub use_registries: Option<bool>,
    /// Whether inputs without a lock may be fetched.
    pub allow_unlocked: bool,
    /// Commit a changed lock file.
    pub commit: bool,
    /// A lock file to read instead of the flake's own.
    pub reference_file: Option<PathBuf>,
    /// A lock file to write instead of the flake's own.
    pub output_file: Option<PathBuf>,
    /// Inputs, by path, that are replaced by other flakes.
    pub overrides: Vec<(String, String)>,
    /// Inputs, by path, that are locked anew.
    pub updates: Vec<String>,
    /// Flakes whose inputs count as registry entries.
    pub inputs_from: Vec<String>,
}

impl Default for LockFlags {
    fn default() -> Self {
        Self {
            recreate: false,
            may_change: true,
            write: true,
            fail_on_unlocked: false,
            use_registries: None,
            allow_unlocked: true,
            commit: false,
            reference_file: None,
            output_file: None,
            overrides: Vec::new(),
            updates: Vec::new(),
            inputs_from: Vec::new(),
        }
    }
}

/// An input as `flake.nix` has it.
#[derive(Clone, Debug, Default)]
struct FlakeInput {
    reference: Option<FlakeRef>,
    /// Whether it is only a tree.
    is_plain: bool,
    follows: Option<InputPath>,
    overrides: Inputs,
}

type Inputs = BTreeMap<String, FlakeInput>;

/// A flake that was read.
#[derive(Clone, Debug)]
struct Flake {
    /// The reference by which it was asked for.
    original: FlakeRef,
    /// The reference that registries made of it.
    resolved: FlakeRef,
    /// The reference with all that fetching found out.
    locked: FlakeRef,
    /// The directory of `flake.nix`, below the store directory.
    dir: String,
    /// When it was fetched and not only read within another: the tree.
    tree: Option<Fetched>,
    /// Whether it counts as changed although it is not.
    force_dirty: bool,
    description: Option<String>,
    inputs: Inputs,
    self_attrs: Attrs,
    config: Vec<(String, config::ConfigValue)>,
}

/// A flake with its lock file.
struct Locked {
    flake: Flake,
    lock_file: LockFile,
    /// Where the flakes are that were fetched on the way.
    dirs: BTreeMap<NodeId, String>,
}

/// The work on flakes within an evaluation.
struct Flakes<'a> {
    ev: &'a mut Evaluator,
    shared: &'a Shared,
}

/// A message as an error of evaluation.
fn refused(error: FlakeError) -> Error {
    Error::eval(error.to_string())
}

impl Flakes<'_> {
    fn warn(&self, text: impl AsRef<str>) {
        crate::inputs::warn(self.shared, text);
    }

    /// Reads a reference without a base: paths must be absolute.
    fn parse(&self, text: &str) -> Result<FlakeRef, Error> {
        let parsed = FlakeRef::parse(text, true, false, &mut |warning| self.warn(warning)).map_err(refused)?;
        self.check_feature(&parsed)?;
        Ok(parsed)
    }

    fn check_feature(&self, reference: &FlakeRef) -> Result<(), Error> {
        match reference.input.feature().filter(|feature| !self.ev.settings.has_feature(feature)) {
            None => Ok(()),
            Some(feature) => Err(refused(FlakeError::Feature(feature))),
        }
    }

    /// What a reference stands for.
    fn resolve(&self, reference: &FlakeRef, which: Use) -> Result<Resolved, Error> {
        if reference.input.is_direct() {
            return Ok(Resolved { input: reference.input.clone(), dir: None });
        }
        if which == Use::No {
            let shown = reference.input.to_text().map_err(refused)?;
            return Err(Error::eval(format!(
                "'{shown}' is an indirect flake reference, but registry lookups are not allowed"
            )));
        }
        resolve(self.shared, &reference.input, which).map_err(|error| self.ev.host_error(error, Pos::NONE))
    }

    fn require_feature(&self) -> Result<(), Error> {
        if self.ev.settings.has_feature("flakes") { Ok(()) } else { Err(refused(FlakeError::Feature("flakes"))) }
    }
}

/// `builtins.getFlake`.
pub(crate) fn get_flake(ev: &mut Evaluator, shared: &Shared, text: &str, pos: Pos) -> Result<Value, Error> {
    let is_pure = ev.settings.pure_eval;
    let use_registries = !is_pure && shared.config.flakes.use_registries;
    let mut flakes = Flakes { ev, shared };
    let reference = flakes.parse(text)?;
    if is_pure && !reference.input.is_locked().map_err(refused)? {
        let place = flakes.ev.show_pos(pos);
        return Err(Error::eval(format!(
            "cannot call 'getFlake' on unlocked flake reference '{text}', at {place} (use --impure to override)"
        )));
    }
    let flags = LockFlags {
        may_change: false,
        write: false,
        use_registries: Some(use_registries),
        allow_unlocked: !is_pure,
        ..LockFlags::default()
    };
    let locked = flakes.lock(&reference, &flags)?;
    flakes.call(&locked)
}

/// The tree of a flake, for `flake:` in the search path.
pub(crate) fn tree(ev: &mut Evaluator, shared: &Shared, text: &str) -> Result<StorePath, Error> {
    let flakes = &mut Flakes { ev, shared };
    flakes.require_feature()?;
    let reference = flakes.parse(text)?;
    let found = flakes.looked_up(&reference)?;
    Ok(flakes.ev.fetch_tree(&found.input)?.store_path)
}
