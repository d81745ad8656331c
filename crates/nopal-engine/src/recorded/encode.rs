//! The form of a record on disk: one file, read with one read.
//!
//! Numbers are LEB128, byte strings have their length before them, sorted paths leave out what they share with the one
//! before. A hash over everything stands at the end, so that a damaged or foreign file is taken for none at all.

use std::collections::{BTreeMap, BTreeSet};

use nopal_eval::host::Message;
use nopal_format::{ContentAddressMethod, Hash, HashAlgorithm, StorePath};

use super::division::{Division, Part};
use super::record::{Choice, DIGEST_BYTES, Digest, Extent, Facts, Identity, Kind, PathFacts, Record, TreeFact, digest};

/// First bytes of a record; the number changes with the form.
const MAGIC: &[u8] = b"nopal evaluation 2\n";

const HAS_KIND: u8 = 1;
const HAS_CONTENTS: u8 = 2;
const HAS_LISTING: u8 = 4;
const HAS_TARGET: u8 = 8;
const HAS_IDENTITY: u8 = 16;
const HAS_TOKENS: u8 = 32;

/// The bytes of a record that answers `key`.
pub(super) fn encode(key: &Digest, record: &Record) -> Vec<u8> {
    let mut out = Writer { out: MAGIC.to_vec() };
    out.raw(key);
    out.bytes(&record.answer);
    out.number(record.messages.len() as u64);
    for message in &record.messages {
        let (tag, text) = match message {
            Message::Trace(text) => (0, text),
            Message::Warning(text) => (1, text),
            Message::Report(text) => (2, text),
        };
        out.number(tag);
        out.bytes(text);
    }
    out.facts(&record.facts);
    if let Some(division) = &record.division {
        out.division(division);
    }
    let sum = digest(&[&out.out]);
    out.raw(&sum);
    out.out
}

/// Reads a record; `None` if it is damaged, of another form, or of another key.
pub(super) fn decode(key: &Digest, bytes: &[u8]) -> Option<Record> {
    let (whole, sum) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_BYTES)?)?;
    if digest(&[whole]) != *sum {
        return None;
    }
    let mut rest = Reader { rest: whole.strip_prefix(MAGIC)?.strip_prefix(key)? };
    let answer = rest.bytes()?.to_vec();
    let messages = rest.many(|rest| {
        let tag = rest.number()?;
        let text = rest.bytes()?.to_vec();
        Some(match tag {
            0 => Message::Trace(text),
            1 => Message::Warning(text),
            2 => Message::Report(text),
            _ => return None,
        })
    })?;
    let facts = rest.facts()?;
    let division = if rest.rest.is_empty() { None } else { Some(rest.division()?) };
    rest.rest.is_empty().then_some(Record { answer, messages, facts, division })
}

/// Writes numbers and strings.
#[derive(Default)]
pub(super) struct Writer {
    /// What was written.
    pub(super) out: Vec<u8>,
}

impl Writer {
    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A number.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    /// A string with its length.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A string that shares its begin with `previous`.
    fn after(&mut self, previous: &[u8], bytes: &[u8]) {
        let shared = previous.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        self.number(shared as u64);
        self.bytes(&bytes[shared..]);
    }

