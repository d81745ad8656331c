//! What settings ask to be done with what was built: signing, linking equal files, running a program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;

use nopal_format::StorePath;
use nopal_format::derivation::DrvHashes;
use nopal_format::signature::SecretKey;
use nopal_report::Level;

use crate::engine::Shared;
use crate::error::EngineError;

impl Shared {
    /// Does it for derivations that were built, in the order they were built in.
    pub(crate) fn after_builds(&self, drvs: &[StorePath]) -> Result<(), EngineError> {
        let config = &self.config;
        let hook = self.hook();
        if config.secret_key_files.is_empty() && !config.auto_optimise && hook.is_none() {
            return Ok(());
        }
        let store = self.store()?;
        let keys = self.secret_keys()?;
        let mut hashes = DrvHashes::new();
        for drv in drvs {
            let derivation = self.read_derivation(drv)?;
            let known = store.known_outputs(&derivation, &mut hashes)?;
            let outputs: Vec<StorePath> = known.into_values().flatten().collect();
            let outputs: Vec<StorePath> = store.valid_of(&outputs)?.into_iter().collect();
            for path in &outputs {
                let mut info = store.path_info(path)?;
                for key in &keys {
                    info.sign(&config.store_dir, key)?;
                }
                if !keys.is_empty() {
                    store.add_signatures(path, &info.signatures)?;
                }
            }
            if config.auto_optimise {
                store.optimise_paths(&outputs)?;
            }
            if let Some(hook) = &hook {
                self.run_hook(hook, drv, &outputs)?;
            }
        }
        Ok(())
    }

    /// The keys that sign what is built.
    pub(crate) fn secret_keys(&self) -> Result<Vec<SecretKey>, EngineError> {
        let read = |file: &PathBuf| Ok(nopal_fs::read_to_string(file)?.trim().parse()?);
        self.config.secret_key_files.iter().map(read).collect()
    }

    /// The program to run after a build: the user's, or that of a flake that the user trusts.
    fn hook(&self) -> Option<PathBuf> {
        let settings = self.flake_settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings.get("post-build-hook").map(PathBuf::from).or_else(|| self.config.post_build_hook.clone())
    }

    fn run_hook(&self, hook: &Path, drv: &StorePath, outputs: &[StorePath]) -> Result<(), EngineError> {
        let paths: Vec<String> = outputs.iter().map(|path| self.config.store_dir.print(path)).collect();
        let mut command = Command::new(hook);
        command.env("DRV_PATH", self.config.store_dir.print(drv)).env("OUT_PATHS", paths.join(" "));
        let reporter = &self.config.reporter;
        let text = format!("running post-build-hook '{}'...", hook.display());
        reporter.message(Level::Notice, text);
        let output = command.output().map_err(|source| EngineError::System { operation: "run the hook", source })?;
        for line in output.stdout.split(|byte| *byte == b'\n').chain(output.stderr.split(|byte| *byte == b'\n')) {
            if !line.is_empty() {
                reporter.message(Level::Notice, format!("post-build-hook: {}", String::from_utf8_lossy(line)));
            }
        }
        if output.status.success() {
            return Ok(());
        }
        Err(EngineError::Hook { program: hook.to_owned(), status: output.status })
    }
}
