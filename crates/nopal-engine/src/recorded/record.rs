//! What is kept of an evaluation: its answer, and everything of the world that the answer depends on.

use std::collections::{BTreeMap, BTreeSet};

use nopal_eval::host::{FileType, HostError, HostResult, Message};
use nopal_format::hash::Hasher;
use nopal_format::{ContentAddressMethod, Hash, HashAlgorithm, StorePath};
use nopal_fs::{EntryKind, FileIdentity};

use super::division::Division;

/// A BLAKE3 hash.
pub(super) type Digest = [u8; DIGEST_BYTES];

/// Bytes of a [`Digest`].
pub(super) const DIGEST_BYTES: usize = 32;

/// An evaluation that may be answered again without being run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The answer, in the form that its type gives it.
    pub(super) answer: Vec<u8>,
    /// What was shown meanwhile, in order.
    pub(super) messages: Vec<Message>,
    /// What was asked of the world.
    pub(super) facts: Facts,
    /// The parts that the answer is made of, if they can be answered one by one.
    pub(super) division: Option<Division>,
}

/// Questions that an evaluation asked, with the answers it was given. Deterministic as it is, it comes to the same end
/// as long as the same questions have the same answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Files, directories, links, and what was missing.
    pub(super) paths: BTreeMap<Vec<u8>, PathFacts>,
    /// Variables of the environment; hashed, since values may be secrets.
    pub(super) environment: BTreeMap<Vec<u8>, Option<Digest>>,
    /// Trees that were copied to the store, by [`TreeFact::digest`].
    pub(super) trees: BTreeMap<Digest, TreeFact>,
    /// Downloads that may be used until they are too old.
    pub(super) downloads: BTreeSet<Vec<u8>>,
    /// Store objects that were valid, with the hash of their contents, or that were not.
    pub(super) objects: BTreeMap<StorePath, Option<Hash>>,
    /// What store objects referred to.
    pub(super) references: BTreeMap<StorePath, Digest>,
    /// What the evaluation wrote to the store, as far as nothing else that it wrote refers to it.
    pub(super) written: BTreeSet<StorePath>,
}

/// What was asked of one path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathFacts {
    /// What it was.
    pub(super) kind: Option<Kind>,
    /// The contents of the file.
    pub(super) contents: Option<Digest>,
    /// The tokens of the file, if it was read as code only, and nobody asked where in it something stands: then space and
    /// comments make no difference.
    pub(super) tokens: Option<Digest>,
    /// The names in the directory and what they were.
    pub(super) listing: Option<Digest>,
    /// Where the link pointed.
    pub(super) target: Option<Digest>,
    /// With the identity that the file or directory had when it was read, it need not be read again.
    pub(super) identity: Option<Identity>,
}

/// An identity as it is written down.
pub(crate) type Identity = [u8; FileIdentity::BYTES];

/// The answer to "what is there?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Nothing.
    Absent = 0,
    /// A file that may not be executed.
    File = 1,
    /// A file that may be executed.
    Executable = 2,
    /// A directory.
    Directory = 3,
    /// A link.
    Symlink = 4,
    /// Something else.
    Other = 5,
    /// The question failed. An evaluation that goes on all the same learned only that.
    Failed = 6,
}

impl Kind {
    /// All, by their numbers.
    pub(super) const ALL: [Self; 7] =
        [Self::Absent, Self::File, Self::Executable, Self::Directory, Self::Symlink, Self::Other, Self::Failed];

    /// Of a host's answer.
    pub(super) fn of_answer(answer: &HostResult<Option<FileType>>) -> Self {
        match answer {
            Ok(None) => Self::Absent,
            Ok(Some(FileType::Regular { executable: false })) => Self::File,
            Ok(Some(FileType::Regular { executable: true })) => Self::Executable,
            Ok(Some(FileType::Directory)) => Self::Directory,
            Ok(Some(FileType::Symlink)) => Self::Symlink,
            Ok(Some(FileType::Other)) => Self::Other,
            Err(_) => Self::Failed,
        }
    }

    /// Of what the system says is there.
    pub(super) fn of_identity(identity: &FileIdentity) -> Self {
        match identity.kind() {
            EntryKind::File if identity.is_executable() => Self::Executable,
            EntryKind::File => Self::File,
            EntryKind::Directory => Self::Directory,
            EntryKind::Symlink => Self::Symlink,
            EntryKind::Other => Self::Other,
        }
    }
}