    /// A store path without its directory.
    pub(super) fn store_path(&mut self, path: &StorePath) {
        self.bytes(path.base_name().as_bytes());
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.number(0),
        }
    }

    fn facts(&mut self, facts: &Facts) {
        self.number(facts.paths.len() as u64);
        let mut previous: &[u8] = &[];
        for (path, facts) in &facts.paths {
            self.after(previous, path);
            previous = path;
            self.path_facts(facts);
        }
        self.number(facts.environment.len() as u64);
        for (name, value) in &facts.environment {
            self.bytes(name);
            self.optional(value.as_ref().map(|value| &value[..]));
        }
        self.number(facts.trees.len() as u64);
        for tree in facts.trees.values() {
            self.tree(tree);
        }
        self.number(facts.downloads.len() as u64);
        for path in &facts.downloads {
            self.bytes(path);
        }
        self.number(facts.objects.len() as u64);
        for (path, contents) in &facts.objects {
            self.store_path(path);
            self.optional(contents.map(|hash| hash.sri()).as_deref().map(str::as_bytes));
        }
        self.number(facts.references.len() as u64);
        for (path, references) in &facts.references {
            self.store_path(path);
            self.raw(references);
        }
        self.number(facts.written.len() as u64);
        for path in &facts.written {
            self.store_path(path);
        }
    }

    fn division(&mut self, division: &Division) {
        self.ascending(&division.base);
        self.number(division.parts.len() as u64);
        for part in &division.parts {
            self.bytes(&part.name);
            self.bytes(&part.answer);
            self.ascending(&part.uses);
        }
    }

    /// Ascending numbers, as the distances between them.
    fn ascending(&mut self, numbers: &[u32]) {
        self.number(numbers.len() as u64);
        let mut previous = 0;
        for number in numbers {
            self.number((number - previous).into());
            previous = *number;
        }
    }

    fn path_facts(&mut self, facts: &PathFacts) {
        let PathFacts { kind, contents, tokens, listing, target, identity } = facts;
        let flag = |present: bool, flag: u8| if present { flag } else { 0 };
        self.out.push(
            flag(kind.is_some(), HAS_KIND)
                | flag(contents.is_some(), HAS_CONTENTS)
                | flag(listing.is_some(), HAS_LISTING)
                | flag(target.is_some(), HAS_TARGET)
                | flag(identity.is_some(), HAS_IDENTITY)
                | flag(tokens.is_some(), HAS_TOKENS),
        );
        self.out.extend(kind.map(|kind| kind as u8));
        for digest in [contents, tokens, listing, target].into_iter().flatten() {
            self.raw(digest);
        }
        self.out.extend(identity.iter().flatten());
    }

    fn tree(&mut self, tree: &TreeFact) {
        self.bytes(&tree.path);
        self.bytes(tree.name.as_bytes());
        self.out.push(METHODS.iter().position(|known| *known == tree.method).unwrap_or_default() as u8);
        self.bytes(tree.algorithm.name().as_bytes());
        match &tree.extent {
            Extent::Whole => self.out.push(0),
            Extent::Chosen(choices) => {
                self.out.push(1);
                self.number(choices.len() as u64);
                let mut previous: &[u8] = &[];
                for choice in choices {
                    self.after(previous, &choice.path);
                    previous = &choice.path;
                    self.raw(&[choice.kind as u8, choice.is_taken.into()]);
                }
            }
        }
        self.store_path(&tree.store_path);
        self.out.push(tree.entries.is_some().into());
        let Some(entries) = &tree.entries else { return };
        self.number(entries.len() as u64);
        let mut previous: &[u8] = &[];
        for (path, identity) in entries {
            self.after(previous, path);
            previous = path;
            self.raw(identity);
        }
    }
}

/// Methods by their numbers in a record.
const METHODS: [ContentAddressMethod; 4] =
    [ContentAddressMethod::Nar, ContentAddressMethod::Flat, ContentAddressMethod::Text, ContentAddressMethod::Git];

