//! Collecting garbage, beside additions and builds.
//!
//! What is dead is found once, without holding anybody up. Then it is taken out in batches, referrers first. For each
//! batch the collector holds `roots.lock` alone for some milliseconds: it reads the temporary roots anew, makes those
//! paths invalid that nobody has come to use, durably, and renames their trees. Removing the renamed trees, which takes
//! the time, needs no lock. Killed anywhere, it leaves only litter that the next collection removes: trees that are
//! invalid, or renamed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use nopal_format::StorePath;
use nopal_fs::{LockFile, PathLock};
use nopal_report::{Activity, Level, Running};

use crate::database::{ForeignKeys, Persist};
use crate::error::StoreError;
use crate::optimise::LINKS;
use crate::roots::{Root, RootReason};
use crate::store::Store;
use crate::temp_roots::{self, TEMP_PREFIX};

/// Prefix of trees that wait for removal.
const TRASH_PREFIX: &str = ".gc-";

/// Paths per batch: enough that the sync of the database does not count, few enough that additions wait for
/// milliseconds only.
const BATCH_PATHS: usize = 64;

/// What to collect.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// Which paths may go.
    pub scope: GcScope,
    /// Stop when this much of the disk is free again.
    pub max_freed_bytes: Option<u64>,
    /// Paths to keep with all they refer to, besides the roots.
    pub keep: BTreeSet<StorePath>,
    /// Only tell what would go.
    pub dry_run: bool,
    /// Delete the paths of [`GcScope::Only`] even if roots need them.
    pub ignore_liveness: bool,
    /// Derivations of live paths are alive, if valid.
    pub keep_derivations: bool,
    /// Outputs of live derivations are alive, if valid.
    pub keep_outputs: bool,
}

impl Default for GcOptions {
    /// As Nix: everything dead goes, derivations of live paths stay.
    fn default() -> Self {
        Self {
            scope: GcScope::Dead,
            max_freed_bytes: None,
            keep: BTreeSet::new(),
            dry_run: false,
            ignore_liveness: false,
            keep_derivations: true,
            keep_outputs: false,
        }
    }
}

/// Which paths may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GcScope {
    /// Everything that is not alive, and litter.
    Dead,
    /// These paths only; an error if one of them is alive.
    Only(BTreeSet<StorePath>),
}

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Paths that are not valid any more, in the order of their deletion.
    pub deleted: Vec<StorePath>,
    /// Bytes of disk given back. In a dry run, the sizes of the NARs.
    pub freed_bytes: u64,
    /// Valid paths that stay.
    pub live: usize,
    /// Trees removed that were not valid: left by additions or collections that were killed.
    pub litter: u64,
    /// Names in the store directory that are none of a store's; they are left alone.
    pub unknown: Vec<PathBuf>,
    /// Whether the collection ended because enough was free.
    pub stopped_early: bool,
}

/// What is known of the store when the collection begins.
struct Graph {
    valid: BTreeSet<StorePath>,
    references: HashMap<StorePath, Vec<StorePath>>,
    sizes: HashMap<StorePath, u64>,
    live: HashSet<StorePath>,
}

impl Graph {
    /// Whether `from` refers to `to`, through others perhaps.
    fn leads_to(&self, from: &StorePath, to: &StorePath) -> bool {
        let mut seen = HashSet::new();
        let mut pending = vec![from];
        while let Some(path) = pending.pop() {
            if path == to {
                return true;
            }
            if seen.insert(path) {
                pending.extend(self.references.get(path).into_iter().flatten());
            }
        }
        false
    }
}

impl Store {
    /// Collects garbage. Only one collection runs at a time; another waits.
    pub fn collect_garbage(&self, options: &GcOptions) -> Result<GcReport, StoreError> {
        if !options.dry_run {
            self.writable("collect garbage")?;
        }
        let activity = self.reporter().start(Activity::CollectGarbage);
        let _only_collector =
            if self.config().read_only { None } else { Some(LockFile::open(&self.config().gc_lock())?.exclusive()?) };
        if !options.dry_run {
            self.release_reserve()?;
            let _alone = LockFile::open(&self.config().roots_lock())?.exclusive()?;
            temp_roots::sweep_stale(self.config())?;
        }
        let (roots, stale) = self.all_roots(&options.keep)?;
        let graph = self.graph(&roots, options)?;
        let order = match &options.scope {
            GcScope::Dead => deletion_order(&graph, graph.valid.iter().filter(|path| !graph.live.contains(*path))),
            GcScope::Only(paths) => {
                let roots = if options.ignore_liveness { &[][..] } else { &roots[..] };
                self.check_deletable(paths, roots, &graph, options.ignore_liveness)?;
                deletion_order(&graph, paths.iter().filter(|path| graph.valid.contains(*path)))
            }
        };
        let mut collection = Collection {
            store: self,
            options,
            graph: &graph,
            activity: &activity,
            total: order.len(),
            report: GcReport::default(),
        };
        if options.dry_run {
            collection.report.freed_bytes = order.iter().filter_map(|path| graph.sizes.get(path)).sum();
            collection.report.deleted = order;
        } else {
            collection.delete(&order)?;
            if options.scope == GcScope::Dead && !collection.report.stopped_early {
                collection.remove_litter(stale)?;
                collection.report.freed_bytes += self.remove_unused_links()?;
            }
            self.create_reserve();
        }
        let mut report = collection.report;
        report.live = graph.valid.len() - report.deleted.len();
        activity.succeed();
        Ok(report)
    }

