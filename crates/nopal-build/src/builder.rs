//! Running a derivation's builder, in the sandbox or, if that was asked for, without.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nopal_format::{Derivation, StoreDir};
use nopal_fs::FsError;
use rustix::fs::{CWD, Mode, OFlags};

use crate::cancel::CancelToken;
use crate::config::{BuildConfig, SandboxMode};
use crate::error::{BuildError, BuilderStatus};
use crate::log::BuildLog;
use crate::rewrite::Rewrites;
use crate::sandbox::{
    FhsTree, Filter, Launch, NAMESPACES, NETWORK, NetworkFiles, RootError, RootSpec, SANDBOX_BUILD_DIR, SandboxError,
    Step, c_bytes, c_path, identity_steps, process_steps, root_steps,
};
use crate::scratch::Scratch;
use crate::supervise::{output_pipe, supervise};

/// Mode of files that a builder is given: its own, to do with as it likes.
const FILE_MODE: u32 = 0o644;

/// One run of a builder.
pub(crate) struct BuilderRun<'a> {
    pub(crate) config: &'a BuildConfig,
    pub(crate) derivation: &'a Derivation,
    pub(crate) store_dir: &'a StoreDir,
    pub(crate) physical_store: &'a Path,
    pub(crate) scratch: &'a Scratch,
    /// Base names of the input closure.
    pub(crate) inputs: &'a [String],
    pub(crate) fhs: Option<FhsTree>,
    pub(crate) kvm: bool,
    pub(crate) variables: &'a BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) files: &'a BTreeMap<String, Vec<u8>>,
    pub(crate) rewrites: &'a Rewrites,
}

/// The build directory as a builder sees it.
pub(crate) fn visible_build_dir(config: &BuildConfig, scratch: &Scratch) -> PathBuf {
    match config.sandbox {
        SandboxMode::Required => PathBuf::from(SANDBOX_BUILD_DIR),
        SandboxMode::Disabled => scratch.build_dir(),
    }
}

/// The number of this process in `/proc`, which may be another than it has itself; 0 if there is none.
fn own_number() -> i32 {
    let link = nopal_fs::read_link(Path::new("/proc/self"));
    link.ok().and_then(|link| link.to_str()?.parse().ok()).unwrap_or(0)
}

