//! `update-alternatives` and `dpkg-divert` as data: what maintainer scripts ask for, read out of their text.

use super::script::Command;
use super::tree::{Node, Tree, normalise};

/// One choice for one name, as `update-alternatives --install` registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// The link that users know, such as `/usr/bin/awk`.
    pub link: String,
    /// Its name in `/etc/alternatives`.
    pub name: String,
    /// What it leads to.
    pub path: String,
    /// The highest wins.
    pub priority: i64,
    /// Links that go with it: link, name, path.
    pub slaves: Vec<(String, String, String)>,
}

/// One file of another package that makes way, as `dpkg-divert` registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// The path that others ship.
    pub from: String,
    /// Where theirs goes.
    pub to: String,
}

/// What a command turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// It is something else.
    Other,
    /// It is what was looked for.
    Is(T),
    /// It is, but depends on things that only running it could tell.
    Unknown,
}

/// Reads `update-alternatives --install LINK NAME PATH PRIORITY [--slave LINK NAME PATH]…`.
pub fn parse_alternative(command: &Command) -> Parsed<Alternative> {
    if command.name() != Some("update-alternatives")
        || !command.words.iter().any(|word| word.as_deref() == Some("--install"))
    {
        return Parsed::Other;
    }
    let Some(words) = command.literal() else { return Parsed::Unknown };
    let mut found: Option<Alternative> = None;
    let mut slaves = Vec::new();
    let mut rest = words[1..].iter().copied();
    let three = |rest: &mut dyn Iterator<Item = &str>| {
        Some((rest.next()?.to_owned(), rest.next()?.to_owned(), rest.next()?.to_owned()))
    };
    while let Some(word) = rest.next() {
        match word {
            "--install" => {
                let Some((link, name, path)) = three(&mut rest) else { return Parsed::Unknown };
                let Some(priority) = rest.next().and_then(|text| text.parse().ok()) else { return Parsed::Unknown };
                found = Some(Alternative { link, name, path, priority, slaves: Vec::new() });
            }
            "--slave" => {
                let Some(slave) = three(&mut rest) else { return Parsed::Unknown };
                slaves.push(slave);
            }
            _ => {}
        }
    }
    match found {
        Some(alternative) => Parsed::Is(Alternative { slaves, ..alternative }),
        None => Parsed::Unknown,
    }
}

/// Reads `dpkg-divert [--add] --divert TO FROM` in its usual forms.
pub fn parse_diversion(command: &Command) -> Parsed<Diversion> {
    if command.name() != Some("dpkg-divert")
        || command
            .words
            .iter()
            .flatten()
            .any(|word| ["--remove", "--list", "--truename", "--listpackage"].contains(&word.as_str()))
    {
        return Parsed::Other;
    }
    let Some(words) = command.literal() else { return Parsed::Unknown };
    let (mut to, mut from) = (None, None);
    let mut rest = words[1..].iter().copied();
    while let Some(word) = rest.next() {
        match word {
            "--divert" => to = rest.next().map(str::to_owned),
            "--package" | "--admindir" | "--instdir" | "--root" => {
                rest.next();
            }
            word if word.starts_with("--divert=") => to = word.split_once('=').map(|(_, to)| to.to_owned()),
            word if word.starts_with("--") => {}
            word => from = Some(word.to_owned()),
        }
    }
    match from {
        Some(from) => {
            let to = to.unwrap_or_else(|| format!("{from}.distrib"));
            Parsed::Is(Diversion { from, to })
        }
        None => Parsed::Unknown,
    }
}

/// Makes the links for the best choice of every name. Returns what could not be done.
pub(crate) fn apply(tree: &mut Tree, mut all: Vec<Alternative>) -> Vec<String> {
    // highest priority first, then by path, so that the result does not depend on the order of packages
    all.sort_by(|a, b| a.name.cmp(&b.name).then(b.priority.cmp(&a.priority)).then(a.path.cmp(&b.path)));
    let mut notes = Vec::new();
    let mut done: Option<String> = None;
    for alternative in all {
        if done.as_ref() == Some(&alternative.name) || !is_there(tree, &alternative.path) {
            continue;
        }
        link(tree, &alternative.link, &alternative.name, &alternative.path, &mut notes);
        for (slave_link, slave_name, slave_path) in &alternative.slaves {
            if is_there(tree, slave_path) {
                link(tree, slave_link, slave_name, slave_path, &mut notes);
            }
        }
        done = Some(alternative.name);
    }
    notes
}

fn is_there(tree: &Tree, path: &str) -> bool {
    normalise(path.as_bytes()).is_some_and(|path| tree.resolve(&path).is_some())
}

fn link(tree: &mut Tree, link: &str, name: &str, path: &str, notes: &mut Vec<String>) {
    // a name is one component: anything else would lead out of the directory
    if name.is_empty() || name.contains('/') || name == ".." || name == "." {
        notes.push(format!("alternative '{name}' has no usable name"));
        return;
    }
    let Some(place) =
        normalise(link.as_bytes()).filter(|place| !place.split(|byte| *byte == b'/').any(|part| part == b".."))
    else {
        notes.push(format!("alternative '{name}' has no usable link '{link}'"));
        return;
    };
    match tree.nodes.get(&place) {
        Some(Node::File(_) | Node::Made(_) | Node::Directory) => {
            notes.push(format!("alternative '{name}': {link} is a file of a package and stays"));
        }
        _ => {
            tree.put(place, Node::Link(format!("/etc/alternatives/{name}").into_bytes()));
            tree.put(format!("etc/alternatives/{name}").into_bytes(), Node::Link(path.as_bytes().to_vec()));
        }
    }
}
