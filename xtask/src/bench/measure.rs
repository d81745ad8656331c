//! What a command and everything it started and waited for cost, and tables of medians.
//!
//! The system adds up the costs of a process's children, and remembers the largest of them; so a process of its own,
//! [`watch`], runs each command.

use ::nix::sys::resource::{UsageWho, getrusage};
use ::nix::sys::time::TimeValLike as _;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What was measured for so long is measured often enough.
const LONG: Duration = Duration::from_secs(10);

/// What a run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// User time, in seconds.
    pub(super) user_s: f64,
    /// User and system time, in seconds.
    pub(super) cpu_s: f64,
    /// Wall time, in seconds.
    pub(super) wall_s: f64,
    /// The most memory that one of the processes had at a time, in megabytes.
    pub(super) peak_mb: f64,
}

/// Runs a command with `input` as its standard input, and tells what it cost.
pub(super) fn run(command: &Command, input: Option<&Path>, scratch: &Path) -> Result<Cost, String> {
    let said = scratch.join("said");
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut watched = Command::new(own);
    watched.arg("watch-cost").arg(&said).arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => watched.env(name, value),
            None => watched.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        watched.current_dir(dir);
    }
    watched.stdin(match input {
        Some(path) => File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?.into(),
        None => Stdio::null(),
    });
    let output = watched.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        let said = std::fs::read(&said).unwrap_or_default();
        return Err(format!("{command:?} fails:\n{}", String::from_utf8_lossy(&said).trim()));
    }
    let told = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = told.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    match numbers.as_slice() {
        &[user_s, system_s, wall_s, peak_mb] => Ok(Cost { user_s, cpu_s: user_s + system_s, wall_s, peak_mb }),
        _ => Err(format!("no costs are told: {told}")),
    }
}

/// Runs a command, whose output goes to a file, and prints its costs; true if it succeeds.
pub(crate) fn watch(said: &Path, command: &[std::ffi::OsString]) -> Result<bool, String> {
    let open = || File::create(said).map_err(|error| format!("cannot write {}: {error}", said.display()));
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let file = open()?;
    let stderr = file.try_clone().map_err(|error| format!("cannot write {}: {error}", said.display()))?;
    let start = Instant::now();
    let status = Command::new(program).args(arguments).stdout(file).stderr(stderr).status();
    let status = status.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let wall_s = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| format!("no costs are known: {error}"))?;
    let seconds = |time: ::nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e6;
    let (user_s, system_s) = (seconds(usage.user_time()), seconds(usage.system_time()));
    println!("{user_s} {system_s} {wall_s} {}", usage.max_rss() as f64 / 1024.0);
    Ok(status.success())
}

/// The median; the input is not empty.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 { numbers[middle] } else { (numbers[middle - 1] + numbers[middle]) / 2.0 }
}

/// A line of the table: ours beside a peer's.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) ours: Cost,
    pub(super) peer: Option<Cost>,
}

impl Row {
    /// Takes turns between ours and the peer, and keeps the medians. What takes little time is measured more often.
    pub(super) fn measure(
        name: &str,
        rounds: RangeInclusive<usize>,
        mut ours: impl FnMut(usize) -> Result<Cost, String>,
        mut peer: Option<impl FnMut(usize) -> Result<Cost, String>>,
    ) -> Result<Self, String> {
        let (mut our_costs, mut peer_costs) = (Vec::new(), Vec::new());
        let start = Instant::now();
        for round in 0..*rounds.end() {
            if round >= *rounds.start() && start.elapsed() > LONG {
                break;
            }
            our_costs.push(ours(round)?);
            if let Some(peer) = &mut peer {
                peer_costs.push(peer(round)?);
            }
        }
        let peer = (!peer_costs.is_empty()).then(|| medians(&peer_costs));
        Ok(Self { name: name.to_owned(), ours: medians(&our_costs), peer })
    }

    /// Our user time as a part of the peer's.
    pub(super) fn ratio(&self) -> Option<f64> {
        self.peer.map(|peer| part(self.ours.user_s, peer.user_s, 0.001))
    }

    /// Prints the row.
    pub(super) fn print(&self) {
        let cost =
            |cost: Cost| format!("{:>8.3} {:>8.3} {:>8.3} {:>6.0}", cost.user_s, cost.cpu_s, cost.wall_s, cost.peak_mb);
        let Some(peer) = self.peer else { return println!("{:<28} {}", self.name, cost(self.ours)) };
        println!(
            "{:<28} {} {} {:>6.2} {:>6.2} {:>6.2} {:>6.2}",
            self.name,
            cost(self.ours),
            cost(peer),
            part(self.ours.user_s, peer.user_s, 0.001),
            part(self.ours.cpu_s, peer.cpu_s, 0.001),
            part(self.ours.wall_s, peer.wall_s, 0.001),
            part(self.ours.peak_mb, peer.peak_mb, 1.0)
        );
    }
}

/// A number as a part of another, neither taken for less than what can be measured.
fn part(ours: f64, theirs: f64, least: f64) -> f64 {
    ours.max(least) / theirs.max(least)
}

fn medians(costs: &[Cost]) -> Cost {
    let of = |part: fn(&Cost) -> f64| median(costs.iter().map(part).collect());
    Cost {
        user_s: of(|cost| cost.user_s),
        cpu_s: of(|cost| cost.cpu_s),
        wall_s: of(|cost| cost.wall_s),
        peak_mb: of(|cost| cost.peak_mb),
    }
}

/// Prints what the columns are.
pub(super) fn print_header(peer: Option<&str>) {
    let columns = format!("{:>8} {:>8} {:>8} {:>6}", "user s", "CPU s", "wall s", "MB");
    let Some(peer) = peer else { return println!("{:<28} {columns}", "") };
    println!("{:<28} {:<33} {:<33} ours / peer", "", " nopal", format!(" {peer}"));
    println!("{:<28} {columns} {columns} {:>6} {:>6} {:>6} {:>6}", "", "user", "CPU", "wall", "MB");
}
