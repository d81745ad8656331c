//! Trying out namespaces and mounts in a child that ends at once.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::MountFlags;

use crate::sandbox::{Filter, Launch, SandboxError, Step, c_path, identity_steps};

/// Goes through the steps in a child with these namespaces (a user namespace among them).
pub(super) fn in_child(namespaces: libc::c_int, steps: Vec<Step>) -> Result<(), io::Error> {
    let null = rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut all = identity_steps();
    all.push(Step::Private);
    all.extend(steps);
    let launch = Launch {
        namespaces,
        steps: &all,
        // not a program: arriving there is the success of the steps
        program: c"/proc/nonexistent".to_owned(),
        arguments: Vec::new(),
        environment: Vec::new(),
        input: null.as_fd(),
        output: null.as_fd(),
    };
    match launch.start() {
        Err(SandboxError::Execute { .. }) | Ok(_) => Ok(()),
        Err(
            SandboxError::Namespaces { source }
            | SandboxError::Setup { source, .. }
            | SandboxError::System { source, .. },
        ) => Err(source),
        Err(other) => Err(io::Error::other(other)),
    }
}

fn mount(kind: &str, at: &Path, flags: MountFlags, options: &str) -> Result<Step, SandboxError> {
    Ok(Step::Mount { kind: c_path(Path::new(kind))?, at: c_path(at)?, flags, options: c_path(Path::new(options))? })
}

/// Mounts a new `/proc` in a pid namespace.
pub(super) fn proc_mount() -> Result<(), io::Error> {
    let step = mount("proc", Path::new("/proc"), MountFlags::empty(), "").map_err(io::Error::other)?;
    in_child(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID, vec![step])
}

/// Mounts a tmpfs.
pub(super) fn tmpfs(scratch: &Path) -> Result<(), io::Error> {
    let step = mount("tmpfs", scratch, MountFlags::empty(), "").map_err(io::Error::other)?;
    in_child(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, vec![step])
}

/// Mounts an overlay whose layers are on a tmpfs.
pub(super) fn overlay(scratch: &Path) -> Result<(), io::Error> {
    let steps = || -> Result<Vec<Step>, SandboxError> {
        let mut steps =
            vec![mount("tmpfs", scratch, MountFlags::empty(), "")?, Step::ChangeDirectory { path: c_path(scratch)? }];
        for name in ["lower", "upper", "work", "merged"] {
            steps.push(Step::Directory { path: c_path(Path::new(name))?, mode: 0o755 });
        }
        let options = "lowerdir=lower,upperdir=upper,workdir=work,userxattr";
        steps.push(mount("overlay", Path::new("merged"), MountFlags::empty(), options)?);
        Ok(steps)
    };
    in_child(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, steps().map_err(io::Error::other)?)
}

/// Installs the builders' filter.
pub(super) fn filter() -> Result<(), io::Error> {
    in_child(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, vec![Step::NoNewPrivileges, Step::Filter(Filter::for_builders())])
}
