//! Tables under construction, and which of them may still grow.

use rustc_hash::FxHashMap;

use super::scan::{Key, Parsed, fail};
use super::{Issue, Toml};

const EXISTS: &str = "toml::insert_value: failed to insert a value, value already exists";

/// How a table came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// By a header of its own.
    Explicit,
    /// As a parent in a header.
    Implicit,
    /// As a parent in a dotted key.
    Dotted,
    /// Between braces.
    Inline,
}

#[derive(Debug)]
enum Content {
    Leaf(Toml),
    Table(Origin, Table),
    /// An array of tables, made by headers.
    Tables(Vec<Table>),
}

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    content: Content,
    start: usize,
    length: usize,
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<(String, Node)>,
    index: FxHashMap<String, usize>,
}

impl Table {
    fn get(&mut self, key: &str) -> Option<&mut Node> {
        let at = *self.index.get(key)?;
        self.entries.get_mut(at).map(|(_, node)| node)
    }

    fn add(&mut self, key: &str, node: Node) -> &mut Node {
        self.index.insert(key.to_owned(), self.entries.len());
        self.entries.push((key.to_owned(), node));
        let last = self.entries.len() - 1;
        &mut self.entries[last].1
    }

    fn into_toml(self) -> Toml {
        Toml::Table(self.entries.into_iter().map(|(key, node)| (key, node.into_value())).collect())
    }
}

impl Node {
    pub(super) fn leaf(value: Toml, start: usize, length: usize) -> Node {
        Node { content: Content::Leaf(value), start, length }
    }

    pub(super) fn into_value(self) -> Toml {
        match self.content {
            Content::Leaf(value) => value,
            Content::Table(_, table) => table.into_toml(),
            Content::Tables(tables) => Toml::Array(tables.into_iter().map(Table::into_toml).collect()),
        }
    }
}

/// The header of a table or of an element of an array of tables.
pub(super) struct Header {
    pub(super) parts: Vec<String>,
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) array: bool,
}

/// A document, or an inline table, under construction.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Table,
    /// The table that pairs go to.
    current: Vec<String>,
}

impl Tree {
    pub(super) fn finish(self) -> Toml {
        self.root.into_toml()
    }

    pub(super) fn into_inline(self, start: usize, length: usize) -> Node {
        Node { content: Content::Table(Origin::Inline, self.root), start, length }
    }

    /// The table that a header opened: its path leads through the last elements of arrays of tables.
    fn target(&mut self) -> Option<&mut Table> {
        let mut table = &mut self.root;
        for part in &self.current {
            table = match &mut table.get(part)?.content {
                Content::Table(_, inner) => inner,
                Content::Tables(list) => list.last_mut()?,
                Content::Leaf(_) => return None,
            };
        }
        Some(table)
    }

    pub(super) fn insert_pair(&mut self, key: &Key, value: Node) -> Parsed<()> {
        let (start, length) = (key.start, key.length);
        let issue = |title: &str, other: &Node, note: &'static str| Issue {
            title: title.to_owned(),
            at: start,
            length,
            note: "inserting this".to_owned(),
            other: Some((other.start, other.length, note)),
            hints: &[],
        };
        let Some((last, parents)) = key.parts.split_last() else { return Ok(()) };
        let Some(mut table) = self.target() else { return Ok(()) };
        for part in parents {
            if table.get(part).is_none() {
                let content = Content::Table(Origin::Dotted, Table::default());
                table.add(part, Node { content, start, length });
            }
            let Some(node) = table.get(part) else { return Ok(()) };
            if let Content::Table(Origin::Inline, _) = node.content {
                let title = "toml::insert_value: failed to insert a value: inline table is immutable";
                return fail(issue(title, node, "to this table"));
            }
            if !matches!(node.content, Content::Table(Origin::Dotted | Origin::Implicit, _)) {
                return fail(issue(EXISTS, node, "but value already exists"));
            }
            let Content::Table(_, inner) = &mut node.content else { return Ok(()) };
            table = inner;
        }
        if let Some(node) = table.get(last) {
            return fail(issue(EXISTS, node, "but value already exists"));
        }
        // The place of a pair whose key is dotted is the key, as far as its parents are concerned.
        table.add(last, value);
        Ok(())
    }

    pub(super) fn open(&mut self, header: &Header) -> Parsed<()> {
        let (start, length) = (header.start, header.length);
        let issue = |title: &str, at_note: &str, other: &Node, note: &'static str| Issue {
            title: title.to_owned(),
            at: start,
            length,
            note: at_note.to_owned(),
            other: Some((other.start, other.length, note)),
            hints: &[],
        };
        let Some((last, parents)) = header.parts.split_last() else { return Ok(()) };
        let mut table = &mut self.root;
        for part in parents {
            if table.get(part).is_none() {
                let content = Content::Table(Origin::Implicit, Table::default());
                table.add(part, Node { content, start, length });
            }
            let Some(node) = table.get(part) else { return Ok(()) };
            match node.content {
                Content::Table(Origin::Inline, _) => {
                    let title = "toml::insert_value: failed to insert a value: inline table is immutable";
                    return fail(issue(title, "inserting this", node, "to this table"));
                }
                Content::Leaf(_) => {
                    return fail(issue(EXISTS, "inserting this", node, "but value already exists"));
                }
                _ => {}
            }
            table = match &mut node.content {
                Content::Table(_, inner) => inner,
                Content::Tables(list) => match list.last_mut() {
                    Some(inner) => inner,
                    None => return Ok(()),
                },
                Content::Leaf(_) => return Ok(()),
            };
        }
        match table.get(last) {
            None => {
                let content = if header.array {
                    Content::Tables(vec![Table::default()])
                } else {
                    Content::Table(Origin::Explicit, Table::default())
                };
                table.add(last, Node { content, start, length });
            }
            Some(node) => match &mut node.content {
                Content::Tables(list) if header.array => list.push(Table::default()),
                Content::Table(origin @ Origin::Implicit, _) if !header.array => {
                    *origin = Origin::Explicit;
                    (node.start, node.length) = (start, length);
                }
                _ if header.array => {
                    let title = "toml::insert_value: failed to insert an array of tables, value already exists";
                    return fail(issue(title, "while inserting this", node, "non-table value already exists"));
                }
                Content::Leaf(_) => {
                    return fail(issue(EXISTS, "inserting this", node, "but value already exists"));
                }
                _ => {
                    let title = "toml::insert_value: failed to insert a table, table already defined";
                    return fail(issue(title, "inserting this", node, "this table is explicitly defined"));
                }
            },
        }
        self.current.clone_from(&header.parts);
        Ok(())
    }
}
