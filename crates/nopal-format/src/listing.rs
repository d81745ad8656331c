//! The `.ls` file beside a NAR in a cache: its tree as JSON, with the places of the files' bytes.

use std::collections::BTreeMap;
use std::io::Read;

use thiserror::Error;

use crate::bytes::ByteString;
use crate::json::{Json, JsonError};
use crate::nar::{MAX_DEPTH, NarError, NarEvent, decode};

/// The version of the format.
pub const VERSION: u64 = 1;

/// A tree without the files' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// A regular file.
    File {
        /// Whether it may be executed.
        executable: bool,
        /// Its size in bytes.
        size: u64,
        /// Where in the NAR its first byte lies, if known.
        nar_offset: Option<u64>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: ByteString,
    },
    /// A directory.
    Directory(BTreeMap<ByteString, Listing>),
}

/// Why a listing cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListingError {
    /// Another shape.
    #[error("while reading NAR listing: {0}")]
    Json(#[from] JsonError),
    /// A version that is not known.
    #[error("unsupported NAR listing version {version}")]
    Version {
        /// The version found.
        version: u64,
    },
    /// A type that is not known.
    #[error("unknown type of file '{found}' in NAR listing")]
    Type {
        /// The type found.
        found: String,
    },
    /// JSON strings are Unicode; Nix refuses here, too.
    #[error("'{name}' is not UTF-8, which a NAR listing cannot express")]
    Utf8 {
        /// The name or target.
        name: ByteString,
    },
    /// Nested deeper than a NAR can be.
    #[error("NAR listing is nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// Builds a listing from the events of a NAR that passes by.
#[derive(Debug, Default)]
pub struct ListingBuilder {
    open: Vec<(ByteString, BTreeMap<ByteString, Listing>)>,
    root: Option<Listing>,
}

impl ListingBuilder {
    /// Nothing seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event. A file's bytes are not read.
    pub fn event(&mut self, event: &NarEvent<'_>) {
        match event {
            NarEvent::EnterDirectory { name } => {
                self.open.push((name.unwrap_or_default().into(), BTreeMap::new()));
            }
            NarEvent::LeaveDirectory => {
                if let Some((name, entries)) = self.open.pop() {
                    self.place(name, Listing::Directory(entries));
                }
            }
            NarEvent::File { name, executable, contents } => {
                let (size, offset) = (contents.size(), contents.offset());
                let file = Listing::File { executable: *executable, size, nar_offset: Some(offset) };
                self.place(name.unwrap_or_default().into(), file);
            }
            NarEvent::Symlink { name, target } => {
                self.place(name.unwrap_or_default().into(), Listing::Symlink { target: (*target).into() });
            }
        }
    }

    fn place(&mut self, name: ByteString, node: Listing) {
        match self.open.last_mut() {
            Some((_, entries)) => {
                entries.insert(name, node);
            }
            None => self.root = Some(node),
        }
    }

    /// The listing; `None` before the root is complete.
    pub fn finish(self) -> Option<Listing> {
        self.root
    }
}

impl Listing {
    /// Lists an archive, skipping the files' bytes.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn from_nar(reader: &mut impl Read) -> Result<Self, NarError> {
        let mut builder = ListingBuilder::new();
        decode(reader, &mut |event| {
            builder.event(&event);
            Ok::<(), NarError>(())
        })?;
        builder.finish().ok_or(NarError::Misuse { what: "the archive has no root" })
    }

    /// The node at a path relative to the root; empty components are skipped, `.` and `..` mean nothing special.
    pub fn lookup(&self, path: &[u8]) -> Option<&Listing> {
        let mut node = self;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            match node {
                Self::Directory(entries) => node = entries.get(name)?,
                Self::File { .. } | Self::Symlink { .. } => return None,
            }
        }
        Some(node)
    }

    /// The file, as Nix writes it beside a NAR.
    ///
    /// # Errors
    /// A name or target that is not UTF-8.
    pub fn to_json(&self) -> Result<Json, ListingError> {
        Ok(Json::object([("version", VERSION.into()), ("root", self.node_to_json()?)]))
    }

    fn node_to_json(&self) -> Result<Json, ListingError> {
        let text = |bytes: &ByteString| match bytes.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(ListingError::Utf8 { name: bytes.clone() }),
        };
        Ok(match self {
            Self::File { executable, size, nar_offset } => {
                let mut pairs = vec![("type", Json::from("regular")), ("size", (*size).into())];
                if *executable {
                    pairs.push(("executable", true.into()));
                }
                if let Some(offset) = nar_offset {
                    pairs.push(("narOffset", (*offset).into()));
                }
                Json::object(pairs)
            }
            Self::Symlink { target } => Json::object([("type", "symlink".into()), ("target", text(target)?.into())]),
            Self::Directory(entries) => {
                let mut nodes = BTreeMap::new();
                for (name, node) in entries {
                    nodes.insert(text(name)?, node.node_to_json()?);
                }
                Json::object([("type", "directory".into()), ("entries", Json::Object(nodes))])
            }
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Another version or shape, or deeper nesting than a NAR can have.
    pub fn from_json(json: &Json) -> Result<Self, ListingError> {
        match json.key("version")?.as_u64("version")? {
            VERSION => Self::node_from_json(json.key("root")?, 0),
            version => Err(ListingError::Version { version }),
        }
    }

    fn node_from_json(json: &Json, depth: usize) -> Result<Self, ListingError> {
        if depth >= MAX_DEPTH {
            return Err(ListingError::TooDeep);
        }
        match json.key("type")?.as_str("type")? {
            "regular" => Ok(Self::File {
                executable: json.get("executable").map_or(Ok(false), |json| json.as_bool("executable"))?,
                size: json.key("size")?.as_u64("size")?,
                nar_offset: json
                    .get("narOffset")
                    .map(|json| json.as_u64("narOffset"))
                    .transpose()?
                    .filter(|offset| *offset != 0),
            }),
            "symlink" => Ok(Self::Symlink { target: json.key("target")?.as_str("target")?.into() }),
            "directory" => {
                let mut entries = BTreeMap::new();
                for (name, node) in json.key("entries")?.as_object("entries")? {
                    entries.insert(name.as_str().into(), Self::node_from_json(node, depth + 1)?);
                }
                Ok(Self::Directory(entries))
            }
            found => Err(ListingError::Type { found: found.to_owned() }),
        }
    }
}
