//! Whether what is relocated can run.

use crate::wrap::Architecture;
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts a program in a folder, to see whether the kernel lets it: file systems can be mounted so that it does not.
///
/// # Errors
/// It does not, for this reason.
pub fn programs_start_in(folder: &Path) -> Result<(), String> {
    let architecture = Architecture::from_name(std::env::consts::ARCH)
        .ok_or_else(|| format!("there is no code to start programs on {}", std::env::consts::ARCH))?;
    let place = nopal_fs::TempDir::new_in(folder, "probe-").map_err(|error| error.to_string())?;
    let program = place.path().join("program");
    // it has nothing to unpack, says so and ends
    nopal_fs::write_new(&program, &architecture.unpacker(0), 0o700).map_err(|error| error.to_string())?;
    let status = Command::new(&program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.map(|_| ()).map_err(|error| error.to_string())
}
