//! What commands on flakes do and show, besides their outputs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nopal_eval::{Error, Evaluator, Pos};
use nopal_format::flake::input::attrs_to_json;
use nopal_format::flake::lock::{day, show_input_path};
use nopal_format::flake::reference::absolute;
use nopal_format::flake::{Edge, FlakeRef, LockFile, NodeId};
use nopal_format::hash::sha256;
use nopal_format::json::Json;
use nopal_format::{Hash, StorePath};
use nopal_report::Level;

use super::read::attrs_json;
use super::show::{BOLD, NORMAL};
use super::{FlakeSource, Flakes, LockFlags, Locked, refused};
use crate::engine::{Engine, Shared};
use crate::error::EngineError;
use crate::inputs::registry::{Use, resolve};
use crate::inputs::{clone, fingerprint};

/// What is known of a flake.
#[derive(Clone, Debug)]
pub struct FlakeMetadata {
    /// For programs.
    pub json: Json,
    /// For people, a line each.
    pub lines: Vec<String>,
}

/// A tree that was fetched.
#[derive(Clone, Debug)]
pub struct Prefetched {
    /// The store object.
    pub store_path: StorePath,
    /// The hash of the tree.
    pub hash: Hash,
    /// The reference that registries made of what was asked for.
    pub original: Json,
    /// The reference with all that fetching found out.
    pub locked: Json,
    /// The same as text.
    pub locked_text: String,
}

impl Engine {
    /// Runs work on flakes.
    pub(super) fn with_flakes<T: Send>(
        &self,
        work: impl FnOnce(&mut Flakes<'_>) -> Result<T, Error> + Send,
    ) -> Result<T, EngineError> {
        let shared = &self.shared;
        self.shared.with_evaluator(|ev: &mut Evaluator| work(&mut Flakes { ev, shared }))
    }

    /// What is known of a flake and its inputs.
    ///
    /// # Errors
    /// It cannot be fetched or locked.
    pub fn flake_metadata(&self, text: &str, flags: &LockFlags) -> Result<FlakeMetadata, EngineError> {
        self.with_flakes(|flakes| {
            let reference = flakes.parse_plain(text, false)?;
            let locked = flakes.lock(&reference, flags)?;
            flakes.metadata(&locked)
        })
    }

    /// Locks a flake and writes the lock file.
    ///
    /// # Errors
    /// It cannot be fetched, locked or written.
    pub fn flake_lock(&self, text: &str, flags: &LockFlags) -> Result<(), EngineError> {
        self.with_flakes(|flakes| {
            let reference = flakes.parse_plain(text, false)?;
            let locked = flakes.lock(&reference, flags)?;
            flakes.apply_config(&locked.flake)
        })
    }

    /// Fetches the tree of a flake.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn flake_prefetch(&self, text: &str) -> Result<Prefetched, EngineError> {
        self.with_flakes(|flakes| {
            let original = flakes.parse_plain(text, false)?;
            let found = flakes.looked_up(&original)?;
            let tree = flakes.ev.fetch_tree(&found.input)?;
            let mut input = tree.input.clone().unwrap_or_else(|| found.input.clone());
            let hash = input.nar_hash().map_err(refused)?;
            let hash = hash.ok_or_else(|| Error::eval("the tree that was fetched has no hash"))?;
            if found.input.nar_hash().map_err(refused)?.is_none() && !["tarball", "file"].contains(&input.kind()) {
                // a hash that nobody asked for is not part of it
                input.remove("narHash");
            }
            let locked = FlakeRef { input, subdir: found.subdir.clone() };
            let (original, locked_text) = (attrs_to_json(&found.to_attrs()), locked.to_string());
            Ok(Prefetched { store_path: tree.store_path, hash, original, locked: attrs_json(&locked), locked_text })
        })
    }

    /// Clones the repository of a flake, or copies its tree.
    ///
    /// # Errors
    /// It cannot be fetched or written.
    pub fn flake_clone(&self, text: &str, destination: &Path) -> Result<(), EngineError> {
        let destination = self.config().working_dir.join(destination);
        self.with_flakes(|flakes| {
            let original = flakes.parse_plain(text, false)?;
            let found = flakes.looked_up(&original)?;
            if found.input.kind() == "git" {
                let cloned = clone(flakes.shared, &found.input, &destination);
                return cloned.map_err(|error| flakes.ev.host_error(error, Pos::NONE));
            }
            if nopal_fs::exists(&destination) {
                let message = format!("cannot clone into existing path \"{}\"", destination.display());
                return Err(Error::eval(message));
            }
            let tree = flakes.ev.fetch_tree(&found.input)?;
            let store = flakes.shared.store().map_err(|error| Error::eval(error.to_string()))?;
            let mut nar = Vec::new();
            store.dump(&tree.store_path, &mut nar).map_err(|error| Error::eval(error.to_string()))?;
            nopal_store::restore_tree(&mut nar.as_slice(), &destination).map_err(|error| Error::eval(error.to_string()))
        })
    }

