//! A report for people.

use super::{Libraries, Report, lossy, rule};
use nopal_elf::read::{DependencyKind, Relro, kind, machine};
use nopal_elf::resolve::{Answer, Mismatch, Request, RequestKind, Resolution};
use nopal_format::hash::hex;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So many directories in which things are opened in vain are named without `--all`.
const MAX_DIRECTORIES: usize = 8;

/// Lines of a report.
struct Lines(String);

impl Lines {
    fn add(&mut self, line: impl AsRef<str>) {
        // writing to a string cannot fail
        let _ = writeln!(self.0, "{}", line.as_ref());
    }
}

/// All that is to be said about a file; `all` adds long lists.
pub(super) fn render(report: &Report, all: bool) -> String {
    let mut lines = Lines(String::new());
    let image = &report.image;
    lines.add(format!("{}: {}", lossy(&report.path), what(report)));
    add_loader(&mut lines, report);
    if let Some(start) = &report.start {
        let from = if start.depth > 0 { "from wherever it is, and " } else { "" };
        let binds = if start.bindings.is_empty() { "" } else { ", and binds symbols" };
        lines.add(format!("starts by itself, {from}opens {} libraries by path{binds}", start.by_path()));
    }
    if let Some(soname) = image.soname() {
        lines.add(format!("soname: {}", lossy(soname)));
    }
    add_run_path(&mut lines, report);
    match &report.libraries {
        Libraries::None => {}
        Libraries::Unknown(reason) => {
            let needed: Vec<_> = image.dynamic.iter().flat_map(|dynamic| dynamic.needed()).map(lossy).collect();
            lines.add(format!("needs: {}", if needed.is_empty() { "nothing".to_owned() } else { needed.join(", ") }));
            lines.add(format!("libraries are not looked for: {reason}"));
        }
        Libraries::Found(resolution) => {
            add_needed(&mut lines, resolution);
            add_missing(&mut lines, resolution);
            if all {
                add_scope(&mut lines, resolution);
            }
            add_probes(&mut lines, resolution, all);
        }
    }
    add_note(&mut lines, report);
    if let Some(id) = &image.notes.build_id {
        lines.add(format!("build id: {}", hex(id)));
    }
    lines.add(format!("hardening: {}", hardening(report)));
    lines.0
}

/// What the file is, in one line.
fn what(report: &Report) -> String {
    let (image, header) = (&report.image, &report.image.header);
    let hardening = image.hardening();
    let kind = match header.kind {
        kind::RELOCATABLE => "object file, to be linked",
        kind::CORE => "memory of a program that died",
        kind::EXECUTABLE if image.dynamic.is_none() => "static program",
        kind::SHARED if hardening.is_program && image.interpreter.is_none() => "static program",
        kind::EXECUTABLE => "program",
        kind::SHARED if hardening.is_program => "program",
        kind::SHARED => "library",
        _ => "file of unknown type",
    };
    let machine = machine::name(header.machine).map_or_else(|| format!("machine {}", header.machine), str::to_owned);
    let sections = if image.has_sections() { "" } else { ", without sections" };
    format!("{kind} for {machine}, {} {}{sections}", header.class(), header.byte_order())
}

fn add_loader(lines: &mut Lines, report: &Report) {
    let there = |is_there: bool| if is_there { "" } else { " (not there)" };
    match (&report.image.interpreter, &report.loader.path) {
        (Some(named), Some(path)) if named != path => {
            lines.add(format!(
                "interpreter: {}, taken for it {}{}",
                lossy(named),
                lossy(path),
                there(report.loader.is_there)
            ));
        }
        (Some(named), _) => lines.add(format!("interpreter: {}{}", lossy(named), there(report.loader.is_there))),
        (None, Some(path)) if report.image.dynamic.is_some() && !matches!(report.libraries, Libraries::None) => {
            lines.add(format!("interpreter: none; looked at as by {}{}", lossy(path), there(report.loader.is_there)));
        }
        (None, _) => lines.add("interpreter: none"),
    }
}

fn add_run_path(lines: &mut Lines, report: &Report) {
    if report.run_path.is_empty() {
        return;
    }
    lines.add(match report.is_inherited() {
        true => "run path (RPATH: before the library path, for all that it loads):",
        false => "run path (RUNPATH: behind the library path, for what it needs itself):",
    });
    for entry in &report.run_path {
        let (text, there) = (lossy(&entry.text), if entry.is_there { "" } else { " (not there)" });
        lines.add(match &entry.directory {
            None => format!("  {text}: a token stands for nothing that is known"),
            Some(directory) if directory.is_empty() => "  (empty): the working directory".to_owned(),
            Some(directory) if *directory != entry.text => format!("  {text} = {}{there}", lossy(directory)),
            Some(_) => format!("  {text}{there}"),
        });
    }
}

/// What the file itself needs.
fn add_needed(lines: &mut Lines, resolution: &Resolution) {
    let Some(requests) = resolution.objects.first().map(|object| &object.requests) else { return };
    lines.add(if requests.is_empty() { "needs: nothing" } else { "needs:" });
    for request in requests {
        lines.add(format!("  {}{}", lossy(&request.name), answer(resolution, request)));
    }
    let others = resolution.scope.len().saturating_sub(1);
    lines.add(format!("loads: {others} {} in all", if others == 1 { "library" } else { "libraries" }));
}

