//! Lock files: which input of a flake is which tree. Versions 5 to 7 are read, version 7 is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::input::{FINAL, attrs_from_json, attrs_to_json};
use super::reference::{FlakeRef, is_id};
use super::{Attr, FlakeError, Warn};
use crate::json::Json;

/// Where an input stands: its name below the name of the flake that has it, and so on from the root.
pub type InputPath = Vec<String>;

/// A node of a [`LockFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// What an input leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edge {
    /// A node of its own.
    Node(NodeId),
    /// The same as another input, named from the root.
    Follows(InputPath),
}

/// What is known of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedNode {
    /// The reference with all that fetching found out.
    pub locked: FlakeRef,
    /// The reference as the flake has it.
    pub original: FlakeRef,
    /// Whether it is a flake, or only a tree.
    pub is_flake: bool,
    /// What the path of a relative input is relative to.
    pub parent: Option<InputPath>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    inputs: BTreeMap<String, Edge>,
    locked: Option<LockedNode>,
}

/// A lock file: a graph of nodes with a root.
#[derive(Debug, Clone)]
pub struct LockFile {
    nodes: Vec<Node>,
}

impl Default for LockFile {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

/// Reads `a/b/c`.
///
/// # Errors
/// A part is no name of an input.
pub fn parse_input_path(text: &str) -> Result<InputPath, FlakeError> {
    let parts = text.split('/').filter(|part| !part.is_empty());
    let part = |part: &str| match is_id(part) {
        true => Ok(part.to_owned()),
        false => Err(FlakeError::invalid(format!("invalid flake input attribute path element '{part}'"))),
    };
    parts.map(part).collect()
}

/// An input's path as messages have it.
pub fn show_input_path(path: &[String]) -> String {
    path.join("/")
}

/// Reading: names of nodes and where they went.
struct Reader<'a> {
    nodes: &'a BTreeMap<String, Json>,
    known: BTreeMap<String, NodeId>,
    file: LockFile,
}

impl LockFile {
    /// The root: the flake whose lock file it is.
    pub const ROOT: NodeId = NodeId(0);

    /// Reads a lock file. `shown_path` is for messages.
    ///
    /// # Errors
    /// No JSON, another version, or references that are not there.
    pub fn parse(text: &str, shown_path: &str, warn: Warn<'_>) -> Result<Self, FlakeError> {
        let json = Json::parse(text)
            .map_err(|error| FlakeError::invalid(format!("Could not parse '{shown_path}': {error}")))?;
        let version = json.get("version").and_then(|version| version.as_u64("version").ok()).unwrap_or(0);
        if !(5..=7).contains(&version) {
            return Err(FlakeError::invalid(format!("lock file '{shown_path}' has unsupported version {version}")));
        }
        let malformed =
            |error: crate::json::JsonError| FlakeError::invalid(format!("lock file '{shown_path}': {error}"));
        let root = json.key("root").and_then(|root| root.as_str("root")).map_err(malformed)?;
        let nodes = json.key("nodes").and_then(|nodes| nodes.as_object("nodes")).map_err(malformed)?;
        let known = BTreeMap::from([(root.to_owned(), Self::ROOT)]);
        let mut reader = Reader { nodes, known, file: Self::default() };
        if let Some(json) = nodes.get(root) {
            reader.inputs(Self::ROOT, json, warn)?;
        }
        Ok(reader.file)
    }

    /// The inputs of a node.
    pub fn inputs(&self, node: NodeId) -> &BTreeMap<String, Edge> {
        &self.nodes[node.0].inputs
    }

    /// What is known of a node; `None` for the root.
    pub fn locked(&self, node: NodeId) -> Option<&LockedNode> {
        self.nodes[node.0].locked.as_ref()
    }

    /// Makes a node that no input leads to yet.
    pub fn add(&mut self, locked: LockedNode) -> NodeId {
        self.nodes.push(Node { inputs: BTreeMap::new(), locked: Some(locked) });
        NodeId(self.nodes.len() - 1)
    }

    /// Lets an input of a node lead somewhere.
    pub fn set_input(&mut self, node: NodeId, name: &str, edge: Edge) {
        self.nodes[node.0].inputs.insert(name.to_owned(), edge);
    }

    /// Where an input's path leads.
    ///
    /// # Errors
    /// Inputs follow each other in a circle.
    pub fn find(&self, path: &[String]) -> Result<Option<NodeId>, FlakeError> {
        self.find_from(path, &mut Vec::new())
    }