    /// Fetches a flake and all its inputs, or with `dry_run` only says which store paths they have. Returns them, and
    /// as JSON which input is which.
    ///
    /// # Errors
    /// One cannot be fetched.
    pub fn flake_archive(
        &self,
        text: &str,
        flags: &LockFlags,
        dry_run: bool,
    ) -> Result<(BTreeSet<StorePath>, Json), EngineError> {
        self.with_flakes(|flakes| {
            let reference = flakes.parse_plain(text, false)?;
            let locked = flakes.lock(&reference, flags)?;
            let root = flakes.tree_of(&locked.flake.dir)?;
            let mut paths = BTreeSet::from([root.clone()]);
            let inputs = flakes.archive(&locked.lock_file, LockFile::ROOT, dry_run, &mut paths)?;
            let root = Json::from(flakes.ev.settings.store_dir.print(&root));
            Ok((paths, Json::object([("path", root), ("inputs", inputs)])))
        })
    }

    /// Makes a flake from a template. Files that are there stay as they are.
    ///
    /// # Errors
    /// The template cannot be evaluated, or files are in the way.
    pub fn flake_init(&self, template: &str, destination: &Path) -> Result<(), EngineError> {
        let base = self.config().working_dir.display().to_string();
        let destination = PathBuf::from(absolute(&base, &destination.display().to_string()));
        let source = FlakeSource {
            text: template.to_owned(),
            lock: LockFlags { write: false, ..LockFlags::default() },
            defaults: vec!["templates.default".to_owned(), "defaultTemplate".to_owned()],
            prefixes: vec!["templates.".to_owned()],
        };
        self.with_flakes(|flakes| super::template::init(flakes, &source, &destination))
    }
}

