//! The profile that release builds of ours read (`profile/rustc`): made of what a build that counts has counted.

use crate::files::with_extension;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler's tool that puts counts together, and the profile that it makes.
pub(super) struct Merger {
    tool: PathBuf,
    profile: PathBuf,
}

impl Merger {
    /// For the compiler that there is, if its tools are installed.
    pub(super) fn find(root: &Path) -> Result<Self, String> {
        let version = said_by(Command::new("rustc").arg("-vV"))?;
        let field = |name: &str| {
            let found = version.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            found.ok_or_else(|| format!("rustc does not tell its {name}"))
        };
        let (release, llvm) = (field("release")?, field("LLVM version")?);
        let sysroot = said_by(Command::new("rustc").args(["--print", "sysroot"]))?;
        let tool = Path::new(sysroot.trim()).join("lib/rustlib").join(field("host")?).join("bin/llvm-profdata");
        if !tool.exists() {
            return Err(format!("there is no {}\nto install it: rustup component add llvm-tools", tool.display()));
        }
        Ok(Self { tool, profile: root.join(format!("profile/rustc-{release}-llvm-{llvm}.profdata")) })
    }

    /// Puts together the counts in a folder, in place of the profile that there is.
    pub(super) fn merge(&self, counts: &Path) -> Result<(), String> {
        let Self { tool, profile } = self;
        // what never ran is left out: that makes it a fifth as large
        let mut merge = Command::new(tool);
        merge.args(["merge", "--sparse", "--output"]).arg(profile);
        merge.args(with_extension(counts, "profraw")?.into_iter().map(|(path, _)| path));
        said_by(&mut merge)?;
        let folder = profile.parent().unwrap_or(profile);
        for (other, _) in with_extension(folder, "profdata")?.into_iter().filter(|(path, _)| path != profile) {
            fs::remove_file(&other).map_err(|error| format!("cannot remove {}: {error}", other.display()))?;
        }
        println!("written: {}", profile.display());
        Ok(())
    }
}

/// The standard output of a command that succeeds.
fn said_by(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} fails:\n{}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
