//! `nopal doctor`

use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_build::probe::{Ability, KvmState};
use nopal_build::{Probe, probe};
use nopal_relocate::{Rung, Trial, try_rungs};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Say what this machine allows, and what nopal does about it
///
/// Everything is tried out, not guessed: namespaces are made, a filter is installed, the machine's shell is relocated and
/// run, a virtual processor runs an instruction. The exit code is 1 if builds or `nopal run` cannot work.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(context: Context, args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let (store, cache) = (context.settings.store().to_owned(), context.settings.cache().to_owned());
    nopal_fs::create_dir_all(&cache)?;
    let probe = probe(&cache);
    let rungs = try_rungs(&cache);
    let free_bytes = nopal_fs::disk_free_bytes(&cache)?;
    let (store, cache) = (store.display().to_string(), cache.display().to_string());
    if args.json {
        output::json(&as_json(&probe, &rungs, &store, &cache, free_bytes))?;
    } else {
        output::data(as_text(&probe, &rungs, &store, &cache, free_bytes).as_bytes())?;
    }
    Ok(if probe.sandbox_works() && probe.run_works() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is tried, for whom, and how it went.
fn abilities(probe: &Probe) -> [(&'static str, &'static str, &Ability); 6] {
    [
        ("user namespaces", "builds, run", &probe.user_namespaces),
        ("pid namespace with its own /proc", "builds", &probe.pid_namespace_with_proc),
        ("network namespace", "builds", &probe.network_namespace),
        ("tmpfs in a namespace", "builds, run", &probe.tmpfs),
        ("system-call filter", "builds", &probe.seccomp),
        ("overlay in a namespace", "nothing yet", &probe.overlay),
    ]
}

fn as_text(probe: &Probe, rungs: &[(Rung, Trial)], store: &str, cache: &str, free_bytes: u64) -> String {
    let mut text = format!("kernel: Linux {}\nstore: {store}\ncache: {cache}\n", probe.kernel);
    let mut add = |line: String| {
        // writing to a string cannot fail
        let _ = writeln!(text, "{line}");
    };
    add(format!("free space: {:.1} GB", free_bytes as f64 / 1e9));
    for (name, user, ability) in abilities(probe) {
        match ability {
            Ability::Works => add(format!("{name} (for {user}): yes")),
            Ability::Fails { reason, hint } => {
                add(format!("{name} (for {user}): no: {reason}"));
                if let Some(hint) = hint {
                    add(format!("  {hint}"));
                }
            }
        }
    }
    for (rung, trial) in rungs {
        let what = match rung {
            Rung::Stub => "relocated programs that start by themselves",
            Rung::FdInterpreter => "relocated programs whose loader a launcher opens",
            Rung::ExplicitLoader => "relocated programs whose loader a launcher starts",
        };
        let what = format!("{what} (for run --rung {})", rung.name());
        add(match trial {
            Trial::Works => format!("{what}: yes, from the cache"),
            Trial::Fails(reason) => format!("{what}: no: {reason}"),
            Trial::Untried(reason) => format!("{what}: untried: {reason}"),
        });
    }
    add(match probe.landlock_abi {
        0 => "Landlock: no; abstract sockets are kept apart by the network namespace only".to_owned(),
        abi => format!("Landlock: version {abi}"),
    });
    add(format!("KVM (for nothing yet): {}", kvm(&probe.kvm)));
    add(match &probe.delegated_cgroup {
        Some(group) => format!("control group of one's own: yes, {group}"),
        None => "control group of one's own: no; limits on processes are those of the namespace".to_owned(),
    });
    add(format!("subordinate ids: {}; nopal needs none", if probe.subordinate_ids { "yes" } else { "no" }));
    for (name, value) in &probe.settings {
        add(format!("{name} = {value}"));
    }
    add(verdict(
        "builds",
        probe.sandbox_works(),
        "fail with this reason; `--no-sandbox` builds without one, on request only",
    ));
    let otherwise = if relocated_programs_work(rungs) {
        "packages of a distribution run relocated, as far as they find all; others fail with this reason"
    } else {
        "fails with this reason"
    };
    add(verdict("nopal run", probe.run_works(), otherwise));
    text
}

/// Whether any way for them does, as far as it is known.
fn relocated_programs_work(rungs: &[(Rung, Trial)]) -> bool {
    rungs.iter().any(|(_, trial)| !matches!(trial, Trial::Fails(_)))
}

fn verdict(what: &str, works: bool, otherwise: &str) -> String {
    if works {
        format!("{what}: work here, in a sandbox of namespaces, without root")
    } else {
        format!("{what}: {otherwise}")
    }
}

fn kvm(state: &KvmState) -> String {
    match state {
        KvmState::Absent => "no: there is no /dev/kvm".to_owned(),
        KvmState::NoAccess { reason } => format!("no: /dev/kvm cannot be opened: {reason}"),
        KvmState::Broken { step, reason } => format!("no: {step}: {reason}"),
        KvmState::Works => "yes: a virtual processor ran".to_owned(),
        KvmState::Untried => "perhaps: it opens, but running is tried on x86-64 only".to_owned(),
        other => format!("{other:?}"),
    }
}

fn as_json(probe: &Probe, rungs: &[(Rung, Trial)], store: &str, cache: &str, free_bytes: u64) -> Value {
    let tried: serde_json::Map<String, Value> = abilities(probe)
        .into_iter()
        .map(|(name, _, ability)| {
            let value = match ability {
                Ability::Works => json!({ "works": true }),
                Ability::Fails { reason, hint } => json!({ "works": false, "reason": reason, "hint": hint }),
            };
            (name.to_owned(), value)
        })
        .collect();
    json!({
        "kernel": probe.kernel,
        "store": store,
        "cache": cache,
        "freeBytes": free_bytes,
        "tried": tried,
        "landlockAbi": probe.landlock_abi,
        "kvm": { "works": matches!(probe.kvm, KvmState::Works), "detail": kvm(&probe.kvm) },
        "delegatedCgroup": probe.delegated_cgroup,
        "subordinateIds": probe.subordinate_ids,
        "settings": probe.settings.iter().cloned().map(|(n, v)| (n, Value::String(v))).collect::<serde_json::Map<_, _>>(),
        "buildsWork": probe.sandbox_works(),
        "runWorks": probe.run_works(),
        "relocatedProgramsWork": relocated_programs_work(rungs),
        "rungs": rungs.iter().map(|(rung, trial)| (rung.name().to_owned(), match trial {
            Trial::Works => json!({ "works": true }),
            Trial::Fails(reason) => json!({ "works": false, "reason": reason }),
            Trial::Untried(reason) => json!({ "works": null, "reason": reason }),
        })).collect::<serde_json::Map<_, _>>(),
    })
}