impl Flakes<'_> {
    /// What a reference stands for, with all registries asked.
    pub(super) fn looked_up(&self, reference: &FlakeRef) -> Result<FlakeRef, Error> {
        let found = resolve(self.shared, &reference.input, Use::All);
        let found = found.map_err(|error| self.ev.host_error(error, Pos::NONE))?;
        Ok(FlakeRef { input: found.input, subdir: found.dir.unwrap_or_else(|| reference.subdir.clone()) })
    }

    /// The store object that a directory is in.
    fn tree_of(&self, dir: &str) -> Result<StorePath, Error> {
        let split = self.ev.settings.store_dir.split(dir);
        Ok(split.map_err(|error| Error::eval(error.to_string()))?.0)
    }

    fn archive(
        &mut self,
        file: &LockFile,
        node: NodeId,
        dry_run: bool,
        paths: &mut BTreeSet<StorePath>,
    ) -> Result<Json, Error> {
        let mut found = std::collections::BTreeMap::new();
        for (name, edge) in file.inputs(node) {
            let Edge::Node(child) = edge else { continue };
            let Some(known) = file.locked(*child) else { continue };
            let input = &known.locked.input;
            let mut entry = Vec::new();
            if input.relative_path().is_none() {
                let path = match (dry_run, input.store_path(&self.ev.settings.store_dir).map_err(refused)?) {
                    (true, Some(path)) => path,
                    (true, None) => {
                        return Err(Error::eval(format!(
                            "cannot compute store path for unlocked input '{}'",
                            known.locked
                        )));
                    }
                    (false, _) => self.ev.fetch_tree(input)?.store_path,
                };
                entry.push(("path", Json::from(self.ev.settings.store_dir.print(&path))));
                paths.insert(path);
            }
            entry.push(("inputs", self.archive(file, *child, dry_run, paths)?));
            found.insert(name.clone(), Json::object(entry));
        }
        Ok(Json::Object(found))
    }

    fn metadata(&mut self, locked: &Locked) -> Result<FlakeMetadata, Error> {
        let flake = &locked.flake;
        let input = &flake.locked.input;
        let path = self.ev.settings.store_dir.print(&self.tree_of(&flake.dir)?);
        let (rev, dirty_rev) = (input.rev().map_err(refused)?, input.text("dirtyRev").map_err(refused)?);
        let count = input.int("revCount").map_err(refused)?;
        let modified = input.int("lastModified").map_err(refused)?;
        let fingerprint = self.fingerprint(locked)?;
        let url = |reference: &FlakeRef| Json::from(reference.to_string());
        let mut json = vec![
            ("originalUrl", url(&flake.original)),
            ("original", attrs_to_json(&flake.original.to_attrs())),
            ("resolvedUrl", url(&flake.resolved)),
            ("resolved", attrs_to_json(&flake.resolved.to_attrs())),
            ("url", url(&flake.locked)),
            ("locked", attrs_to_json(&flake.locked.to_attrs())),
            ("path", Json::from(path.as_str())),
            ("locks", locked.lock_file.to_json().0),
        ];
        json.extend(flake.description.as_deref().map(|text| ("description", Json::from(text))));
        json.extend(rev.as_deref().map(|rev| ("revision", Json::from(rev))));
        json.extend(dirty_rev.map(|rev| ("dirtyRevision", Json::from(rev))));
        json.extend(count.map(|count| ("revCount", Json::from(count))));
        json.extend(modified.map(|time| ("lastModified", Json::from(time))));
        json.extend(fingerprint.as_deref().map(|text| ("fingerprint", Json::from(text))));
        let mut lines = vec![format!("{BOLD}Resolved URL:{NORMAL}  {}", flake.resolved)];
        if input.is_locked().map_err(refused)? {
            lines.push(format!("{BOLD}Locked URL:{NORMAL}    {}", flake.locked));
        }
        lines.extend(flake.description.as_deref().map(|text| format!("{BOLD}Description:{NORMAL}   {text}")));
        lines.push(format!("{BOLD}Path:{NORMAL}          {path}"));
        lines.extend(rev.as_deref().map(|rev| format!("{BOLD}Revision:{NORMAL}      {rev}")));
        lines.extend(dirty_rev.map(|rev| format!("{BOLD}Revision:{NORMAL}      {rev}")));
        lines.extend(count.map(|count| format!("{BOLD}Revisions:{NORMAL}     {count}")));
        lines.extend(modified.map(|time| format!("{BOLD}Last modified:{NORMAL} {}", moment(time))));
        lines.extend(fingerprint.map(|text| format!("{BOLD}Fingerprint:{NORMAL}   {text}")));
        if !locked.lock_file.inputs(LockFile::ROOT).is_empty() {
            lines.push(format!("{BOLD}Inputs:{NORMAL}"));
        }
        show_inputs(&locked.lock_file, LockFile::ROOT, "", &mut BTreeSet::from([LockFile::ROOT]), &mut lines);
        Ok(FlakeMetadata { json: Json::object(json), lines })
    }

    /// What identifies the outputs of a locked flake: its tree, its lock file, and what it may know besides.
    fn fingerprint(&mut self, locked: &Locked) -> Result<Option<String>, Error> {
        let file = &locked.lock_file;
        if file.unlocked(self.shared.config.flakes.allow_dirty_locks).map_err(refused)?.is_some() {
            return Ok(None);
        }
        let input = &locked.flake.locked.input;
        let found = fingerprint(self.shared, input).map_err(|error| self.ev.host_error(error, Pos::NONE))?;
        let Some(mut text) = found else { return Ok(None) };
        text += &format!(";{};{file}", locked.flake.locked.subdir);
        if let Some(count) = input.int("revCount").map_err(refused)? {
            text += &format!(";revCount={count}");
        }
        if let Some(time) = input.int("lastModified").map_err(refused)? {
            text += &format!(";lastModified={time}");
        }
        Ok(Some(sha256(text.as_bytes()).base16()))
    }

    /// Shows a line that is worth it by default.
    pub(super) fn notice(&self, text: impl Into<String>) {
        self.shared.config.reporter.message(Level::Notice, text);
    }
}

/// A time as `YYYY-MM-DD HH:MM:SS`, in UTC.
fn moment(seconds: u64) -> String {
    let of_day = seconds % 86_400;
    format!("{} {:02}:{:02}:{:02}", day(seconds), of_day / 3600, of_day / 60 % 60, of_day % 60)
}

fn show_inputs(file: &LockFile, node: NodeId, prefix: &str, seen: &mut BTreeSet<NodeId>, lines: &mut Vec<String>) {
    let inputs = file.inputs(node);
    for (index, (name, edge)) in inputs.iter().enumerate() {
        let is_last = index + 1 == inputs.len();
        let branch = if is_last { "└───" } else { "├───" };
        match edge {
            Edge::Follows(path) => {
                lines.push(format!("{prefix}{branch}{BOLD}{name}{NORMAL} follows input '{}'", show_input_path(path)));
            }
            Edge::Node(child) => {
                let Some(known) = file.locked(*child) else { continue };
                let time = known.locked.input.int("lastModified").ok().flatten();
                let time = time.map(|time| format!(" ({})", moment(time))).unwrap_or_default();
                lines.push(format!("{prefix}{branch}{BOLD}{name}{NORMAL}: {}{time}", known.locked));
                if seen.insert(*child) {
                    let below = if is_last { "    " } else { "│   " };
                    show_inputs(file, *child, &format!("{prefix}{below}"), seen, lines);
                }
            }
        }
    }
}

/// Where a template's files are in the file system.
pub(super) fn physical(shared: &Shared, path: &str) -> Result<PathBuf, Error> {
    shared.paths.locate_target(Path::new(path)).map_err(|error| Error::eval(error.to_string()))
}