    fn find_from(&self, path: &[String], visited: &mut Vec<InputPath>) -> Result<Option<NodeId>, FlakeError> {
        if let Some(start) = visited.iter().position(|seen| seen == path) {
            let cycle = visited[start..].iter().map(|path| show_input_path(path)).chain([show_input_path(path)]);
            let cycle = cycle.collect::<Vec<_>>().join(" -> ");
            return Err(FlakeError::invalid(format!("follow cycle detected: [{cycle}]")));
        }
        visited.push(path.to_vec());
        let mut at = Self::ROOT;
        for name in path {
            at = match self.inputs(at).get(name) {
                None => return Ok(None),
                Some(Edge::Node(node)) => *node,
                Some(Edge::Follows(path)) => match self.find_from(path, visited)? {
                    Some(node) => node,
                    None => return Ok(None),
                },
            };
        }
        Ok(Some(at))
    }

    /// All inputs by their paths; those below a node that is reached twice, once.
    pub fn all_inputs(&self) -> BTreeMap<InputPath, &Edge> {
        let mut found = BTreeMap::new();
        self.collect(&[], Self::ROOT, &mut BTreeSet::new(), &mut found);
        found
    }

    fn collect<'a>(
        &'a self,
        prefix: &[String],
        node: NodeId,
        done: &mut BTreeSet<NodeId>,
        found: &mut BTreeMap<InputPath, &'a Edge>,
    ) {
        if !done.insert(node) {
            return;
        }
        for (name, edge) in self.inputs(node) {
            let path = [prefix, std::slice::from_ref(name)].concat();
            found.insert(path.clone(), edge);
            if let Edge::Node(child) = edge {
                self.collect(&path, *child, done, found);
            }
        }
    }

    /// Checks that inputs follow something that there is.
    ///
    /// # Errors
    /// One does not.
    pub fn check(&self) -> Result<(), FlakeError> {
        for (path, edge) in self.all_inputs() {
            if let Edge::Follows(target) = edge
                && !target.is_empty()
                && self.find(target)?.is_none()
            {
                return Err(FlakeError::invalid(format!(
                    "input '{}' follows a non-existent input '{}'",
                    show_input_path(&path),
                    show_input_path(target)
                )));
            }
        }
        Ok(())
    }

    /// An input that does not always mean the same tree, if there is one. With `allow_dirty` a hash of the tree
    /// suffices.
    ///
    /// # Errors
    /// An attribute is malformed.
    pub fn unlocked(&self, allow_dirty: bool) -> Result<Option<&FlakeRef>, FlakeError> {
        let reachable = self.all_inputs();
        for edge in reachable.values() {
            let Edge::Node(node) = edge else { continue };
            let Some(locked) = self.locked(*node) else { continue };
            let input = &locked.locked.input;
            let is_locked = input.is_locked()? || (allow_dirty && input.nar_hash()?.is_some());
            if (!is_locked || !input.is_final()) && input.relative_path().is_none() {
                return Ok(Some(&locked.locked));
            }
        }
        Ok(None)
    }

    /// The lock file as JSON, and how it calls each node.
    pub fn to_json(&self) -> (Json, BTreeMap<NodeId, String>) {
        let mut writer = Writer { file: self, names: BTreeMap::new(), taken: BTreeSet::new(), nodes: BTreeMap::new() };
        let root = writer.node("root", Self::ROOT);
        let json = Json::object([
            ("version", Json::from(7)),
            ("root", Json::from(root)),
            ("nodes", Json::Object(writer.nodes)),
        ]);
        (json, writer.names)
    }

    /// What has changed, in words, a line for each thing; inputs begin with bullets.
    pub fn diff(old: &Self, new: &Self) -> String {
        let (before, after) = (old.all_inputs(), new.all_inputs());
        let paths: BTreeSet<&InputPath> = before.keys().chain(after.keys()).collect();
        let mut out = String::new();
        for path in paths {
            let name = show_input_path(path);
            match (before.get(path), after.get(path)) {
                (None, Some(now)) => out += &format!("• Added input '{name}':\n    {}\n", new.shown(now)),
                (Some(_), None) => out += &format!("• Removed input '{name}'\n"),
                (Some(was), Some(now)) if !old.same(was, new, now) => {
                    out += &format!("• Updated input '{name}':\n    {}\n  → {}\n", old.shown(was), new.shown(now));
                }
                _ => {}
            }
        }
        out
    }

    fn same(&self, was: &Edge, other: &Self, now: &Edge) -> bool {
        match (was, now) {
            (Edge::Node(was), Edge::Node(now)) => {
                self.locked(*was).map(|node| &node.locked) == other.locked(*now).map(|node| &node.locked)
            }
            (Edge::Follows(was), Edge::Follows(now)) => was == now,
            _ => false,
        }
    }

    fn shown(&self, edge: &Edge) -> String {
        match edge {
            Edge::Follows(path) => format!("follows '{}'", show_input_path(path)),
            Edge::Node(node) => self.locked(*node).map(|node| describe(&node.locked)).unwrap_or_default(),
        }
    }
}

