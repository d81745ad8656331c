//! Bindings: attribute sets as they are built, nested attributes merged on the way as Nix does.
//!
//! Sets under construction are linked lists in common arenas, since a later binding may add to any earlier set
//! (`a = { x = 1; }; a.y = 2;`); `finish.rs` makes them contiguous.

use super::{Parser, Result, Stop, index};
use crate::ast::{Attr, AttrName, AttrValue, AttrsId, DynamicAttr, Expr, ExprId, Part, Pos};
use crate::diagnostic::Problem;
use crate::interner::{Symbol, sym};
use crate::printer;
use crate::token::Kind;

/// The end of a linked list.
pub(super) const NIL: u32 = u32::MAX;

/// Sets with more attributes than this are searched by hash.
const LINEAR: u32 = 8;

/// A linked list: first node, last node, length.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    pub(super) first: u32,
    last: u32,
    pub(super) len: u32,
}

impl Chain {
    const EMPTY: Self = Self { first: NIL, last: NIL, len: 0 };
}

/// A set under construction.
pub(super) struct SetNode {
    pub(super) pos: Pos,
    pub(super) recursive: bool,
    pub(super) attrs: Chain,
    pub(super) dynamic: Chain,
    pub(super) from: Chain,
}

pub(super) struct AttrNode {
    pub(super) attr: Attr,
    pub(super) next: u32,
}

pub(super) struct DynamicNode {
    pub(super) attr: DynamicAttr,
    pub(super) next: u32,
}

pub(super) struct FromNode {
    pub(super) from: Part,
    pub(super) next: u32,
}

/// Appends the node with number `new` to a chain of `nodes`.
macro_rules! link {
    ($nodes:expr, $chain:expr, $new:expr) => {{
        let (new, chain) = ($new, &mut $chain);
        if chain.first == NIL {
            chain.first = new;
        } else {
            $nodes[chain.last as usize].next = new;
        }
        chain.last = new;
        chain.len += 1;
    }};
}

impl Parser<'_, '_> {
    pub(super) fn new_set(&mut self, pos: Pos) -> AttrsId {
        let id = AttrsId(index(self.sets.len()));
        let (attrs, dynamic, from) = (Chain::EMPTY, Chain::EMPTY, Chain::EMPTY);
        self.sets.push(SetNode { pos, recursive: false, attrs, dynamic, from });
        id
    }

    pub(super) fn has_dynamic(&self, set: AttrsId) -> bool {
        self.sets[set.0 as usize].dynamic.len > 0
    }

    /// Drops the attributes whose names are computed.
    pub(super) fn forget_dynamic(&mut self, set: AttrsId) {
        self.sets[set.0 as usize].dynamic = Chain::EMPTY;
    }

    /// Bindings up to a token that begins none.
    pub(super) fn bindings(&mut self, set: AttrsId) -> Result<()> {
        loop {
            match self.cur.kind {
                Kind::Id | Kind::OrKw | Kind::Quote | Kind::DollarCurly => self.binding(set)?,
                Kind::Inherit => self.inherit(set)?,
                _ => return Ok(()),
            }
        }
    }

    /// `a.b = expr;`
    fn binding(&mut self, set: AttrsId) -> Result<()> {
        let start = self.cur.start;
        let names = self.open_names.len();
        self.attr_path()?;
        self.expect(Kind::Assign)?;
        let value_start = self.cur.start;
        let value = self.nested(Self::expr)?;
        self.expect(Kind::Semicolon)?;
        self.define(set, names, Pos::at(start), value)?;
        if let Some(doc) = self.doc_at(start) {
            self.set_doc(value, doc);
            self.value_docs.push((value_start, doc));
        }
        Ok(())
    }

