//! Tables under construction, and which of them may still grow.

use rustc_hash::FxHashMap;

use super::scan::{Key, Parsed, fail};
use super::{Issue, Toml};

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

    fn get_or_add(&mut self, key: &str, make: impl FnOnce() -> Node) -> &mut Node {
        match self.index.get(key).copied() {
            Some(at) => &mut self.entries[at].1,
            None => self.add(key, make()),
        }
    }

    fn add(&mut self, key: &str, node: Node) -> &mut Node {
        self.index.insert(key.to_owned(), self.entries.len());
        self.entries.push((key.to_owned(), node));
        let last = self.entries.len() - 1;
        &mut self.entries[last].1
    }

    /// The table that keys lead to; those that are missing are made.
    fn descend(&mut self, keys: &[String], place: Place, origin: Origin) -> Parsed<&mut Table> {
        let mut table = self;
        for key in keys {
            let is_dotted = origin == Origin::Dotted;
            let node = table.get_or_add(key, || place.node(Content::Table(origin, Table::default())));
            match &node.content {
                _ if node.is_inline_tables() => {
                    let title = "toml::insert_value:inline array of tables are immutable";
                    return place.fail(title, "inserting this", node, "inline array of tables");
                }
                Content::Table(Origin::Inline, _) => {
                    let title = "toml::insert_value: failed to insert a value: inline table is immutable";
                    return place.fail(title, "inserting this", node, "to this table");
                }
                Content::Table(found, _) if is_dotted && *found != Origin::Dotted => {
                    let title = "toml::insert_value: reopening a table using dotted keys";
                    return place.fail(title, "dotted key cannot reopen a table", node, "this table is already closed");
                }
                Content::Tables(_) if is_dotted => {
                    let title = "toml::insert_value:dotted key cannot reopen an array-of-tables";
                    return place.fail(title, "inserting this", node, "to this array-of-tables.");
                }
                Content::Leaf(_) => {
                    let title = "toml::insert_value: failed to insert a value, value already exists";
                    return place.fail(title, "while inserting this", node, "non-table value already exists");
                }
                _ => {}
            }
            table = match &mut node.content {
                Content::Table(_, inner) => inner,
                Content::Tables(list) if !list.is_empty() => {
                    let last = list.len() - 1;
                    &mut list[last]
                }
                _ => return fail(Issue::new("a table is missing", place.start, "here")),
            };
        }
        Ok(table)
    }

    fn into_toml(self) -> Toml {
        Toml::Table(self.entries.into_iter().map(|(key, node)| (key, node.into_value())).collect())
    }
}

/// Where something is inserted.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    length: usize,
}

impl Place {
    fn node(self, content: Content) -> Node {
        Node { content, start: self.start, length: self.length }
    }

    fn fail<T>(self, title: &str, note: &str, other: &Node, other_note: &'static str) -> Parsed<T> {
        let issue = Issue::new(title, self.start, note);
        fail(Issue { length: self.length, other: Some((other.start, other.length, other_note)), ..issue })
    }
}

impl Node {
    /// Whether it is an array of tables that was written as a value.
    fn is_inline_tables(&self) -> bool {
        match &self.content {
            Content::Leaf(Toml::Array(list)) => {
                !list.is_empty() && list.iter().all(|element| matches!(element, Toml::Table(_)))
            }
            _ => false,
        }
    }

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
        let place = Place { start: key.start, length: key.length };
        let Some((last, parents)) = key.parts.split_last() else { return Ok(()) };
        let Some(table) = self.target() else { return Ok(()) };
        let table = table.descend(parents, place, Origin::Dotted)?;
        if let Some(node) = table.get(last) {
            let title = "toml::insert_value: failed to insert a value, value already exists";
            return place.fail(title, "inserting this", node, "but value already exists");
        }
        // The place of a pair whose key is dotted is the key, as far as its parents are concerned.
        table.add(last, value);
        Ok(())
    }

    pub(super) fn open(&mut self, header: &Header) -> Parsed<()> {
        let place = Place { start: header.start, length: header.length };
        let Some((last, parents)) = header.parts.split_last() else { return Ok(()) };
        let table = self.root.descend(parents, place, Origin::Implicit)?;
        match table.get(last) {
            None => {
                let content = if header.array {
                    Content::Tables(vec![Table::default()])
                } else {
                    Content::Table(Origin::Explicit, Table::default())
                };
                table.add(last, place.node(content));
            }
            Some(node) if header.array => {
                if node.is_inline_tables() {
                    let title = "toml::insert_value: failed to insert a table, inline array of tables is immutable";
                    return place.fail(title, "while inserting this", node, "this is inline array-of-tables");
                }
                let Content::Tables(list) = &mut node.content else {
                    let title = "toml::insert_value: failed to insert an array of tables, value already exists";
                    return place.fail(title, "while inserting this", node, "non-table value already exists");
                };
                list.push(Table::default());
            }
            Some(node) => {
                let Content::Table(origin @ Origin::Implicit, _) = &mut node.content else {
                    let title = "toml::insert_value: failed to insert a table, table already defined";
                    return place.fail(title, "inserting this", node, "this table is explicitly defined");
                };
                *origin = Origin::Explicit;
                (node.start, node.length) = (place.start, place.length);
            }
        }
        self.current.clone_from(&header.parts);
        Ok(())
    }
}