/// Reads what a [`Writer`] wrote.
pub(super) struct Reader<'a> {
    /// What was not read yet.
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn raw<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*first)
    }

    /// A number.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A string with its length.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// A string that must be UTF-8.
    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// As many as the number before them says.
    pub(super) fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(one(self)?);
        }
        Some(all)
    }

    fn after(&mut self, previous: &mut Vec<u8>) -> Option<Vec<u8>> {
        previous.truncate(usize::try_from(self.number()?).ok()?);
        previous.extend_from_slice(self.bytes()?);
        Some(previous.clone())
    }

    /// A store path without its directory.
    pub(super) fn store_path(&mut self) -> Option<StorePath> {
        StorePath::from_base_name(std::str::from_utf8(self.bytes()?).ok()?).ok()
    }

    fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        Some(Some(self.bytes()?).filter(|bytes| !bytes.is_empty()))
    }

    fn facts(&mut self) -> Option<Facts> {
        let mut previous = Vec::new();
        let paths = self.many(|rest| Some((rest.after(&mut previous)?, rest.path_facts()?)))?;
        let environment = self.many(|rest| {
            let name = rest.bytes()?.to_vec();
            let value = rest.optional()?.map(Digest::try_from).transpose().ok()?;
            Some((name, value))
        })?;
        let trees = self.many(Self::tree)?;
        let downloads = self.many(|rest| Some(rest.bytes()?.to_vec()))?;
        let objects = self.many(|rest| {
            let path = rest.store_path()?;
            let contents = match rest.optional()? {
                Some(sri) => Some(Hash::parse_sri(std::str::from_utf8(sri).ok()?).ok()?),
                None => None,
            };
            Some((path, contents))
        })?;
        let references = self.many(|rest| Some((rest.store_path()?, rest.raw()?)))?;
        let written = self.many(Self::store_path)?;
        Some(Facts {
            paths: BTreeMap::from_iter(paths),
            environment: BTreeMap::from_iter(environment),
            trees: trees.into_iter().map(|tree| (tree.digest(), tree)).collect(),
            downloads: BTreeSet::from_iter(downloads),
            objects: BTreeMap::from_iter(objects),
            references: BTreeMap::from_iter(references),
            written: BTreeSet::from_iter(written),
        })
    }

    fn division(&mut self) -> Option<Division> {
        let base = self.ascending()?;
        let part = |rest: &mut Self| {
            let (name, answer) = (rest.bytes()?.to_vec(), rest.bytes()?.to_vec());
            Some(Part { name, answer, uses: rest.ascending()? })
        };
        Some(Division { base, parts: self.many(part)? })
    }

    fn ascending(&mut self) -> Option<Vec<u32>> {
        let mut previous = 0u32;
        self.many(|rest| {
            previous = previous.checked_add(u32::try_from(rest.number()?).ok()?)?;
            Some(previous)
        })
    }

    fn kind(&mut self) -> Option<Kind> {
        Kind::ALL.get(usize::from(self.byte()?)).copied()
    }

    fn path_facts(&mut self) -> Option<PathFacts> {
        let flags = self.byte()?;
        let mut facts = PathFacts::default();
        if flags & HAS_KIND != 0 {
            facts.kind = Some(self.kind()?);
        }
        if flags & HAS_CONTENTS != 0 {
            facts.contents = Some(self.raw()?);
        }
        if flags & HAS_TOKENS != 0 {
            facts.tokens = Some(self.raw()?);
        }
        if flags & HAS_LISTING != 0 {
            facts.listing = Some(self.raw()?);
        }
        if flags & HAS_TARGET != 0 {
            facts.target = Some(self.raw()?);
        }
        if flags & HAS_IDENTITY != 0 {
            facts.identity = Some(self.raw()?);
        }
        Some(facts)
    }

    fn tree(&mut self) -> Option<TreeFact> {
        let path = self.bytes()?.to_vec();
        let name = self.text()?;
        let method = *METHODS.get(usize::from(self.byte()?))?;
        let algorithm: HashAlgorithm = self.text()?.parse().ok()?;
        let mut previous = Vec::new();
        let extent = match self.byte()? {
            0 => Extent::Whole,
            _ => Extent::Chosen(self.many(|rest| {
                let path = rest.after(&mut previous)?;
                let kind = rest.kind()?;
                Some(Choice { path, kind, is_taken: rest.byte()? != 0 })
            })?),
        };
        let store_path = self.store_path()?;
        let mut previous = Vec::new();
        let entries = match self.byte()? {
            0 => None,
            _ => Some(self.many(|rest| {
                let path = rest.after(&mut previous)?;
                let identity: Identity = rest.raw()?;
                Some((path, identity))
            })?),
        };
        Some(TreeFact { path, name, method, algorithm, extent, store_path, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nopal_fs::FileIdentity;

    fn record() -> Record {
        let path = |name: &str| StorePath::new([7; 20], name).unwrap();
        let hash = Hash::of(HashAlgorithm::Sha256, b"x");
        let mut facts = Facts::default();
        facts.paths.insert(b"/a/b".to_vec(), PathFacts { kind: Some(Kind::Executable), ..PathFacts::default() });
        let all = PathFacts {
            kind: Some(Kind::Failed),
            contents: Some([1; 32]),
            tokens: Some([2; 32]),
            listing: Some([3; 32]),
            target: Some([4; 32]),
            identity: Some([5; FileIdentity::BYTES]),
        };
        facts.paths.insert(b"/a/\xff\n".to_vec(), all);
        facts.environment = BTreeMap::from([(b"A".to_vec(), None), (b"B".to_vec(), Some([6; 32]))]);
        let tree = TreeFact {
            path: b"/t".to_vec(),
            name: "t".to_owned(),
            method: ContentAddressMethod::Flat,
            algorithm: HashAlgorithm::Sha512,
            extent: Extent::Chosen(vec![Choice { path: b"y".to_vec(), kind: Kind::Directory, is_taken: true }]),
            store_path: path("t"),
            entries: Some(vec![(Vec::new(), [8; FileIdentity::BYTES]), (b"x".to_vec(), [9; FileIdentity::BYTES])]),
        };
        facts.trees.insert(tree.digest(), tree);
        facts.downloads.insert(b"/d".to_vec());
        facts.objects = BTreeMap::from([(path("o"), Some(hash)), (path("missing"), None)]);
        facts.references.insert(path("r"), [10; 32]);
        facts.written.insert(path("w"));
        let text = || vec![0xff; 300];
        let messages = vec![Message::Trace(text()), Message::Warning(text()), Message::Report(Vec::new())];
        let part = |name: &str, uses| Part { name: name.into(), answer: b"1".to_vec(), uses };
        let division = Division { base: vec![0, 2], parts: vec![part("a", vec![1, 300]), part("b", Vec::new())] };
        Record { answer: b"answer\n".to_vec(), messages, facts, division: Some(division) }
    }

    #[test]
    fn records_come_back_as_they_were() {
        let bytes = encode(&[1; 32], &record());
        assert_eq!(decode(&[1; 32], &bytes), Some(record()));
        assert_eq!(decode(&[2; 32], &bytes), None, "another key");
    }

    #[test]
    fn damaged_records_are_none() {
        let bytes = encode(&[1; 32], &record());
        for length in 0..bytes.len() {
            assert_eq!(decode(&[1; 32], &bytes[..length]), None, "cut to {length} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&[1; 32], &damaged), None, "damaged at {at}");
            // even with a sum that fits, reading must come to an end
            let body = damaged.len() - DIGEST_BYTES;
            let sum = digest(&[&damaged[..body]]);
            damaged[body..].copy_from_slice(&sum);
            let _ = decode(&[1; 32], &damaged);
        }
    }
}
