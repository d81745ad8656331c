//! The graph of what is to be built.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use nopal_format::derivation::{DerivationKind, DrvHashes};
use nopal_format::{BuiltPath, Derivation, SingleDerivedPath, StorePath};
use nopal_store::Store;

use super::{
    OutputsWanted, RealiseError, Realised, Wanted, check_features, derivation_error, machine, read_derivation,
};
use crate::config::{BuildConfig, BuildMode};
use crate::error::BuildError;

/// One derivation.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) drv_path: StorePath,
    pub(super) derivation: Arc<Derivation>,
    kind: DerivationKind,
    /// Paths of its outputs, as far as they are known.
    pub(super) outputs: BTreeMap<String, Option<StorePath>>,
    /// Outputs that somebody wants.
    pub(super) wanted: BTreeSet<String>,
    /// Whether it has to be built.
    pub(super) build: bool,
    /// Whether it is to be built again and compared.
    pub(super) check: bool,
    /// Nodes that it needs and that have to be built.
    pub(super) needs: BTreeSet<usize>,
}

/// All derivations that were looked at.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    by_path: HashMap<StorePath, usize>,
    hashes: DrvHashes,
}

/// Outputs of a derivation that somebody wants, and who.
struct Request {
    drv_path: StorePath,
    outputs: OutputsWanted,
    check: bool,
    by: Option<usize>,
}

impl Graph {
    /// Looks at everything from what is wanted down to what is valid.
    pub(super) fn load(store: &Store, config: &BuildConfig, wanted: &[Wanted]) -> Result<Self, RealiseError> {
        let check = matches!(config.mode, BuildMode::Check { .. } | BuildMode::Repair);
        let mut graph = Self::default();
        let requests: Vec<Request> = wanted
            .iter()
            .map(|wanted| Request {
                drv_path: wanted.drv_path.clone(),
                outputs: wanted.outputs.clone(),
                check,
                by: None,
            })
            .collect();
        graph.add(store, config, requests)?;
        Ok(graph)
    }

    fn add(&mut self, store: &Store, config: &BuildConfig, mut requests: Vec<Request>) -> Result<(), RealiseError> {
        // level by level, so that the store is asked about many paths at once
        while !requests.is_empty() {
            let touched = self.take(store, config, std::mem::take(&mut requests))?;
            requests = self.expand(store, config, &touched)?;
        }
        Ok(())
    }

    /// Adds what a node needs of derivations that have been built meanwhile.
    pub(super) fn grow(&mut self, store: &Store, config: &BuildConfig, index: usize) -> Result<(), RealiseError> {
        let requests = self.inputs_of(index);
        self.add(store, config, requests)
    }

    /// The store path that a deriving path has, if it is known.
    fn path_of(&self, path: &SingleDerivedPath) -> Option<StorePath> {
        match path {
            SingleDerivedPath::Opaque(path) => Some(path.clone()),
            SingleDerivedPath::Built(built) => self.output_of(built),
        }
    }

    fn output_of(&self, built: &BuiltPath) -> Option<StorePath> {
        let node = self.nodes.get(*self.by_path.get(&self.path_of(&built.drv)?)?)?;
        node.outputs.get(built.output.as_str())?.clone()
    }

    /// The paths of all inputs of a node that are outputs of derivations; the inner error is one that is not known.
    pub(super) fn resolved_inputs(&self, node: &Node) -> Result<Vec<(BuiltPath, StorePath)>, BuiltPath> {
        let find = |built: BuiltPath| match self.output_of(&built) {
            Some(path) => Ok((built, path)),
            None => Err(built),
        };
        node.derivation.inputs().into_iter().map(find).collect()
    }

