//! What running processes use, as `/proc` tells it: for finding what must not be collected as garbage.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where in a process a string was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProcessUse {
    /// The program it runs.
    Executable,
    /// Its working directory.
    WorkingDirectory,
    /// Its root directory.
    RootDirectory,
    /// A file it has open.
    OpenFile,
    /// A file mapped into its memory.
    Mapping,
    /// Its environment.
    Environment,
}

impl ProcessUse {
    /// The file in `/proc/PID` that told.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Executable => "exe",
            Self::WorkingDirectory => "cwd",
            Self::RootDirectory => "root",
            Self::OpenFile => "fd",
            Self::Mapping => "maps",
            Self::Environment => "environ",
        }
    }
}

/// Calls `visit` with the bytes of every link, mapping and environment of the processes that we may look into.
/// Processes of others, and those that end meanwhile, are passed over. Does nothing where there is no `/proc`.
pub fn visit_process_strings(visit: &mut dyn FnMut(u32, ProcessUse, &[u8])) {
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        visit_process(pid, &process.path(), visit);
    }
}

fn visit_process(pid: u32, directory: &Path, visit: &mut dyn FnMut(u32, ProcessUse, &[u8])) {
    for usage in [ProcessUse::Executable, ProcessUse::WorkingDirectory, ProcessUse::RootDirectory] {
        if let Ok(target) = std::fs::read_link(directory.join(usage.file_name())) {
            visit(pid, usage, target.as_os_str().as_bytes());
        }
    }
    for usage in [ProcessUse::Mapping, ProcessUse::Environment] {
        if let Ok(contents) = std::fs::read(directory.join(usage.file_name())) {
            visit(pid, usage, &contents);
        }
    }
    let Ok(descriptors) = std::fs::read_dir(directory.join("fd")) else { return };
    for descriptor in descriptors.flatten() {
        if let Ok(target) = std::fs::read_link(descriptor.path()) {
            visit(pid, ProcessUse::OpenFile, target.as_os_str().as_bytes());
        }
    }
}