    fn all_roots(&self, keep: &BTreeSet<StorePath>) -> Result<(Vec<Root>, Vec<PathBuf>), StoreError> {
        // temporary roots first: one that becomes permanent meanwhile is seen here or there
        let temporary = nopal_fs::if_exists(temp_roots::read_all(self.config()))?.unwrap_or_default();
        let permanent = self.permanent_roots()?;
        let mut roots = permanent.roots;
        roots.extend(
            temporary.roots.into_iter().map(|(path, owner)| Root { path, reason: RootReason::OpenStore(owner) }),
        );
        roots.extend(self.runtime_roots());
        roots.extend(keep.iter().map(|path| Root { path: path.clone(), reason: RootReason::Kept }));
        Ok((roots, permanent.stale))
    }

    fn graph(&self, roots: &[Root], options: &GcOptions) -> Result<Graph, StoreError> {
        let (infos, references, outputs) = self
            .database()
            .read(|reader| Ok((reader.all_derivers()?, reader.all_references()?, reader.all_derivation_outputs()?)))?;
        let mut extra: HashMap<&StorePath, Vec<&StorePath>> = HashMap::new();
        if options.keep_derivations {
            for (path, _, deriver) in &infos {
                if let Some(deriver) = deriver {
                    extra.entry(path).or_default().push(deriver);
                }
            }
        }
        for (drv, output) in &outputs {
            if options.keep_outputs {
                extra.entry(drv).or_default().push(output);
            }
        }
        let valid: BTreeSet<StorePath> = infos.iter().map(|(path, _, _)| path.clone()).collect();
        let mut live = HashSet::new();
        let mut pending: Vec<&StorePath> = roots.iter().map(|root| &root.path).collect();
        while let Some(path) = pending.pop() {
            if !valid.contains(path) || !live.insert(path.clone()) {
                continue;
            }
            pending.extend(references.get(path).into_iter().flatten());
            pending.extend(extra.get(path).into_iter().flatten().copied());
        }
        let sizes = infos.iter().map(|(path, size, _)| (path.clone(), *size)).collect();
        Ok(Graph { valid, references, sizes, live })
    }

    /// Refuses to delete what a root, or a path that stays, needs.
    fn check_deletable(
        &self,
        paths: &BTreeSet<StorePath>,
        roots: &[Root],
        graph: &Graph,
        ignore_liveness: bool,
    ) -> Result<(), StoreError> {
        for path in paths {
            if !graph.valid.contains(path) {
                return Err(self.not_valid(path));
            }
            let mut reasons: Vec<String> = roots
                .iter()
                .filter(|root| root.path == *path)
                .map(|root| format!("it is a root: {}", root.reason))
                .collect();
            for referrer in self.referrers(path)? {
                if referrer != *path && !paths.contains(&referrer) {
                    reasons.push(format!("'{}' refers to it", self.print(&referrer)));
                }
            }
            if reasons.is_empty() && ignore_liveness {
                continue;
            }
            if reasons.is_empty() && graph.live.contains(path) {
                let needed = roots.iter().filter(|root| graph.leads_to(&root.path, path));
                reasons.extend(needed.map(|root| format!("the root {} needs it", root.reason)));
            }
            if reasons.is_empty() && graph.live.contains(path) {
                reasons.push("it is the derivation or an output of a live path".to_owned());
            }
            if !reasons.is_empty() {
                return Err(StoreError::InUse { path: self.print(path), reasons });
            }
        }
        Ok(())
    }
}

/// Paths so that each comes before those it refers to.
fn deletion_order<'a>(graph: &'a Graph, paths: impl Iterator<Item = &'a StorePath>) -> Vec<StorePath> {
    let wanted: BTreeSet<&StorePath> = paths.collect();
    let mut seen: HashSet<&StorePath> = HashSet::new();
    let mut order = Vec::with_capacity(wanted.len());
    for start in &wanted {
        if !seen.insert(start) {
            continue;
        }
        let edges = |path: &StorePath| graph.references.get(path).map_or([].iter(), |references| references.iter());
        let mut stack = vec![(*start, edges(start))];
        while let Some((path, next)) = stack.last_mut() {
            match next.next() {
                Some(child) if wanted.contains(child) && seen.insert(child) => stack.push((child, edges(child))),
                Some(_) => {}
                None => {
                    order.push((*path).clone());
                    stack.pop();
                }
            }
        }
    }
    order.reverse();
    order
}

struct Collection<'a> {
    store: &'a Store,
    options: &'a GcOptions,
    graph: &'a Graph,
    activity: &'a Running,
    total: usize,
    report: GcReport,
}

