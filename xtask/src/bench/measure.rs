//! CPU time of a command and everything it started and waited for, and tables of medians.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// User and system time, in seconds.
    pub(super) cpu_s: f64,
    /// Wall time, in seconds.
    pub(super) wall_s: f64,
}

/// Runs a command with `input` as its standard input, and tells what it cost. bash's own clock is used: it counts
/// children in microseconds and shows milliseconds, which is enough for what takes longer than that.
pub(super) fn run(command: &Command, input: Option<&Path>, scratch: &Path) -> Result<Cost, String> {
    let said = scratch.join("said");
    let mut bash = Command::new("bash");
    bash.arg("-c").arg("TIMEFORMAT='%U %S %R'; said=$1; shift; time \"$@\" >\"$said\" 2>&1").arg("bash").arg(&said);
    bash.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bash.env(name, value),
            None => bash.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        bash.current_dir(dir);
    }
    bash.stdin(match input {
        Some(path) => File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?.into(),
        None => Stdio::null(),
    });
    let output = bash.output().map_err(|error| format!("cannot run bash: {error}"))?;
    if !output.status.success() {
        let said = std::fs::read(&said).unwrap_or_default();
        return Err(format!("{command:?} fails:\n{}", String::from_utf8_lossy(&said).trim()));
    }
    let times = String::from_utf8_lossy(&output.stderr);
    let numbers: Vec<f64> = times.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    match numbers.as_slice() {
        [user, system, wall] => Ok(Cost { cpu_s: user + system, wall_s: *wall }),
        _ => Err(format!("bash tells no times: {times}")),
    }
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
    /// Takes turns between ours and the peer, and keeps the medians.
    pub(super) fn measure(
        name: &str,
        rounds: usize,
        mut ours: impl FnMut(usize) -> Result<Cost, String>,
        mut peer: Option<impl FnMut(usize) -> Result<Cost, String>>,
    ) -> Result<Self, String> {
        let (mut our_costs, mut peer_costs) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            our_costs.push(ours(round)?);
            if let Some(peer) = &mut peer {
                peer_costs.push(peer(round)?);
            }
        }
        let peer = (!peer_costs.is_empty()).then(|| medians(&peer_costs));
        Ok(Self { name: name.to_owned(), ours: medians(&our_costs), peer })
    }

    /// How many times as much CPU the peer takes.
    pub(super) fn ratio(&self) -> Option<f64> {
        self.peer.map(|peer| peer.cpu_s / self.ours.cpu_s.max(0.001))
    }

    /// Prints the row.
    pub(super) fn print(&self) {
        let cost = |cost: Cost| format!("{:>9.3} {:>9.3}", cost.cpu_s, cost.wall_s);
        match (self.peer, self.ratio()) {
            (Some(peer), Some(ratio)) => {
                println!("{:<28} {} {} {:>8.2}", self.name, cost(self.ours), cost(peer), ratio)
            }
            _ => println!("{:<28} {}", self.name, cost(self.ours)),
        }
    }
}

fn medians(costs: &[Cost]) -> Cost {
    Cost {
        cpu_s: median(costs.iter().map(|cost| cost.cpu_s).collect()),
        wall_s: median(costs.iter().map(|cost| cost.wall_s).collect()),
    }
}

/// Prints what the columns are.
pub(super) fn print_header(peer: Option<&str>) {
    let peer = peer.unwrap_or("no peer");
    println!("{:<28} {:>9} {:>9} {:>9} {:>9} {:>8}", "", "nopal", "nopal", peer, peer, "ratio");
    println!("{:<28} {:>9} {:>9} {:>9} {:>9} {:>8}", "", "CPU s", "wall s", "CPU s", "wall s", "CPU");
}
