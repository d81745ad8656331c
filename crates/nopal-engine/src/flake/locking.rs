//! Computing the lock file of a flake: every input gets a node with all that fetching it found out, as far as the
//! lock file at hand does not say it already.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use nopal_eval::Error;
use nopal_format::flake::lock::{InputPath, LockedNode, parse_input_path, show_input_path};
use nopal_format::flake::reference::absolute;
use nopal_format::flake::{Edge, FlakeRef, LockFile, NodeId, RegistryEntry};

use super::read::Place;
use super::{Flake, FlakeInput, Flakes, Inputs, LockFlags, Locked, refused};
use crate::inputs::registry::Use;
use crate::inputs::{put_file, source_path};

/// An input that a flake, or a flag, puts in the place of another.
#[derive(Clone)]
struct Override {
    input: FlakeInput,
    /// The directory that a relative path starts from.
    dir: String,
    /// The input of which the directory is the flake; `None` for flags.
    parent: Option<InputPath>,
}

/// What goes on while a lock file is computed.
struct Locking {
    flags: Flags,
    inputs_use: Use,
    overrides: BTreeMap<InputPath, Override>,
    used_overrides: BTreeSet<InputPath>,
    seen: BTreeSet<InputPath>,
    file: LockFile,
    dirs: BTreeMap<NodeId, String>,
    parents: Vec<FlakeRef>,
}

/// The flags with their paths and references read.
struct Flags {
    allow_unlocked: bool,
    updates: BTreeSet<InputPath>,
    /// What flags override, as it was written.
    overrides: BTreeMap<InputPath, (FlakeRef, String)>,
}

/// A flake whose inputs are locked.
struct Level<'a> {
    inputs: &'a Inputs,
    node: NodeId,
    /// Where it stands.
    path: &'a [String],
    /// The node in another lock file, if there is one, that locks may be copied from.
    old: Option<(&'a LockFile, NodeId)>,
    /// Where the paths in that lock file start.
    follows_prefix: &'a [String],
    /// The directory of its `flake.nix`.
    dir: &'a str,
    /// Whether the inputs come from that lock file.
    is_copy: bool,
}