/// A file or tree that was copied to the store, or whose path there was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeFact {
    /// Where it was.
    pub(super) path: Vec<u8>,
    /// Name of the store object.
    pub(super) name: String,
    /// How it was hashed.
    pub(super) method: ContentAddressMethod,
    /// With which algorithm.
    pub(super) algorithm: HashAlgorithm,
    /// What of it was taken.
    pub(super) extent: Extent,
    /// The store object.
    pub(super) store_path: StorePath,
    /// The entries that were read and their identities; paths are below [`path`](Self::path), whose own is empty.
    /// `None` if they were not settled.
    pub(super) entries: Option<Vec<(Vec<u8>, Identity)>>,
}

impl TreeFact {
    /// The digest of the question and the answer.
    pub(super) fn digest(&self) -> Digest {
        let Self { path, name, method, algorithm, extent, store_path, entries: _ } = self;
        let how = format!("{method:?} {algorithm:?} {extent:?}");
        digest(&[path, name.as_bytes(), how.as_bytes(), store_path.base_name().as_bytes()])
    }
}

/// What of a tree was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything: the hash of the tree is all that was asked for.
    Whole,
    /// What a function chose. Given the same questions it gives the same answers, since whatever else it looked at is
    /// noted as well.
    Chosen(Vec<Choice>),
}

/// A question to a function that chooses entries, in the order of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The entry, below the root.
    pub(super) path: Vec<u8>,
    /// What it was.
    pub(super) kind: Kind,
    /// The answer.
    pub(super) is_taken: bool,
}

/// The BLAKE3 hash of some parts, each with its length.
pub(super) fn digest(parts: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new(HashAlgorithm::Blake3);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    finished(hasher)
}

fn finished(hasher: Hasher) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(hasher.finish().bytes());
    digest
}

/// The digest of a host's answer. A failure has the digest of its text.
pub(super) fn answer_digest<T>(answer: &HostResult<T>, of: impl FnOnce(&T) -> Digest) -> Digest {
    match answer {
        Ok(answer) => of(answer),
        Err(error) => failure_digest(error),
    }
}

fn failure_digest(error: &HostError) -> Digest {
    digest(&[b"failure", error.to_string().as_bytes()])
}

/// The digest of a file's contents.
pub(super) fn contents_digest(contents: &[u8]) -> Digest {
    digest(&[contents])
}

/// The digest of the tokens of a source; `None` if it is not made of tokens.
pub(super) fn tokens_digest(source: &[u8], pipe_operators: bool) -> Option<Digest> {
    let mut hasher = Hasher::new(HashAlgorithm::Blake3);
    hasher.update(b"tokens");
    let mut piece = Vec::with_capacity(2 * PIECE_BYTES);
    let is_whole = nopal_syntax::tokens(source, pipe_operators, |kind, token| {
        piece.push(kind);
        piece.extend_from_slice(&(token.len() as u32).to_le_bytes());
        piece.extend_from_slice(token);
        if piece.len() >= PIECE_BYTES {
            hasher.update(&piece);
            piece.clear();
        }
    });
    hasher.update(&piece);
    is_whole.then(|| finished(hasher))
}

/// So much is hashed together: enough for the hash to take it in parallel.
const PIECE_BYTES: usize = 16 << 10;

/// The digest of a directory's listing, in whatever order it came.
pub(super) fn listing_digest(listing: &[(Vec<u8>, FileType)]) -> Digest {
    let mut sorted: Vec<(&[u8], FileType)> = listing.iter().map(|(name, kind)| (&name[..], *kind)).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut parts: Vec<&[u8]> = vec![b"listing"];
    parts.extend(sorted.iter().flat_map(|(name, kind)| [*name, kind.name().as_bytes()]));
    digest(&parts)
}

/// The digest of the references of a store object.
pub(super) fn references_digest(references: &[StorePath]) -> Digest {
    let mut names: Vec<String> = references.iter().map(StorePath::base_name).collect();
    names.sort_unstable();
    let mut parts: Vec<&[u8]> = vec![b"references"];
    parts.extend(names.iter().map(String::as_bytes));
    digest(&parts)
}
