//! What commands do with registries: list, look up, change.

use std::path::Path;

use nopal_eval::{Error, Pos};
use nopal_format::flake::{Attrs, FlakeRef, Registry, RegistryEntry};

use super::{Flakes, refused};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::inputs::registry;

/// What is done to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryChange {
    /// A name stands for a flake.
    Add {
        /// The name.
        from: String,
        /// The flake.
        to: String,
    },
    /// A name stands for nothing any more.
    Remove {
        /// The name.
        from: String,
    },
    /// A name stands for a flake as it is now.
    Pin {
        /// The name.
        from: String,
        /// The flake.
        to: String,
    },
}

impl Engine {
    /// All entries of all registries, in the order in which they are asked: the registry, the name, what it stands for.
    ///
    /// # Errors
    /// The global registry cannot be downloaded.
    pub fn registry_entries(&self) -> Result<Vec<(&'static str, String, String)>, EngineError> {
        self.with_flakes(|flakes| {
            let all = registry::all(flakes.shared).map_err(|error| flakes.ev.host_error(error, Pos::NONE))?;
            let mut found = Vec::new();
            for (name, registry) in all {
                for entry in &registry.entries {
                    let to = FlakeRef { input: entry.to.clone(), subdir: entry.dir().unwrap_or_default().to_owned() };
                    found.push((name, entry.from.to_text().map_err(refused)?, to.to_text().map_err(refused)?));
                }
            }
            Ok(found)
        })
    }

    /// What a reference stands for.
    ///
    /// # Errors
    /// No registry has it.
    pub fn resolve_flake(&self, text: &str) -> Result<String, EngineError> {
        self.with_flakes(|flakes| {
            let reference = flakes.parse(text)?;
            Ok(flakes.looked_up(&reference)?.to_string())
        })
    }

    /// Changes a registry: the user's, or the one in a file.
    ///
    /// # Errors
    /// A reference is refused, or the file cannot be written.
    pub fn change_registry(&self, file: Option<&Path>, change: &RegistryChange) -> Result<(), EngineError> {
        let user = self.config().flakes.user_registry.clone();
        let file = file.map(|file| self.config().working_dir.join(file)).or(user);
        self.with_flakes(|flakes| {
            let file = file.ok_or_else(|| Error::eval("there is no home directory for a user's registry"))?;
            let registry = registry::read(flakes.shared, &file);
            let changed = flakes.changed(registry, change)?;
            let write = nopal_fs::create_dir_all(nopal_fs::parent_of(&file))
                .and_then(|()| nopal_fs::replace(&file, changed.to_text().as_bytes()));
            write.map_err(|error| Error::eval(error.to_string()))
        })
    }
}

impl Flakes<'_> {
    fn changed(&mut self, mut registry: Registry, change: &RegistryChange) -> Result<Registry, Error> {
        let (from, to) = match change {
            RegistryChange::Remove { from } => (from, None),
            RegistryChange::Add { from, to } => (from, Some(self.parse(to)?)),
            RegistryChange::Pin { from, to } => {
                let reference = self.parse(to)?;
                let found = self.looked_up(&reference)?;
                let mut tree = self.ev.fetch_tree(&found.input)?;
                let input = tree.input.take().unwrap_or(found.input);
                if !input.is_locked().map_err(refused)? {
                    self.warn(format!("flake '{}' is not locked", input.to_text().map_err(refused)?));
                }
                (from, Some(FlakeRef { input, subdir: String::new() }))
            }
        };
        let from = self.parse(from)?;
        registry.entries.retain(|entry| entry.from != from.input);
        if let Some(to) = to {
            let dir = if matches!(change, RegistryChange::Pin { .. }) { from.subdir } else { to.subdir };
            let extra: Attrs = (!dir.is_empty()).then(|| ("dir".to_owned(), dir.into())).into_iter().collect();
            registry.entries.push(RegistryEntry { from: from.input, to: to.input, extra, exact: false });
        }
        Ok(registry)
    }
}
