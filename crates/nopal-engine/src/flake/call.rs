//! From a locked flake to its value: the flakes of the lock file are put together by an expression, lazily.

use nopal_eval::host::Fetched;
use nopal_eval::value::AttrsBuilder;
use nopal_eval::{Error, Pos, Value};
use nopal_format::flake::input::FINAL;
use nopal_format::flake::{Attr, Edge, LockFile, NodeId};

use super::{Flakes, Locked, refused};

/// Takes the nodes, the name of the root and the function that fetches.
const CALL_FLAKE: &str = include_str!("call.nix");

impl Flakes<'_> {
    /// The flake's value: its outputs, and what is known of it.
    pub(super) fn call(&mut self, locked: &Locked) -> Result<Value, Error> {
        let (_, names) = locked.lock_file.to_json();
        let mut nodes = AttrsBuilder::with_capacity(names.len());
        for (node, name) in &names {
            let value = self.node_value(locked, *node, &names)?;
            nodes.insert(self.ev.symbols.intern(name.as_bytes()), value, Pos::NONE);
        }
        let nodes = nodes.finish(&mut self.ev.heap);
        let root = self.ev.heap.string(names[&LockFile::ROOT].as_bytes());
        let function = self.ev.eval_internal(CALL_FLAKE.as_bytes(), "call-flake.nix")?;
        let fetch = self.ev.final_fetcher();
        self.ev.call(function, &[nodes, root, fetch], Pos::NONE)
    }

    /// What the expression has to know of a node.
    fn node_value(
        &mut self,
        locked: &Locked,
        node: NodeId,
        names: &std::collections::BTreeMap<NodeId, String>,
    ) -> Result<Value, Error> {
        let file = &locked.lock_file;
        let known = file.locked(node);
        let mut out = AttrsBuilder::with_capacity(6);
        let mut inputs = AttrsBuilder::with_capacity(file.inputs(node).len());
        for (name, edge) in file.inputs(node) {
            let target = match edge {
                Edge::Node(target) => Some(*target),
                Edge::Follows(path) => file.find(path).map_err(refused)?,
            };
            let Some(target) = target.and_then(|target| names.get(&target)) else { continue };
            let target = self.ev.heap.string(target.as_bytes());
            inputs.insert(self.ev.symbols.intern(name.as_bytes()), target, Pos::NONE);
        }
        let inputs = inputs.finish(&mut self.ev.heap);
        out.insert(self.ev.symbols.intern(b"inputs"), inputs, Pos::NONE);
        let is_flake = Value::bool(known.is_none_or(|known| known.is_flake));
        out.insert(self.ev.symbols.intern(b"isFlake"), is_flake, Pos::NONE);
        let mut subdir = known.map(|known| known.locked.subdir.clone()).unwrap_or_default();
        if let Some(dir) = locked.dirs.get(&node) {
            let split = self.ev.settings.store_dir.split(dir);
            let (store_path, rest) = split.map_err(|error| Error::eval(error.to_string()))?;
            let input = known.map_or(&locked.flake.locked.input, |known| &known.locked.input);
            let tree = Fetched { store_path, input: Some(input.clone()), mount: None };
            let dirty = known.is_none() && locked.flake.force_dirty;
            let info = self.ev.tree_value(&tree, false, dirty)?;
            out.insert(self.ev.symbols.intern(b"sourceInfo"), info, Pos::NONE);
            subdir = rest.trim_start_matches('/').to_owned();
        } else if let Some(known) = known {
            if let (Some(path), Some(parent)) = (known.locked.input.relative_path(), &known.parent) {
                let parent = file.find(parent).map_err(refused)?.and_then(|node| names.get(&node));
                let parent = self.ev.heap.string(parent.map(String::as_bytes).unwrap_or_default());
                out.insert(self.ev.symbols.intern(b"parent"), parent, Pos::NONE);
                subdir = path.to_owned();
            } else {
                let mut attrs = AttrsBuilder::with_capacity(8);
                for (key, value) in known.locked.input.attrs() {
                    if key == FINAL {
                        continue;
                    }
                    let value = match value {
                        Attr::Str(text) => self.ev.heap.string(text.as_bytes()),
                        Attr::Int(number) => self.ev.heap.int(i64::try_from(*number).unwrap_or(i64::MAX)),
                        Attr::Bool(flag) => Value::bool(*flag),
                    };
                    attrs.insert(self.ev.symbols.intern(key.as_bytes()), value, Pos::NONE);
                }
                let attrs = attrs.finish(&mut self.ev.heap);
                out.insert(self.ev.symbols.intern(b"locked"), attrs, Pos::NONE);
            }
        }
        let subdir = self.ev.heap.string(subdir.as_bytes());
        out.insert(self.ev.symbols.intern(b"dir"), subdir, Pos::NONE);
        Ok(out.finish(&mut self.ev.heap))
    }
}
