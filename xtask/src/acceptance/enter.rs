//! Makes a directory the root of the file system and becomes the program, without capabilities.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Error as IoError;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change};

/// Runs `command` with `root` as the whole file system. Called in fresh user and mount namespaces, with capabilities.
///
/// # Errors
/// A mount fails, or the program cannot be started.
pub(crate) fn enter(root: &Path, command: &[OsString]) -> Result<Infallible, String> {
    pivot(root).map_err(|error| format!("entering {}: {error}", root.display()))?;
    rustix::thread::clear_ambient_capability_set().map_err(|error| format!("dropping capabilities: {error}"))?;
    let (program, arguments) = command.split_first().ok_or("no command given")?;
    // executing as an ordinary user with an empty ambient set leaves no capability
    let error = Command::new(program).args(arguments).current_dir("/home/user").exec();
    Err(format!("{}: {error}", Path::new(program).display()))
}

fn pivot(root: &Path) -> Result<(), IoError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount_bind(root, root)?;
    mount_bind_recursive("/proc", root.join("proc"))?;
    mount_bind_recursive("/dev", root.join("dev"))?;
    std::env::set_current_dir(root)?;
    rustix::process::pivot_root(".", "old")?;
    std::env::set_current_dir("/")?;
    rustix::mount::unmount("/old", UnmountFlags::DETACH)?;
    Ok(())
}