impl PartialEq for LockFile {
    fn eq(&self, other: &Self) -> bool {
        self.to_json().0 == other.to_json().0
    }
}

impl fmt::Display for LockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json().0.to_pretty())
    }
}

/// A locked reference with the day of its tree.
fn describe(reference: &FlakeRef) -> String {
    match reference.input.int("lastModified") {
        Ok(Some(seconds)) => format!("'{reference}' ({})", day(seconds)),
        _ => format!("'{reference}'"),
    }
}

/// Seconds since 1970 as `YYYY-MM-DD` (the civil calendar, in UTC).
pub fn day(seconds: u64) -> String {
    // Howard Hinnant's `civil_from_days`: years begin in March, eras have 400 years
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

impl Reader<'_> {
    fn inputs(&mut self, node: NodeId, json: &Json, warn: Warn<'_>) -> Result<(), FlakeError> {
        let Some(inputs) = json.get("inputs") else { return Ok(()) };
        let malformed = |error: crate::json::JsonError| FlakeError::invalid(error.to_string());
        for (name, value) in inputs.as_object("inputs").map_err(malformed)? {
            let edge = match value {
                Json::Array(path) => {
                    let part = |part: &Json| part.as_str("follows").map(str::to_owned).map_err(malformed);
                    Edge::Follows(path.iter().map(part).collect::<Result<_, _>>()?)
                }
                other => Edge::Node(self.node(other.as_str(name).map_err(malformed)?, warn)?),
            };
            self.file.set_input(node, name, edge);
        }
        Ok(())
    }

    fn node(&mut self, key: &str, warn: Warn<'_>) -> Result<NodeId, FlakeError> {
        match self.known.get(key) {
            Some(&LockFile::ROOT) => return Err(FlakeError::invalid("lock file contains cycle to root node")),
            Some(known) => return Ok(*known),
            None => {}
        }
        let missing = || FlakeError::invalid(format!("lock file references missing node '{key}'"));
        let json = self.nodes.get(key).ok_or_else(missing)?;
        let id = self.file.add(self.locked(json, warn)?);
        self.known.insert(key.to_owned(), id);
        self.inputs(id, json, warn)?;
        Ok(id)
    }

    fn locked(&self, json: &Json, warn: Warn<'_>) -> Result<LockedNode, FlakeError> {
        let reference = |key: &'static str, more: &str, warn: Warn<'_>| {
            let missing = || FlakeError::invalid(format!("attribute '{key}' missing in lock file"));
            let mut attrs = attrs_from_json(json.get(key).ok_or_else(missing)?)?;
            // version 5 has the results of fetching beside the reference
            if let Some(more) = json.get(more) {
                attrs.extend(attrs_from_json(more)?);
            }
            FlakeRef::from_attrs(attrs, warn)
        };
        let mut locked = reference("locked", "info", warn)?;
        let original = reference("original", "", warn)?;
        let is_flake = json.get("flake").is_none_or(|flag| *flag != Json::Bool(false));
        let malformed = |error: crate::json::JsonError| FlakeError::invalid(error.to_string());
        let parent = match json.get("parent") {
            None => None,
            Some(path) => {
                let part = |part: &Json| part.as_str("parent").map(str::to_owned).map_err(malformed);
                let path = path.as_array("parent").map_err(malformed)?;
                Some(path.iter().map(part).collect::<Result<_, _>>()?)
            }
        };
        let input = &locked.input;
        if !input.is_locked()? && input.relative_path().is_none() {
            if input.nar_hash()?.is_none() {
                return Err(FlakeError::invalid(format!(
                    "Lock file contains unlocked input '{}'. Use '--allow-dirty-locks' to accept this lock file.",
                    attrs_to_json(input.attrs()).to_compact()
                )));
            }
            warn(format!(
                "Lock file entry '{locked}' is unlocked (e.g. lacks a Git revision) but is checked by NAR hash. This is \
                 not reproducible and will break after garbage collection or when shared."
            ));
        }
        // what stands in a lock file is complete
        locked.input.set(FINAL, Attr::Bool(true));
        Ok(LockedNode { locked, original, is_flake, parent })
    }
}