/// What came of a request, as goes behind its name.
fn answer(resolution: &Resolution, request: &Request) -> String {
    let way = match request.kind {
        RequestKind::Preload => " (preloaded)",
        RequestKind::Dependency(DependencyKind::Auxiliary) => " (filter, if it is there)",
        RequestKind::Dependency(DependencyKind::Filter) => " (filter)",
        RequestKind::Dependency(DependencyKind::Needed) => "",
    };
    let path = |object: usize| lossy(&resolution.objects[object].path);
    match &request.answer {
        Answer::Loaded(object) => format!("{way} => {} ({})", path(*object), rule(resolution, *object)),
        Answer::Known(object) => format!("{way} => {} (loaded already)", path(*object)),
        Answer::Missing => format!("{way} => not found{}", other(request)),
        Answer::Refused { path, reason } => format!("{way} => {} cannot be loaded: {reason}", lossy(path)),
    }
}

/// A file for another machine, if there is one by that name.
fn other(request: &Request) -> String {
    let other = request.attempts.iter().find(|attempt| attempt.found != Mismatch::Nothing);
    other.map(|attempt| format!("; {} is for another machine", lossy(&attempt.path))).unwrap_or_default()
}

/// What libraries need and is not found.
fn add_missing(lines: &mut Lines, resolution: &Resolution) {
    for (asking, request) in resolution.requests().filter(|(asking, request)| *asking > 0 && !request.is_satisfied()) {
        let (by, name) = (lossy(&resolution.objects[asking].path), lossy(&request.name));
        let why = match &request.answer {
            Answer::Missing => other(request),
            _ => answer(resolution, request),
        };
        lines.add(format!("missing: {name}, needed by {by}{why}"));
    }
}

fn add_scope(lines: &mut Lines, resolution: &Resolution) {
    lines.add("order of symbols:");
    for object in &resolution.scope {
        lines.add(format!("  {} ({})", lossy(&resolution.objects[*object].path), rule(resolution, *object)));
    }
}

/// What a start opens in vain, by directory or all of it.
fn add_probes(lines: &mut Lines, resolution: &Resolution, all: bool) {
    let total = resolution.failed_opens();
    lines.add(format!("opened in vain at start: {total}"));
    let attempts = resolution.requests().flat_map(|(_, request)| &request.attempts);
    if all {
        for attempt in attempts {
            let found = match attempt.found {
                Mismatch::Nothing => "",
                Mismatch::OtherClass => " (of the other class)",
                Mismatch::OtherMachine => " (for another machine)",
            };
            lines.add(format!("  {}{found}", lossy(&attempt.path)));
        }
        return;
    }
    let mut directories: BTreeMap<&[u8], usize> = BTreeMap::new();
    for attempt in attempts {
        let end = attempt.path.iter().rposition(|byte| *byte == b'/').map_or(0, |end| end + 1);
        *directories.entry(&attempt.path[..end]).or_default() += 1;
    }
    let mut directories: Vec<_> = directories.into_iter().collect();
    directories.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (directory, count) in directories.iter().take(MAX_DIRECTORIES) {
        lines.add(format!("  {count} in {}", if directory.is_empty() { ".".into() } else { lossy(directory) }));
    }
    if directories.len() > MAX_DIRECTORIES {
        let rest: usize = directories[MAX_DIRECTORIES..].iter().map(|(_, count)| count).sum();
        lines.add(format!("  {rest} in {} more directories", directories.len() - MAX_DIRECTORIES));
    }
}

fn add_note(lines: &mut Lines, report: &Report) {
    let Some(cache) = &report.image.notes.resolution_cache else { return };
    let honoured = report.loader.config.as_ref().is_some_and(|config| config.honours_notes);
    let whether = if honoured { "taken at its word" } else { "not looked at by an unpatched loader" };
    lines.add(format!("note of where libraries are: {} ({whether})", cache.entries.len()));
}

/// Which defences the file has.
fn hardening(report: &Report) -> String {
    let hardening = report.image.hardening();
    let mut words = Vec::new();
    if hardening.is_program {
        words.push(
            if hardening.is_position_independent { "lies anywhere (PIE)" } else { "fixed address (no PIE)" }.into(),
        );
    }
    words.push(match hardening.relro {
        Relro::None => "no RELRO".into(),
        Relro::Partial => "partial RELRO".into(),
        Relro::Full => "full RELRO".to_owned(),
    });
    if report.image.dynamic.is_some() {
        words.push(if hardening.binds_now { "binds at start" } else { "binds on first call" }.into());
    }
    words.push(if hardening.has_executable_stack { "executable stack" } else { "no executable stack" }.into());
    if hardening.relocates_text {
        words.push("code is changed when loaded".into());
    }
    if let Some(checks) = &report.checks {
        words.push(if checks.has_stack_protector { "stack protector" } else { "no stack protector" }.into());
        words.push(match checks.fortified.len() {
            0 => "no fortified functions".into(),
            1 => "1 fortified function".into(),
            count => format!("{count} fortified functions"),
        });
    }
    words.join(", ")
}