impl Flakes<'_> {
    /// Fetches and locks a flake, and writes the lock file if it has changed and may be written.
    pub(super) fn lock(&mut self, top: &FlakeRef, flags: &LockFlags) -> Result<Locked, Error> {
        self.require_feature()?;
        self.take_inputs_from(flags)?;
        let use_registries = flags.use_registries.unwrap_or(self.shared.config.flakes.use_registries);
        let (top_use, inputs_use) = if use_registries { (Use::All, Use::Limited) } else { (Use::No, Use::No) };
        let flake = self.get(top, top_use, &[])?;
        let shown = flake.locked.to_string();
        self.lock_flake(top, flake, flags, inputs_use).map_err(|error| {
            error.trace(nopal_eval::Pos::NONE, format!("while updating the lock file of flake '{shown}'"))
        })
    }

    /// `--inputs-from`: the inputs of other flakes count as registry entries.
    fn take_inputs_from(&mut self, flags: &LockFlags) -> Result<(), Error> {
        let mut entries = Vec::new();
        for text in &flags.inputs_from {
            let reference = self.parse_plain(text, false)?;
            let locked = self.lock(&reference, &LockFlags { write: false, ..LockFlags::default() })?;
            for name in locked.lock_file.inputs(LockFile::ROOT).keys() {
                let node = locked.lock_file.find(std::slice::from_ref(name)).map_err(refused)?;
                let Some(known) = node.and_then(|node| locked.lock_file.locked(node)) else { continue };
                let dir =
                    (!known.locked.subdir.is_empty()).then(|| ("dir".to_owned(), known.locked.subdir.clone().into()));
                let from = FlakeRef::indirect(name).map_err(refused)?.input;
                let to = known.locked.input.clone();
                entries.push(RegistryEntry { from, to, extra: dir.into_iter().collect(), exact: false });
            }
        }
        if !entries.is_empty() {
            self.shared.registries.add_inputs(entries);
        }
        Ok(())
    }

    fn lock_flake(
        &mut self,
        top: &FlakeRef,
        mut flake: Flake,
        flags: &LockFlags,
        inputs_use: Use,
    ) -> Result<Locked, Error> {
        let config = &self.shared.config.flakes;
        if !config.allow_dirty && flags.reference_file.is_some() {
            return Err(Error::eval("reference lock file was provided, but the `allow-dirty` setting is set to false"));
        }
        let old = match &flags.reference_file {
            None => self.lock_file_of(&flake.dir.clone())?,
            Some(path) => {
                let path = self.shared.config.working_dir.join(path);
                let text = nopal_fs::read_file_if_exists(&path).map_err(|error| Error::eval(error.to_string()))?;
                text.map_or_else(
                    || Ok(LockFile::default()),
                    |text| self.parse_lock_file(&text, &path.display().to_string()),
                )?
            }
        };
        let mut locking = Locking {
            flags: self.read_flags(flags)?,
            inputs_use,
            overrides: BTreeMap::new(),
            used_overrides: BTreeSet::new(),
            seen: BTreeSet::new(),
            file: LockFile::default(),
            dirs: BTreeMap::from([(LockFile::ROOT, flake.dir.clone())]),
            parents: Vec::new(),
        };
        for (path, (reference, _)) in &locking.flags.overrides {
            // relative to the flake that is locked
            let input = FlakeInput { reference: Some(reference.clone()), ..FlakeInput::default() };
            let entry = Override { input, dir: flake.dir.clone(), parent: None };
            locking.overrides.insert(path.clone(), entry);
        }
        let level = Level {
            inputs: &flake.inputs.clone(),
            node: LockFile::ROOT,
            path: &[],
            old: (!flags.recreate).then_some((&old, LockFile::ROOT)),
            follows_prefix: &[],
            dir: &flake.dir.clone(),
            is_copy: false,
        };
        self.lock_inputs(&mut locking, &level)?;
        for (path, (_, text)) in &locking.flags.overrides {
            if !locking.used_overrides.contains(path) {
                let path = show_input_path(path);
                self.warn(format!("the flag '--override-input {path} {text}' does not match any input"));
            }
        }
        for path in locking.flags.updates.difference(&locking.seen) {
            self.warn(format!("'{}' does not match any input of this flake", show_input_path(path)));
        }
        let lock_file = locking.file;
        lock_file.check().map_err(refused)?;
        if lock_file != old || flags.output_file.is_some() {
            self.keep(top, &mut flake, &old, &lock_file, flags)?;
        }
        Ok(Locked { flake, lock_file, dirs: locking.dirs })
    }

    fn read_flags(&self, flags: &LockFlags) -> Result<Flags, Error> {
        let mut updates = BTreeSet::new();
        for text in &flags.updates {
            updates.insert(parse_input_path(text).map_err(refused)?);
        }
        let mut overrides = BTreeMap::new();
        for (path, text) in &flags.overrides {
            let reference = self.parse_plain(text, true)?;
            let shown = reference.to_string();
            overrides.insert(parse_input_path(path).map_err(refused)?, (reference, shown));
        }
        Ok(Flags { allow_unlocked: flags.allow_unlocked, updates, overrides })
    }

    /// Locks the inputs of a flake, and theirs.
    fn lock_inputs(&mut self, locking: &mut Locking, level: &Level<'_>) -> Result<(), Error> {
        for (name, input) in level.inputs {
            let path = [level.path, std::slice::from_ref(name)].concat();
            add_overrides(locking, input, &path, level);
        }
        for path in locking.overrides.keys() {
            if let Some((name, parent)) = path.split_last()
                && parent == level.path
                && !level.inputs.contains_key(name)
            {
                let parent = show_input_path(parent);
                self.warn(format!("input '{parent}' has an override for a non-existent input '{name}'"));
            }
        }
        for (name, input) in level.inputs {
            let path = [level.path, std::slice::from_ref(name)].concat();
            let shown = show_input_path(&path);
            self.lock_input(locking, level, name, input, &path).map_err(|error| {
                error.trace(nopal_eval::Pos::NONE, format!("while updating the flake input '{shown}'"))
            })?;
        }
        Ok(())
    }

    fn lock_input(
        &mut self,
        locking: &mut Locking,
        level: &Level<'_>,
        name: &str,
        written: &FlakeInput,
        path: &[String],
    ) -> Result<(), Error> {
        let replaced = locking.overrides.get(path).cloned();
        let by_flag = locking.flags.overrides.contains_key(path);
        let mut input = written.clone();
        if let Some(replaced) = &replaced {
            locking.used_overrides.insert(path.to_vec());
            input = FlakeInput { is_plain: written.is_plain, ..replaced.input.clone() };
        }
        if let Some(target) = &input.follows {
            locking.file.set_input(level.node, name, Edge::Follows(target.clone()));
            return Ok(());
        }
        let reference = match &input.reference {
            Some(reference) => reference.clone(),
            None => FlakeRef::indirect(name).map_err(refused)?,
        };
        let base = replaced.as_ref().map_or(level.dir, |replaced| &replaced.dir).to_owned();
        let parent = reference.input.relative_path().and_then(|_| match &replaced {
            Some(replaced) => replaced.parent.clone(),
            None => Some(level.path.to_vec()),
        });
        locking.seen.insert(path.to_vec());
        let old = level.old.filter(|_| !locking.flags.updates.contains(path)).and_then(|(file, node)| {
            match file.inputs(node).get(name) {
                Some(Edge::Node(node)) => Some((file, *node, file.locked(*node)?)),
                _ => None,
            }
        });
        if let Some((file, node, known)) = old
            && known.original.canonical() == reference.canonical()
            && known.parent == parent
            && !by_flag
        {
            return self.keep_input(locking, level, name, (file, node, known), path, &base);
        }
        let original = written.reference.clone().filter(|_| by_flag).unwrap_or_else(|| reference.clone());
        let new = NewInput { name, path, reference, original, base, parent, is_plain: input.is_plain, by_flag };
        self.new_input(locking, level, new)
    }

    /// Takes an input over from the lock file at hand. Only if its own inputs may have changed it is fetched.
    fn keep_input(
        &mut self,
        locking: &mut Locking,
        level: &Level<'_>,
        name: &str,
        (file, node, known): (&LockFile, NodeId, &LockedNode),
        path: &[String],
        base: &str,
    ) -> Result<(), Error> {
        let child = locking.file.add(known.clone());
        locking.file.set_input(level.node, name, Edge::Node(child));
        let is_below = |update: &InputPath| update.len() > path.len() && update.starts_with(path);
        let mut must_fetch = locking.flags.updates.iter().any(is_below);
        let mut inputs = Inputs::new();
        if !must_fetch {
            for (name, edge) in file.inputs(node) {
                let input = match edge {
                    Edge::Node(node) => {
                        let Some(known) = file.locked(*node) else { continue };
                        let reference = Some(known.original.clone());
                        FlakeInput { reference, is_plain: !known.is_flake, ..FlakeInput::default() }
                    }
                    Edge::Follows(target) => {
                        let below = [path, std::slice::from_ref(name)].concat();
                        // the flake may have lost the override, and the lock file then lacks what it would have
                        if !level.is_copy && !locking.overrides.contains_key(&below) {
                            must_fetch = true;
                            break;
                        }
                        let target = [level.follows_prefix, target.as_slice()].concat();
                        FlakeInput { follows: Some(target), ..FlakeInput::default() }
                    }
                };
                inputs.insert(name.clone(), input);
            }
        }
        if must_fetch {
            let flake = self.input_flake(&known.locked, base, locking.inputs_use, path)?;
            locking.dirs.insert(child, flake.dir.clone());
            let next = Level {
                inputs: &flake.inputs,
                node: child,
                path,
                old: Some((file, node)),
                follows_prefix: level.follows_prefix,
                dir: &flake.dir,
                is_copy: false,
            };
            return self.lock_inputs(locking, &next);
        }
        let next = Level {
            inputs: &inputs,
            node: child,
            path,
            old: Some((file, node)),
            follows_prefix: level.follows_prefix,
            dir: level.dir,
            is_copy: true,
        };
        self.lock_inputs(locking, &next)
    }

    fn new_input(&mut self, locking: &mut Locking, level: &Level<'_>, new: NewInput<'_>) -> Result<(), Error> {
        let input = &new.reference.input;
        let is_relative = input.relative_path().is_some();
        if !locking.flags.allow_unlocked && !is_relative && !input.is_locked().map_err(refused)? {
            let shown = show_input_path(new.path);
            return Err(Error::eval(format!("cannot update unlocked flake input '{shown}' in pure mode")));
        }
        if new.is_plain {
            let (dir, locked) = match input.relative_path() {
                Some(path) => (absolute(&new.base, path), new.reference.clone()),
                None => {
                    let found = self.resolve(&new.reference, locking.inputs_use)?;
                    let tree = self.ev.fetch_tree(&found.input)?;
                    let input = tree.input.clone().unwrap_or(found.input);
                    let dir = self.ev.settings.store_dir.print(&tree.store_path);
                    (dir, FlakeRef { input, subdir: new.reference.subdir.clone() })
                }
            };
            let node = LockedNode { locked, original: new.original, is_flake: false, parent: new.parent };
            let child = locking.file.add(node);
            locking.dirs.insert(child, dir);
            locking.file.set_input(level.node, new.name, Edge::Node(child));
            return Ok(());
        }
        let which = if new.by_flag { Use::All } else { locking.inputs_use };
        let flake = self.input_flake(&new.reference, &new.base, which, new.path)?;
        let locked = flake.locked.clone();
        let child = locking.file.add(LockedNode { locked, original: new.original, is_flake: true, parent: new.parent });
        locking.file.set_input(level.node, new.name, Edge::Node(child));
        if locking.parents.contains(&new.reference) {
            return Err(Error::eval(format!("found circular import of flake '{}'", new.reference)));
        }
        locking.parents.push(new.reference);
        locking.dirs.insert(child, flake.dir.clone());
        let own = self.lock_file_of(&flake.dir)?;
        let next = Level {
            inputs: &flake.inputs,
            node: child,
            path: new.path,
            old: Some((&own, LockFile::ROOT)),
            follows_prefix: new.path,
            dir: &flake.dir,
            is_copy: false,
        };
        let result = self.lock_inputs(locking, &next);
        locking.parents.pop();
        result
    }

    /// The flake of an input; one with a relative path is in the tree of the flake that has it.
    fn input_flake(&mut self, reference: &FlakeRef, base: &str, which: Use, path: &[String]) -> Result<Flake, Error> {
        let Some(relative) = reference.input.relative_path() else { return self.get(reference, which, path) };
        let root = absolute(base, relative);
        self.read(&Place { original: reference, resolved: reference, locked: reference, root: &root, input_path: path })
    }

    /// Writes the new lock file, or says why not.
    fn keep(
        &mut self,
        top: &FlakeRef,
        flake: &mut Flake,
        old: &LockFile,
        new: &LockFile,
        flags: &LockFlags,
    ) -> Result<(), Error> {
        let diff = LockFile::diff(old, new);
        let diff = diff.trim_end_matches('\n');
        if !flags.write {
            self.warn(format!("not writing modified lock file of flake '{top}':\n{diff}"));
            flake.force_dirty = true;
            return Ok(());
        }
        let source = source_path(self.shared, &top.input).map_err(|error| Error::eval(error.to_string()))?;
        if source.is_none() && flags.output_file.is_none() {
            return Err(Error::eval(format!(
                "cannot write modified lock file of flake '{top}' (use '--no-write-lock-file' to ignore)"
            )));
        }
        let config = &self.shared.config.flakes;
        if let Some(unlocked) = new.unlocked(config.allow_dirty_locks).map_err(refused)? {
            if flags.fail_on_unlocked {
                return Err(Error::eval(format!(
                    "Not writing lock file of flake '{top}' because it has an unlocked input ('{unlocked}'). Use \
                     '--allow-dirty-locks' to allow this anyway."
                )));
            }
            if config.warn_dirty {
                self.warn(format!(
                    "not writing lock file of flake '{top}' because it has an unlocked input ('{unlocked}')"
                ));
            }
            return Ok(());
        }
        if !flags.may_change {
            return Err(Error::eval(format!(
                "flake '{top}' requires lock file changes but they're not allowed due to '--no-update-lock-file'"
            )));
        }
        let text = format!("{new}\n");
        if let Some(path) = &flags.output_file {
            if flags.commit {
                return Err(Error::eval("'--commit-lock-file' and '--output-lock-file' are incompatible"));
            }
            let path = self.shared.config.working_dir.join(path);
            return nopal_fs::replace(&path, text.as_bytes()).map_err(|error| Error::eval(error.to_string()));
        }
        self.write_lock_file(top, &source.unwrap_or_default(), &text, diff, flags)
    }

    fn write_lock_file(
        &mut self,
        top: &FlakeRef,
        source: &Path,
        text: &str,
        diff: &str,
        flags: &LockFlags,
    ) -> Result<(), Error> {
        let relative =
            if top.subdir.is_empty() { "flake.lock".to_owned() } else { format!("{}/flake.lock", top.subdir) };
        let path = source.join(&relative);
        let exists = nopal_fs::exists(&path);
        let shown = path.display();
        self.warn(match (exists, diff.is_empty()) {
            (true, true) => format!("updating lock file \"{shown}\""),
            (true, false) => format!("updating lock file \"{shown}\":\n{diff}"),
            // the space at the end is Nix's
            (false, _) => format!("creating lock file \"{shown}\": \n{diff}"),
        });
        let summary = &self.shared.config.flakes.commit_summary;
        let message = flags.commit.then(|| {
            let verb = if exists { "Update" } else { "Add" };
            let summary = if summary.is_empty() { format!("{relative}: {verb}") } else { summary.clone() };
            let end = if diff.is_empty() { "" } else { "\n" };
            format!("{summary}\n\nFlake lock file updates:\n\n{diff}{end}")
        });
        put_file(self.shared, &top.input, &relative, text.as_bytes(), message.as_deref())
            .map_err(|error| Error::eval(error.to_string()))
    }
}

/// An input that the lock file at hand does not have.
struct NewInput<'a> {
    name: &'a str,
    path: &'a [String],
    reference: FlakeRef,
    /// What the lock file says that the flake has: with a flag, what it had without.
    original: FlakeRef,
    /// The directory that a relative path starts from.
    base: String,
    parent: Option<InputPath>,
    is_plain: bool,
    by_flag: bool,
}

/// Notes what an input says of its own inputs. What was said further out stays.
fn add_overrides(locking: &mut Locking, input: &FlakeInput, prefix: &[String], level: &Level<'_>) {
    for (name, inner) in &input.overrides {
        let path = [prefix, std::slice::from_ref(name)].concat();
        if inner.reference.is_some() || inner.follows.is_some() {
            locking.overrides.entry(path.clone()).or_insert_with(|| Override {
                input: inner.clone(),
                dir: level.dir.to_owned(),
                parent: Some(level.path.to_vec()),
            });
        }
        add_overrides(locking, inner, &path, level);
    }
}