impl BuilderRun<'_> {
    /// Runs it to its end.
    pub(crate) fn run(&self, cancel: &CancelToken, log: &mut BuildLog<'_>) -> Result<BuilderStatus, BuildError> {
        for (name, data) in self.files {
            // names come from derivations: no slash, and nothing that is there is followed or replaced
            if name.contains('/') || name == "." || name == ".." {
                return Err(BuildError::Derivation { text: format!("'{name}' is not a file name") });
            }
            nopal_fs::write_new(&self.scratch.build_dir().join(name), data, FILE_MODE)?;
        }
        let (namespaces, steps) = self.steps()?;
        let (reader, writer) = output_pipe()?;
        let null = rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| FsError::new("open", Path::new("/dev/null"), errno))?;
        let launch = Launch {
            namespaces,
            steps: &steps,
            program: self.c_text(&self.derivation.builder)?,
            arguments: self.arguments()?,
            environment: self.environment()?,
            input: null.as_fd(),
            output: writer.as_fd(),
        };
        let mut process = launch.start()?;
        // from here on only the builder holds it, so that its end is the end of the output
        drop(writer);
        supervise(&mut process, &reader, &self.config.limits, cancel, log)
    }

    fn c_text(&self, text: &[u8]) -> Result<CString, SandboxError> {
        c_bytes(&self.rewrites.apply(text), || "the builder or one of its arguments".to_owned())
    }

    fn arguments(&self) -> Result<Vec<CString>, SandboxError> {
        let builder = self.derivation.builder.as_bytes();
        let name = builder.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        std::iter::once(name)
            .chain(self.derivation.args.iter().map(|argument| argument.as_bytes()))
            .map(|argument| self.c_text(argument))
            .collect()
    }

    fn environment(&self) -> Result<Vec<CString>, SandboxError> {
        self.variables
            .iter()
            .map(|(name, value)| {
                c_bytes(&[name.as_slice(), b"=", value.as_slice()].concat(), || {
                    format!("the environment variable '{}'", String::from_utf8_lossy(name))
                })
            })
            .collect()
    }

    /// Namespaces, and the way from this process to the builder.
    fn steps(&self) -> Result<(libc::c_int, Vec<Step>), BuildError> {
        let visible = visible_build_dir(self.config, self.scratch);
        let last = process_steps(
            self.derivation.system.as_bytes(),
            c_path(&visible)?,
            self.config.limits.processes,
            Filter::for_builders(),
        );
        // modes in the sandbox are not to depend on the user's mask
        let mut steps = vec![Step::DieWithParent { parent: own_number() }, Step::Session, Step::Umask { mask: 0 }];
        if self.config.sandbox == SandboxMode::Disabled {
            steps.extend(last);
            return Ok((0, steps));
        }
        steps.extend(identity_steps());
        let mut namespaces = NAMESPACES;
        let networked = self.derivation.is_networked();
        if !networked {
            namespaces |= NETWORK;
            steps.push(Step::Loopback);
        }
        steps.push(Step::HostName);
        let root = root_steps(&RootSpec {
            mount_point: &self.scratch.mount_point(),
            build_dir: &self.scratch.build_dir(),
            temp_dir: &self.scratch.temp_dir(),
            output_dir: &self.scratch.output_dir(),
            store_dir: self.store_dir,
            physical_store: self.physical_store,
            inputs: self.inputs,
            fhs: self.fhs.as_ref(),
            kvm: self.kvm,
            network: networked.then_some(NetworkFiles { ca_file: self.config.ca_file.as_deref() }),
        });
        steps.extend(root.map_err(|error| match error {
            RootError::Sandbox(error) => BuildError::Sandbox(error),
            RootError::Fs(error) => BuildError::Fs(error),
        })?);
        steps.extend(last);
        Ok((namespaces, steps))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use nopal_report::{Activity, Reporter};

    use super::*;

    /// Runs a shell script in a sandbox whose only input is a static shell.
    fn script(text: &str) -> Option<(BuilderStatus, String)> {
        let busybox = Path::new("/bin/busybox");
        if !busybox.exists() {
            eprintln!("SKIPPED: no static shell at {}", busybox.display());
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let name = "00000000000000000000000000000000-sh".to_owned();
        nopal_fs::create_dir_all(&store.join(&name)).unwrap();
        nopal_fs::copy_file(busybox, &store.join(&name).join("busybox")).unwrap();
        nopal_fs::set_permissions(&store.join(&name).join("busybox"), 0o555).unwrap();
        let scratch = Scratch::new_in(&dir.path().join("builds"), None).unwrap();
        let store_dir = StoreDir::new("/nix/store").unwrap();
        let derivation = Derivation {
            builder: format!("/nix/store/{name}/busybox").into_bytes().into(),
            args: ["sh", "-c", text].map(|text| text.as_bytes().to_vec().into()).into(),
            ..Derivation::default()
        };
        let config = BuildConfig::default();
        let run = BuilderRun {
            config: &config,
            derivation: &derivation,
            store_dir: &store_dir,
            physical_store: &store,
            scratch: &scratch,
            inputs: &[name],
            fhs: None,
            kvm: false,
            variables: &BTreeMap::new(),
            files: &BTreeMap::new(),
            rewrites: &Rewrites::default(),
        };
        let activity = Reporter::silent().start(Activity::Verify);
        let log_file = dir.path().join("log");
        let mut log = BuildLog::create(log_file.clone(), &activity).unwrap();
        let status = run.run(&CancelToken::never(), &mut log).unwrap();
        Some((status, nopal_fs::read_to_string(&log_file).unwrap()))
    }

    #[test]
    fn a_builder_runs() {
        let Some((status, log)) = script("echo hi; pwd; id; ls -la / /nix/store /dev /etc; cat /proc/mounts; exit 3")
        else {
            return;
        };
        println!("{log}");
        assert!(log.starts_with("hi\n/build\n"), "{log}");
        assert_eq!(status, BuilderStatus::Exited(3));
    }

    #[test]
    fn time_per_run() {
        let start = Instant::now();
        for _ in 0..20 {
            if script(":").is_none() {
                return;
            }
        }
        println!("{:?} each", start.elapsed() / 20);
    }
}