    /// What a node needs of derivations whose paths are known.
    fn inputs_of(&self, index: usize) -> Vec<Request> {
        let Some(node) = self.nodes.get(index) else { return Vec::new() };
        let mut wanted: BTreeMap<StorePath, BTreeSet<String>> = BTreeMap::new();
        for input in node.derivation.inputs() {
            // what makes a derivation is needed before what that derivation makes
            let mut at = &input;
            loop {
                if let Some(drv_path) = self.path_of(&at.drv) {
                    wanted.entry(drv_path).or_default().insert(at.output.to_string());
                }
                match &at.drv {
                    SingleDerivedPath::Built(inner) => at = inner,
                    SingleDerivedPath::Opaque(_) => break,
                }
            }
        }
        let request = |(drv_path, names)| Request {
            drv_path,
            outputs: OutputsWanted::Names(names),
            check: false,
            by: Some(index),
        };
        wanted.into_iter().map(request).collect()
    }

    /// Adds requests to nodes; returns nodes from which more is wanted than before.
    fn take(
        &mut self,
        store: &Store,
        config: &BuildConfig,
        requests: Vec<Request>,
    ) -> Result<BTreeSet<usize>, RealiseError> {
        let new: BTreeSet<StorePath> = requests
            .iter()
            .filter(|request| !self.by_path.contains_key(&request.drv_path))
            .map(|request| request.drv_path.clone())
            .collect();
        self.read(store, config, &new)?;
        let mut touched = BTreeSet::new();
        for request in requests {
            let Some(&index) = self.by_path.get(&request.drv_path) else { continue };
            let Some(node) = self.nodes.get_mut(index) else { continue };
            let before = (node.wanted.len(), node.check);
            match request.outputs {
                OutputsWanted::All => node.wanted.extend(node.outputs.keys().cloned()),
                OutputsWanted::Names(names) => {
                    if let Some(output) = names.iter().find(|name| !node.outputs.contains_key(*name)) {
                        let drv_path = store.print(&node.drv_path);
                        return Err(RealiseError::NoSuchOutput { drv_path, output: output.clone() });
                    }
                    node.wanted.extend(names);
                }
            }
            node.check |= request.check;
            if before != (node.wanted.len(), node.check) {
                touched.insert(index);
            }
            let is_impure = node.kind == DerivationKind::Impure;
            if let Some(by) = request.by.and_then(|by| self.nodes.get_mut(by)) {
                by.needs.insert(index);
                if is_impure && !matches!(by.kind, DerivationKind::Impure | DerivationKind::Fixed) {
                    let text = format!(
                        "pure derivation '{}' depends on impure derivation '{}'",
                        store.print(&by.drv_path),
                        store.print(&request.drv_path)
                    );
                    return Err(RealiseError::Machine(BuildError::Derivation { text }));
                }
            }
        }
        Ok(touched)
    }

    fn read(
        &mut self,
        store: &Store,
        config: &BuildConfig,
        drv_paths: &BTreeSet<StorePath>,
    ) -> Result<(), RealiseError> {
        let paths: Vec<StorePath> = drv_paths.iter().cloned().collect();
        store.add_temp_roots(&paths)?;
        store.derivations().add_temp_roots(&paths)?;
        let mut valid = store.valid_of(&paths)?;
        valid.extend(store.derivations().valid_of(&paths)?);
        for drv_path in paths {
            if !valid.contains(&drv_path) {
                let reason = "it is not valid in this store".to_owned();
                return Err(RealiseError::ReadDerivation { drv_path: store.print(&drv_path), reason });
            }
            let derivation = read_derivation(store, &drv_path)?;
            check_features(config, &derivation)?;
            let kind = derivation.kind().map_err(|error| derivation_error(store, &drv_path, error))?;
            let outputs = match kind {
                // what it made before counts for nothing
                DerivationKind::Impure => derivation.outputs.keys().map(|name| (name.clone(), None)).collect(),
                _ => store.known_outputs(&derivation, &mut self.hashes)?,
            };
            self.by_path.insert(drv_path.clone(), self.nodes.len());
            self.nodes.push(Node {
                drv_path,
                derivation: Arc::new(derivation),
                kind,
                outputs,
                wanted: BTreeSet::new(),
                build: false,
                check: false,
                needs: BTreeSet::new(),
            });
        }
        Ok(())
    }

