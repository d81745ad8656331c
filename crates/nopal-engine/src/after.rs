//! What settings ask to be done with what was built: signing, linking equal files, running a program.

use std::process::Command;

use nopal_format::StorePath;
use nopal_format::signature::SecretKey;
use nopal_report::Level;

use crate::engine::Shared;
use crate::error::EngineError;

impl Shared {
    /// Does it for derivations that were built, in the order they were built in.
    pub(crate) fn after_builds(&self, drvs: &[StorePath]) -> Result<(), EngineError> {
        let config = &self.config;
        if config.secret_key_files.is_empty() && !config.auto_optimise && config.post_build_hook.is_none() {
            return Ok(());
        }
        let store = self.store()?;
        let mut keys = Vec::new();
        for file in &config.secret_key_files {
            let key: SecretKey = nopal_fs::read_to_string(file)?.trim().parse()?;
            keys.push(key);
        }
        for drv in drvs {
            let derivation = self.read_derivation(drv)?;
            let mut outputs = Vec::new();
            for (name, output) in &derivation.outputs {
                outputs.extend(output.path(&config.store_dir, drv.derivation_name()?, name)?);
            }
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
            self.run_hook(drv, &outputs)?;
        }
        Ok(())
    }

    fn run_hook(&self, drv: &StorePath, outputs: &[StorePath]) -> Result<(), EngineError> {
        let Some(hook) = &self.config.post_build_hook else { return Ok(()) };
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
        Err(EngineError::Hook { program: hook.clone(), status: output.status })
    }
}