    /// `inherit a b;` and `inherit (from) a b;`
    fn inherit(&mut self, set: AttrsId) -> Result<()> {
        self.bump();
        let mut from = None;
        if self.cur.kind == Kind::ParenOpen {
            self.bump();
            let start = self.cur.start;
            let expr = self.nested(Self::expr)?;
            self.expect(Kind::ParenClose)?;
            from = Some(Part { pos: Pos::at(start), expr });
        }
        let names = self.open_names.len();
        let mut starts = Vec::new();
        loop {
            let start = self.cur.start;
            let name = match self.cur.kind {
                Kind::Id => {
                    let token = self.bump();
                    AttrName::Static(self.symbol(token))
                }
                Kind::OrKw => {
                    self.bump();
                    AttrName::Static(sym::OR)
                }
                Kind::Quote | Kind::DollarCurly => self.string_attr()?,
                Kind::Semicolon => break,
                _ => return Err(Stop),
            };
            if matches!(name, AttrName::Dynamic(_)) {
                return self.fail(Problem::DynamicAttributeInInherit, Pos::at(start));
            }
            self.open_names.push(name);
            starts.push(start);
        }
        self.bump();
        let value = match from {
            None => AttrValue::Inherited,
            Some(from) => {
                let new = index(self.from_nodes.len());
                self.from_nodes.push(FromNode { from, next: NIL });
                let chain = &mut self.sets[set.0 as usize].from;
                let number = chain.len;
                link!(self.from_nodes, *chain, new);
                AttrValue::InheritedFrom(number)
            }
        };
        for (offset, start) in starts.into_iter().enumerate() {
            let AttrName::Static(name) = self.open_names[names + offset] else { continue };
            let pos = Pos::at(start);
            if let Some(previous) = self.find(set, name) {
                let path = printer::identifier(self.symbols.get(name));
                return self.fail_duplicate(path, previous, pos);
            }
            self.insert(set, Attr { name, pos, value });
        }
        self.open_names.truncate(names);
        Ok(())
    }

    /// Puts `value` at the open attribute path from `names`, through sets that exist or are made for it.
    fn define(&mut self, mut set: AttrsId, names: usize, pos: Pos, value: ExprId) -> Result<()> {
        let last = self.open_names.len() - 1;
        for step in names..last {
            set = match self.open_names[step] {
                AttrName::Static(name) => match self.find(set, name) {
                    Some(found) => match self.as_set(self.attr_nodes[found as usize].attr.value) {
                        Some(inner) => inner,
                        None => {
                            let path = self.show_path(names, step + 1);
                            return self.fail_duplicate(path, found, pos);
                        }
                    },
                    None => {
                        let (inner, value) = self.new_inner_set(pos);
                        self.insert(set, Attr { name, pos, value: AttrValue::Plain(value) });
                        inner
                    }
                },
                AttrName::Dynamic(name) => {
                    let (inner, value) = self.new_inner_set(pos);
                    self.insert_dynamic(set, DynamicAttr { name, value, pos });
                    inner
                }
            };
        }
        match self.open_names[last] {
            AttrName::Static(name) => {
                let attr = Attr { name, pos, value: AttrValue::Plain(value) };
                self.define_or_merge(set, names, attr)?;
            }
            AttrName::Dynamic(name) => self.insert_dynamic(set, DynamicAttr { name, value, pos }),
        }
        self.open_names.truncate(names);
        Ok(())
    }

    /// A set that stands for the rest of an attribute path.
    fn new_inner_set(&mut self, pos: Pos) -> (AttrsId, ExprId) {
        let set = self.new_set(Pos::NONE);
        let start = pos.offset().unwrap_or(self.last_end);
        (set, self.add(Expr::Attrs(set), Pos::NONE, start))
    }

    /// Adds an attribute; two sets of the same name are merged. The open path from `names` ends in the name, for the
    /// error.
    fn define_or_merge(&mut self, set: AttrsId, names: usize, attr: Attr) -> Result<()> {
        let Some(found) = self.find(set, attr.name) else {
            self.insert(set, attr);
            if let AttrValue::Plain(value) = attr.value {
                self.set_name(value, attr.name);
            }
            return Ok(());
        };
        let (Some(target), Some(source)) =
            (self.as_set(self.attr_nodes[found as usize].attr.value), self.as_set(attr.value))
        else {
            let path = self.show_path(names, self.open_names.len());
            return self.fail_duplicate(path, found, attr.pos);
        };
        self.merge(target, names, source)
    }