    /// Finds out which nodes must be built; returns what those need.
    fn expand(
        &mut self,
        store: &Store,
        config: &BuildConfig,
        touched: &BTreeSet<usize>,
    ) -> Result<Vec<Request>, RealiseError> {
        let open = || {
            touched.iter().filter_map(|&index| Some((index, self.nodes.get(index)?))).filter(|(_, node)| !node.build)
        };
        // all outputs: what is not wanted now may be built along, and must then be known to be valid
        let paths: Vec<StorePath> = open().flat_map(|(_, node)| node.outputs.values().flatten().cloned()).collect();
        store.add_temp_roots(&paths)?;
        let valid = store.valid_of(&paths).map_err(machine)?;
        let is_valid = |node: &Node| {
            let presumed = config.presumed.get(&node.drv_path);
            node.wanted.iter().all(|name| {
                let path = node.outputs.get(name).and_then(Option::as_ref);
                path.is_some_and(|path| valid.contains(path)) || presumed.is_some_and(|names| names.contains(name))
            })
        };
        let build: Vec<usize> =
            open().filter(|(_, node)| node.check || !is_valid(node)).map(|(index, _)| index).collect();
        let mut requests = Vec::new();
        for index in build {
            if let Some(node) = self.nodes.get_mut(index) {
                node.build = true;
                requests.extend(self.inputs_of(index));
            }
        }
        Ok(requests)
    }

    /// Whether everything wanted is valid.
    pub(super) fn nothing_to_do(&self) -> bool {
        !self.nodes.iter().any(|node| node.build)
    }

    /// The nodes that a node waits for.
    pub(super) fn needs<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = usize> + 'a {
        node.needs.iter().copied().filter(|&need| self.nodes.get(need).is_some_and(|node| node.build))
    }

    /// Derivations to build, each after those it needs.
    pub(super) fn order(&self) -> Result<Vec<StorePath>, RealiseError> {
        let mut left: Vec<usize> = self.nodes.iter().map(|node| self.needs(node).count()).collect();
        let mut ready: Vec<usize> = (0..self.nodes.len()).rev().filter(|&index| left.get(index) == Some(&0)).collect();
        let mut needed_by = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for need in self.needs(node) {
                if let Some(list) = needed_by.get_mut(need) {
                    list.push(index);
                }
            }
        }
        let mut order = Vec::new();
        while let Some(index) = ready.pop() {
            if let Some(node) = self.nodes.get(index).filter(|node| node.build) {
                order.push(node.drv_path.clone());
            }
            for &by in needed_by.get(index).into_iter().flatten() {
                if let Some(count) = left.get_mut(by) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(by);
                    }
                }
            }
        }
        match left.iter().position(|count| *count > 0).and_then(|index| self.nodes.get(index)) {
            Some(node) => Err(RealiseError::Cycle { drv_path: node.drv_path.to_string() }),
            None => Ok(order),
        }
    }

    /// What is told of something wanted.
    pub(super) fn realised(&self, wanted: &Wanted, built: &BTreeSet<usize>) -> Option<Realised> {
        let &index = self.by_path.get(&wanted.drv_path)?;
        let node = self.nodes.get(index)?;
        let is_wanted = |name: &String| match &wanted.outputs {
            OutputsWanted::All => true,
            OutputsWanted::Names(names) => names.contains(name),
        };
        Some(Realised {
            drv_path: node.drv_path.clone(),
            outputs: node
                .outputs
                .iter()
                .filter(|(name, _)| is_wanted(name))
                .filter_map(|(name, path)| Some((name.clone(), path.clone()?)))
                .collect(),
            built: built.contains(&index),
        })
    }
}
