//! Bars on a terminal: one for each activity under way, gone when it is over.

use super::{LONG_BUILD, Style, describe, is_shown, message};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nopal_report::{Activity, ActivityId, Event, Sink};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);
/// Bytes of a builder's last line that are shown beside its name.
const LINE_BYTES: usize = 120;

/// Draws events.
pub(crate) struct Bars {
    style: Style,
    all: MultiProgress,
    running: Mutex<HashMap<ActivityId, (Activity, ProgressBar)>>,
}

impl Bars {
    /// A sink of that style, drawing on stderr.
    pub(crate) fn new(style: Style) -> Self {
        Self { style, all: MultiProgress::new(), running: Mutex::default() }
    }

    /// Prints a line above the bars.
    fn print(&self, line: &str) {
        // nobody can be told when stderr is gone
        let _ = self.all.println(line);
    }
}

impl Sink for Bars {
    fn event(&self, event: Event) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { id, activity } => {
                let bar = self.all.add(ProgressBar::no_length());
                bar.set_style(spinner(&activity));
                bar.set_message(describe(&activity));
                bar.enable_steady_tick(TICK);
                running.insert(id, (activity, bar));
            }
            Event::Progress { id, done, expected } => {
                if let Some((activity, bar)) = running.get(&id) {
                    if let (Some(expected), None) = (expected, bar.length()) {
                        bar.set_style(measured(activity));
                        bar.set_length(expected);
                    }
                    bar.set_position(done);
                }
            }
            Event::LogLine { id, line } => {
                if let Some((activity, bar)) = running.get(&id) {
                    let text = String::from_utf8_lossy(&line);
                    if self.style.build_logs {
                        let name = describe(activity);
                        self.print(&format!("{}> {text}", name.trim_start_matches("building ")));
                    } else {
                        let shown: String = text.chars().filter(|c| !c.is_control()).take(LINE_BYTES).collect();
                        bar.set_message(format!("{}: {shown}", describe(activity)));
                    }
                }
            }
            Event::Finished { id, success } => {
                if let Some((activity, bar)) = running.remove(&id) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                    let took = bar.elapsed();
                    if let (Activity::Build { name, .. }, true) = (&activity, success && took >= LONG_BUILD) {
                        self.print(&format!("built {name} in {:.1} s", took.as_secs_f64()));
                    }
                }
            }
            Event::Message { level, text } => {
                if is_shown(level, self.style.verbosity) {
                    self.print(&message(level, &text, self.style.colour));
                }
            }
        }
    }
}

/// The look of an activity of which the end is not known.
fn spinner(activity: &Activity) -> ProgressStyle {
    template(if counts_bytes(activity) { "{spinner} {wide_msg} {bytes}" } else { "{spinner} {wide_msg}" })
}

/// The look of an activity of which the end is known.
fn measured(activity: &Activity) -> ProgressStyle {
    template(if counts_bytes(activity) {
        "{spinner} {wide_msg} {bytes}/{total_bytes} {bar:20} {bytes_per_sec}"
    } else {
        "{spinner} {wide_msg} {pos}/{len} {bar:20}"
    })
}

fn counts_bytes(activity: &Activity) -> bool {
    matches!(activity, Activity::Download { .. } | Activity::AddToStore { .. })
}

/// A template is a constant above; one that indicatif does not take would show its default bar.
fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar())
}
