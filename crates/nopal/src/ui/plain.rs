//! Plain lines, for logs and pipes.

use super::{Style, describe, is_shown, is_worth_a_line, message};
use nopal_report::{Activity, ActivityId, Event, Sink};
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// Tells events one line each.
pub(crate) struct Lines {
    style: Style,
    /// Names of builds under way, to put before their output.
    builds: Mutex<HashMap<ActivityId, String>>,
}

impl Lines {
    /// A sink of that style.
    pub(crate) fn new(style: Style) -> Self {
        Self { style, builds: Mutex::default() }
    }
}

impl Sink for Lines {
    fn event(&self, event: Event) {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { id, activity } => {
                if is_worth_a_line(&activity, self.style.verbosity) {
                    print(describe(&activity).as_bytes());
                }
                if let Activity::Build { name, .. } = activity {
                    builds.insert(id, name);
                }
            }
            Event::LogLine { id, line } if self.style.build_logs => {
                let name = builds.get(&id).map(String::as_str).unwrap_or_default();
                print(&[name.as_bytes(), b"> ", &line].concat());
            }
            Event::Finished { id, .. } => {
                builds.remove(&id);
            }
            Event::Message { level, text } if is_shown(level, self.style.verbosity) => {
                print(message(level, &text, self.style.colour).as_bytes());
            }
            Event::LogLine { .. } | Event::Progress { .. } | Event::Message { .. } => {}
        }
    }
}

/// One write a line, so that lines of several processes do not mix. Nobody can be told when stderr is gone.
fn print(line: &[u8]) {
    let _ = std::io::stderr().write_all(&[line, b"\n"].concat());
}