impl Collection<'_> {
    fn delete(&mut self, order: &[StorePath]) -> Result<(), StoreError> {
        let mut rest = order;
        while !rest.is_empty() && !self.enough() {
            let (batch, later) = rest.split_at(self.batch_length(rest));
            rest = later;
            let trash = self.take_out(batch)?;
            self.remove(trash)?;
            self.activity.progress((order.len() - rest.len()) as u64, Some(self.total as u64));
        }
        self.report.stopped_early = !rest.is_empty();
        Ok(())
    }

    fn enough(&self) -> bool {
        self.options.max_freed_bytes.is_some_and(|limit| self.report.freed_bytes >= limit)
    }

    /// As many paths as fit a batch without going far beyond what is to be freed.
    fn batch_length(&self, rest: &[StorePath]) -> usize {
        let Some(limit) = self.options.max_freed_bytes else { return rest.len().min(BATCH_PATHS) };
        let mut missing = limit.saturating_sub(self.report.freed_bytes);
        let mut length = 0;
        for path in rest.iter().take(BATCH_PATHS) {
            length += 1;
            let size = self.graph.sizes.get(path).copied().unwrap_or_default();
            missing = missing.saturating_sub(size);
            if missing == 0 {
                break;
            }
        }
        length
    }

    /// Makes a batch invalid and renames its trees, those excepted that have come into use.
    fn take_out(&mut self, batch: &[StorePath]) -> Result<Vec<PathBuf>, StoreError> {
        let config = self.store.config();
        let _alone = LockFile::open(&config.roots_lock())?.exclusive()?;
        let used: HashSet<StorePath> = temp_roots::read_all(config)?.roots.into_iter().map(|(path, _)| path).collect();
        let gone = self.store.database().write(Persist::Now, ForeignKeys::Checked, |writer| {
            let mut gone = Vec::with_capacity(batch.len());
            for path in batch {
                if !used.contains(path) && writer.invalidate(path)? {
                    gone.push(path.clone());
                }
            }
            Ok(gone)
        })?;
        let mut trash = Vec::with_capacity(gone.len());
        for path in &gone {
            trash.extend(self.rename_to_trash(&self.store.physical_path(path))?);
        }
        self.report.deleted.extend(gone);
        Ok(trash)
    }

    fn rename_to_trash(&self, tree: &std::path::Path) -> Result<Option<PathBuf>, StoreError> {
        let trash = self.store.physical_dir().join(nopal_fs::temp::unique_name(TRASH_PREFIX.trim_end_matches('-')));
        Ok(nopal_fs::if_exists(nopal_fs::rename(tree, &trash))?.map(|()| trash))
    }

    fn remove(&mut self, trash: Vec<PathBuf>) -> Result<(), StoreError> {
        for tree in trash {
            self.report.freed_bytes += nopal_fs::remove_tree_if_exists(&tree)?.bytes;
        }
        Ok(())
    }

    /// Removes what killed processes have left.
    fn remove_litter(&mut self, stale_roots: Vec<PathBuf>) -> Result<(), StoreError> {
        let config = self.store.config();
        let names = nopal_fs::read_dir_names(&config.physical_dir)?;
        let mut trash = Vec::new();
        {
            let _alone = LockFile::open(&config.roots_lock())?.exclusive()?;
            let view = temp_roots::read_all(config)?;
            let used: HashSet<StorePath> = view.roots.into_iter().map(|(path, _)| path).collect();
            let mut suspects = Vec::new();
            for name in names {
                let tree = config.physical_dir.join(&name);
                let name = name.to_string_lossy();
                if name.starts_with(TRASH_PREFIX) {
                    trash.push(tree);
                } else if let Some(rest) = name.strip_prefix(TEMP_PREFIX) {
                    let owner = rest.rsplit_once('-').map_or(rest, |(owner, _)| owner);
                    if !view.owners.contains(owner) {
                        trash.extend(self.rename_to_trash(&tree)?);
                    }
                } else if let Ok(path) = StorePath::from_base_name(&name) {
                    if !used.contains(&path) {
                        suspects.push((path, tree));
                    }
                } else if name != LINKS {
                    self.report.unknown.push(tree);
                }
            }
            let valid = self.store.valid_of(suspects.iter().map(|(path, _)| path))?;
            for (path, tree) in suspects {
                if !valid.contains(&path) {
                    trash.extend(self.rename_to_trash(&tree)?);
                }
            }
        }
        self.report.litter = trash.len() as u64;
        self.remove(trash)?;
        for lock in nopal_fs::read_dir_names(&config.locks_dir())? {
            // taken and let go, a lock file that nobody holds is removed
            drop(PathLock::try_acquire(&config.locks_dir().join(lock))?);
        }
        for link in stale_roots {
            if link.starts_with(config.indirect_roots_dir()) {
                let text = format!("removing the stale root '{}'", link.display());
                self.store.reporter().message(Level::Info, text);
                nopal_fs::remove_file_if_exists(&link)?;
            }
        }
        Ok(())
    }
}
