//! The sandbox: what a builder sees, and the way there.
//!
//! A builder runs as user 1000 and group 100 of its own user namespace, as the first process of its own pid namespace,
//! with its own mounts, IPC, host name and (except for fixed outputs) network. Its root is a small read-only tmpfs
//! with exactly:
//!
//! - the store directory: a writable directory for the outputs in which every path of the input closure appears
//!   read-only;
//! - `/build` and `/tmp`: empty writable directories on disk;
//! - `/proc` of its pid namespace; `/dev` with `full`, `null`, `random`, `tty`, `urandom`, `zero`, terminals and shared
//!   memory of its own, and `kvm` if asked for;
//! - `/etc` with `passwd`, `group`, `hosts`; for fixed outputs the machine's `resolv.conf`, `services`, `hosts` and CA
//!   bundle as copies;
//! - with `__fhs`: the top-level directories of that tree, read-only.

mod error;
mod filter;
mod kernel;
mod launch;
mod root;
mod step;

pub use error::SandboxError;
pub(crate) use filter::Filter;
pub(crate) use kernel::{freeze_root, landlock_abi, protect_mount};
pub(crate) use launch::{Launch, Process};
pub(crate) use root::{FHS_DIRECTORIES, FhsTree, NetworkFiles, RootError, RootSpec, SANDBOX_BUILD_DIR, root_steps};
pub(crate) use step::Step;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::Resource;

/// The namespaces of every sandbox.
pub(crate) const NAMESPACES: libc::c_int =
    libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
/// The namespace that builders without network have beside.
pub(crate) const NETWORK: libc::c_int = libc::CLONE_NEWNET;

/// The builder's user in the sandbox, as Nix has it.
const BUILDER_UID: u32 = 1000;
/// The builder's group in the sandbox.
const BUILDER_GID: u32 = 100;

/// `ADDR_NO_RANDOMIZE`: addresses that do not differ between two builds.
const NO_ADDRESS_RANDOMISATION: libc::c_ulong = 0x0004_0000;
/// `PER_LINUX32`: what `uname` says to 32-bit builds.
const LINUX32: libc::c_ulong = 0x0008;

/// A path as a C string.
pub(crate) fn c_path(path: &Path) -> Result<CString, SandboxError> {
    c_bytes(path.as_os_str().as_bytes(), || format!("the path '{}'", path.display()))
}

/// Bytes as a C string; `what` names them if they contain a NUL.
pub(crate) fn c_bytes(bytes: &[u8], what: impl FnOnce() -> String) -> Result<CString, SandboxError> {
    CString::new(bytes).map_err(|_| SandboxError::Nul { what: what() })
}

/// Maps the builder's ids to the caller's own, which needs no privileges.
pub(crate) fn identity_steps() -> Vec<Step> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    map_steps(BUILDER_UID, uid, BUILDER_GID, gid)
}

/// Writes the user and group map of a new user namespace from within.
pub(crate) fn map_steps(inside_uid: u32, uid: u32, inside_gid: u32, gid: u32) -> Vec<Step> {
    vec![
        Step::Write { path: c"/proc/self/setgroups".to_owned(), data: b"deny".to_vec() },
        Step::Write { path: c"/proc/self/uid_map".to_owned(), data: format!("{inside_uid} {uid} 1").into_bytes() },
        Step::Write { path: c"/proc/self/gid_map".to_owned(), data: format!("{inside_gid} {gid} 1").into_bytes() },
    ]
}

/// What comes last, sandbox or not: a clean process state.
pub(crate) fn process_steps(system: &[u8], build_dir: CString, processes: Option<u64>, filter: Filter) -> Vec<Step> {
    let mut persona = NO_ADDRESS_RANDOMISATION;
    if cfg!(target_arch = "x86_64") && system.starts_with(b"i") && system.ends_with(b"86-linux") {
        persona |= LINUX32;
    }
    let mut steps = vec![
        Step::ChangeDirectory { path: build_dir },
        Step::Limit { resource: Resource::Core, soft: Some(0), hard: None },
        Step::Umask { mask: 0o022 },
        Step::Personality { persona },
    ];
    if let Some(processes) = processes {
        steps.push(Step::Limit { resource: Resource::Nproc, soft: Some(processes), hard: Some(processes) });
    }
    steps.extend([Step::NoNewPrivileges, Step::ScopeSockets, Step::Filter(filter)]);
    steps
}
