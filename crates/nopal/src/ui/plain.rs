//! Plain lines, for logs and pipes.

use super::{LONG_BUILD, Manner, Style, Verbosity, describe, is_shown, is_worth_a_line, message};
use nopal_report::{Activity, ActivityId, Event, Sink};
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Tells events one line each.
pub(crate) struct Lines {
    style: Style,
    /// Builds under way.
    builds: Mutex<HashMap<ActivityId, Build>>,
}

/// A build under way.
struct Build {
    name: String,
    start: Instant,
    told: bool,
}

impl Lines {
    /// A sink of that style.
    pub(crate) fn new(style: Style) -> Self {
        Self { style, builds: Mutex::default() }
    }

    /// What is told when an activity begins.
    fn first_line(&self, activity: &Activity) -> Option<String> {
        let verbosity = self.style.verbosity;
        let is_usual = verbosity >= Verbosity::Usual;
        let as_nix = self.style.manner != Manner::Ours;
        match activity {
            Activity::Build { drv_path, check, .. } if as_nix => {
                let what = if *check { "checking outputs of" } else { "building" };
                is_usual.then(|| format!("{what} '{drv_path}'..."))
            }
            Activity::Unpack { from } if as_nix => {
                is_usual.then(|| format!("unpacking '{from}' into the Git cache..."))
            }
            Activity::Download { url } if as_nix => {
                (verbosity >= Verbosity::Verbose).then(|| format!("downloading '{url}'..."))
            }
            _ => is_worth_a_line(activity, verbosity).then(|| describe(activity)),
        }
    }

    fn log_line(&self, build: &mut Build, line: &[u8]) {
        if self.style.manner == Manner::OldNix && self.style.build_logs {
            return print(line);
        }
        if !build.told && self.style.verbosity >= Verbosity::Usual {
            build.told = true;
            print(format!("building {}", build.name).as_bytes());
        }
        if self.style.build_logs {
            print(&[build.name.as_bytes(), b"> ", line].concat());
        }
    }

    fn finished(&self, build: &Build, success: bool) {
        if self.style.manner != Manner::Ours {
            return;
        }
        let took = build.start.elapsed();
        if success && self.style.verbosity >= Verbosity::Usual && (build.told || took >= LONG_BUILD) {
            print(format!("built {} in {:.1} s", build.name, took.as_secs_f64()).as_bytes());
        }
    }
}

impl Sink for Lines {
    fn event(&self, event: Event) {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { id, activity } => {
                let line = self.first_line(&activity);
                if let Some(line) = &line {
                    print(line.as_bytes());
                }
                if let Activity::Build { name, .. } = activity {
                    builds.insert(id, Build { name, start: Instant::now(), told: line.is_some() });
                }
            }
            Event::LogLine { id, line } => {
                if let Some(build) = builds.get_mut(&id) {
                    self.log_line(build, &line);
                }
            }
            Event::Finished { id, success } => {
                if let Some(build) = builds.remove(&id) {
                    self.finished(&build, success);
                }
            }
            Event::Message { level, text } => {
                if is_shown(level, self.style.verbosity) {
                    print(message(level, &text, self.style.colour).as_bytes());
                }
            }
            Event::Progress { .. } => {}
        }
    }
}

/// One write a line, so that lines of several processes do not mix. Nobody can be told when stderr is gone.
fn print(line: &[u8]) {
    let _ = std::io::stderr().write_all(&[line, b"\n"].concat());
}