    /// Moves the attributes of `source` into `target`. A `rec` of the source is lost and one of the target applies to
    /// what comes in, as in Nix (its issue 9020).
    fn merge(&mut self, target: AttrsId, names: usize, source: AttrsId) -> Result<()> {
        let moved = self.sets[source.0 as usize].attrs;
        let from_base = self.sets[target.0 as usize].from.len;
        let mut attrs = Vec::with_capacity(moved.len as usize);
        let mut at = moved.first;
        while at != NIL {
            let node = &self.attr_nodes[at as usize];
            attrs.push(node.attr);
            at = node.next;
        }
        // Nix keeps attributes in the order of their symbols, which decides which duplicate is reported
        attrs.sort_by_key(|attr| attr.name);
        for mut attr in attrs {
            if let AttrValue::InheritedFrom(number) = &mut attr.value {
                *number += from_base;
            }
            self.open_names.push(AttrName::Static(attr.name));
            self.define_or_merge(target, names, attr)?;
            self.open_names.pop();
        }
        let source_node = &mut self.sets[source.0 as usize];
        let (mut dynamic, mut from) = (source_node.dynamic.first, source_node.from.first);
        source_node.attrs = Chain::EMPTY;
        source_node.dynamic = Chain::EMPTY;
        source_node.from = Chain::EMPTY;
        while dynamic != NIL {
            let node = &self.dynamic_nodes[dynamic as usize];
            let attr = node.attr;
            dynamic = node.next;
            self.insert_dynamic(target, attr);
        }
        while from != NIL {
            let node = &self.from_nodes[from as usize];
            let part = node.from;
            from = node.next;
            let new = index(self.from_nodes.len());
            self.from_nodes.push(FromNode { from: part, next: NIL });
            link!(self.from_nodes, self.sets[target.0 as usize].from, new);
        }
        Ok(())
    }

    fn insert(&mut self, set: AttrsId, attr: Attr) {
        let new = index(self.attr_nodes.len());
        self.attr_nodes.push(AttrNode { attr, next: NIL });
        let chain = &mut self.sets[set.0 as usize].attrs;
        link!(self.attr_nodes, *chain, new);
        let chain = *chain;
        if chain.len == LINEAR + 1 {
            let mut at = chain.first;
            while at != NIL {
                let node = &self.attr_nodes[at as usize];
                self.attr_index.insert((set, node.attr.name), at);
                at = node.next;
            }
        } else if chain.len > LINEAR {
            self.attr_index.insert((set, attr.name), new);
        }
    }

    fn insert_dynamic(&mut self, set: AttrsId, attr: DynamicAttr) {
        let new = index(self.dynamic_nodes.len());
        self.dynamic_nodes.push(DynamicNode { attr, next: NIL });
        link!(self.dynamic_nodes, self.sets[set.0 as usize].dynamic, new);
    }

    /// The number of the attribute's node.
    fn find(&self, set: AttrsId, name: Symbol) -> Option<u32> {
        let chain = self.sets[set.0 as usize].attrs;
        if chain.len > LINEAR {
            return self.attr_index.get(&(set, name)).copied();
        }
        let mut at = chain.first;
        while at != NIL {
            let node = &self.attr_nodes[at as usize];
            if node.attr.name == name {
                return Some(at);
            }
            at = node.next;
        }
        None
    }

    fn as_set(&self, value: AttrValue) -> Option<AttrsId> {
        match value {
            AttrValue::Plain(expr) => match self.expr_at(expr) {
                Expr::Attrs(set) => Some(set),
                _ => None,
            },
            AttrValue::Inherited | AttrValue::InheritedFrom(_) => None,
        }
    }

    /// Names a function after the attribute that it is bound to, with those that it returns.
    fn set_name(&mut self, mut expr: ExprId, name: Symbol) {
        while let Expr::Lambda(id) = self.expr_at(expr) {
            let lambda = &mut self.lambdas[id.0 as usize];
            lambda.name = Some(name);
            expr = lambda.body;
        }
    }

    #[cold]
    fn fail_duplicate<T>(&mut self, path: Vec<u8>, previous: u32, pos: Pos) -> Result<T> {
        let previous = self.attr_nodes[previous as usize].attr.pos;
        self.fail(Problem::DuplicateAttribute { path, previous }, pos)
    }

    /// The open attribute path from `names` to `end` as Nix prints it.
    #[cold]
    fn show_path(&mut self, names: usize, end: usize) -> Vec<u8> {
        let path = self.open_names[names..end].to_vec();
        let root = path.iter().find_map(|name| match name {
            AttrName::Dynamic(expr) => Some(*expr),
            AttrName::Static(_) => None,
        });
        match root {
            // only a dynamic name needs the tree
            Some(root) => {
                let ast = self.snapshot(root);
                printer::attr_path(&ast, self.symbols, &path)
            }
            None => {
                let names = path.iter().filter_map(|name| match name {
                    AttrName::Static(name) => Some(printer::identifier(self.symbols.get(*name))),
                    AttrName::Dynamic(_) => None,
                });
                names.collect::<Vec<_>>().join(&b'.')
            }
        }
    }
}