/// Writing: names for nodes, in the order in which they are met.
struct Writer<'a> {
    file: &'a LockFile,
    names: BTreeMap<NodeId, String>,
    taken: BTreeSet<String>,
    nodes: BTreeMap<String, Json>,
}

impl Writer<'_> {
    fn node(&mut self, wanted: &str, node: NodeId) -> String {
        if let Some(known) = self.names.get(&node) {
            return known.clone();
        }
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        self.names.insert(node, name.clone());
        let mut json = BTreeMap::new();
        let inputs = self.file.inputs(node);
        if !inputs.is_empty() {
            let edge = |(key, edge): (&String, &Edge)| {
                let value = match edge {
                    Edge::Node(child) => Json::from(self.node(key, *child)),
                    Edge::Follows(path) => path.iter().map(String::as_str).collect(),
                };
                (key.clone(), value)
            };
            json.insert("inputs".to_owned(), Json::Object(inputs.iter().map(edge).collect()));
        }
        if let Some(known) = self.file.locked(node) {
            let mut locked = known.locked.to_attrs();
            locked.remove(FINAL);
            json.insert("locked".to_owned(), attrs_to_json(&locked));
            json.insert("original".to_owned(), attrs_to_json(&known.original.to_attrs()));
            if !known.is_flake {
                json.insert("flake".to_owned(), Json::from(false));
            }
            if let Some(parent) = &known.parent {
                json.insert("parent".to_owned(), parent.iter().map(String::as_str).collect());
            }
        }
        self.nodes.insert(name.clone(), Json::Object(json));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "nodes": {
    "a": {
      "inputs": {
        "b": [
          "b"
        ]
      },
      "locked": {
        "dir": "x",
        "lastModified": 1700000000,
        "narHash": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "path": "/a",
        "type": "path"
      },
      "original": {
        "dir": "x",
        "path": "/a",
        "type": "path"
      }
    },
    "b": {
      "flake": false,
      "locked": {
        "path": "./b",
        "type": "path"
      },
      "original": {
        "path": "./b",
        "type": "path"
      },
      "parent": []
    },
    "root": {
      "inputs": {
        "a": "a",
        "b": "b"
      }
    }
  },
  "root": "root",
  "version": 7
}"#;

    #[test]
    fn reads_what_it_writes() {
        let file = LockFile::parse(TEXT, "flake.lock", &mut |text| panic!("{text}")).unwrap();
        assert_eq!(file.to_string(), TEXT);
        assert!(file.check().is_ok());
        assert_eq!(file.unlocked(false), Ok(None));
        let b = file.find(&["a".to_owned(), "b".to_owned()]).unwrap().unwrap();
        assert_eq!(file.locked(b).unwrap().original.to_text().unwrap(), "path:./b");
    }

    #[test]
    fn tells_changes() {
        let file = LockFile::parse(TEXT, "flake.lock", &mut |_| {}).unwrap();
        let added = LockFile::diff(&LockFile::default(), &file);
        assert_eq!(
            added,
            "• Added input 'a':\n    'path:/a?dir=x&lastModified=1700000000&narHash=sha256-\
             47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D' (2023-11-14)\n• Added input 'a/b':\n    follows 'b'\n\
             • Added input 'b':\n    'path:./b'\n"
        );
    }

    #[test]
    fn refuses() {
        let error = |text: &str| LockFile::parse(text, "x", &mut |_| {}).map(drop).unwrap_err().to_string();
        assert_eq!(error(r#"{"version":4}"#), "lock file 'x' has unsupported version 4");
        assert_eq!(
            error(r#"{"version":7,"root":"root","nodes":{"root":{"inputs":{"a":"a"}}}}"#),
            "lock file references missing node 'a'"
        );
        let cycle = r#"{"version":7,"root":"root","nodes":{"root":{"inputs":{"a":["b"],"b":["a"]}}}}"#;
        let file = LockFile::parse(cycle, "x", &mut |_| {}).unwrap();
        assert_eq!(file.check().unwrap_err().to_string(), "follow cycle detected: [b -> a -> b]");
    }
}
