//! Programs that find their loader by themselves: what is put into them, and how it is told what to do.
//!
//! The code is an image of `stubs/`. The payload behind it is a header, then strings, each ended by a zero: the path of
//! the loader, and those of libraries; then what is done first; then to what symbols are bound. A path that begins with
//! `//` counts from the root, which is some folders above the program; a name without a slash is left to the loader.

use crate::bytes::{Bytes, until_nul};
use crate::edit::{Editor, Options};
use crate::raw::Format;
use crate::read::{ByteOrder, machine};

/// The name of the section.
pub(crate) const START_SECTION: &[u8] = b".nopal.start";

const MAGIC: &[u8; 8] = b"nopal\x00s1";

/// The size of the payload's header.
const HEADER_BYTES: usize = 56;

/// No image is larger.
const MAX_IMAGE_BYTES: usize = 64 << 10;

/// Images begin at a multiple of this.
pub(crate) const ALIGN: u64 = 16;

/// Of the payload, bindings begin at a multiple of this.
const BINDINGS_ALIGN: usize = 8;

/// Where a loader or a library is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At this path, counted from the root.
    FromRoot(Vec<u8>),
    /// At this absolute path.
    At(Vec<u8>),
    /// Where the loader finds this name.
    Named(Vec<u8>),
}

/// How a program starts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// How many of the last components of the program's path lead to the root: 1 for the folder it is in. 0 if nothing
    /// counts from the root.
    pub depth: u32,
    /// Its loader.
    pub loader: Place,
    /// The libraries to open first, in this order. None to leave all to the loader.
    pub libraries: Vec<Place>,
    /// What is done with variables and arguments before: what `stubs/src/environment.rs` reads, empty for nothing.
    pub preparation: Vec<u8>,
    /// To what symbols are bound: what [`crate::bindings`] gives, empty to leave that to the loader. Of use only if all libraries
    /// are named.
    pub bindings: Vec<u8>,
}

impl Start {
    /// How the program in these bytes starts by itself, if it does.
    pub fn read(bytes: &dyn Bytes) -> Option<Self> {
        Editor::open(bytes, Options::default()).ok()?.start()
    }

    /// How many libraries it opens by path.
    pub fn by_path(&self) -> usize {
        self.libraries.iter().filter(|place| !matches!(place, Place::Named(_))).count()
    }

    /// The path of a place, for the program at this path without links. Nothing if it has only a name, or if there are
    /// fewer folders above the program than there were.
    pub fn place(&self, program: &[u8], place: &Place) -> Option<Vec<u8>> {
        match place {
            Place::At(path) => Some(path.clone()),
            Place::Named(_) => None,
            Place::FromRoot(path) => {
                let mut root = program;
                for _ in 0..self.depth {
                    root = &root[..root.iter().rposition(|byte| *byte == b'/')?];
                }
                Some([root, b"/", path].concat())
            }
        }
    }
}

/// A start as it is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: Start,
    /// Where the program began before.
    pub(crate) entry: u64,
    /// Where the name of its loader is, and how long with its zero.
    pub(crate) interpreter: u64,
    pub(crate) interpreter_bytes: u64,
}

/// The code for a machine, if there is some.
pub(crate) fn image(machine: u16, format: Format) -> Option<&'static [u8]> {
    if format.order == ByteOrder::Big {
        return None;
    }
    match (machine, format.is_64) {
        (machine::X86_64, true) => Some(include_bytes!("../../../stubs/prebuilt/x86_64/start")),
        (machine::I386, false) => Some(include_bytes!("../../../stubs/prebuilt/i386/start")),
        (machine::AARCH64, true) => Some(include_bytes!("../../../stubs/prebuilt/aarch64/start")),
        _ => None,
    }
}

impl Found {
    /// Image and payload, for that address.
    pub(crate) fn encode(&self, image: &[u8], format: Format, address: u64) -> Vec<u8> {
        let mut strings = Vec::new();
        for place in std::iter::once(&self.start.loader).chain(&self.start.libraries) {
            match place {
                Place::FromRoot(path) => strings.extend([b"//", &path[..]].concat()),
                Place::At(path) => strings.extend([b"/", path.trim_start_slashes()].concat()),
                Place::Named(name) => strings.extend(name),
            }
            strings.push(0);
        }
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        for (at, value) in [(8, address + image.len() as u64), (16, self.entry), (24, self.interpreter)] {
            format.put(&mut header, at, 8, value);
        }
        let numbers = [
            self.interpreter_bytes,
            u64::from(self.start.depth),
            self.start.libraries.len() as u64,
            strings.len() as u64,
            self.start.preparation.len() as u64,
            self.start.bindings.len() as u64,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            format.put(&mut header, 32 + 4 * index, 4, number);
        }
        let mut payload = [&header, &strings[..], &self.start.preparation].concat();
        if !self.start.bindings.is_empty() {
            payload.resize(payload.len().next_multiple_of(BINDINGS_ALIGN), 0);
            payload.extend(&self.start.bindings);
        }
        [image, &payload].concat()
    }

    /// Reads what was encoded, whatever the image was.
    pub(crate) fn decode(bytes: &[u8], format: Format) -> Option<Found> {
        let finder = memchr::memmem::Finder::new(MAGIC);
        let head = bytes.get(..bytes.len().min(MAX_IMAGE_BYTES))?;
        let at = finder.find_iter(head).find(|at| at % ALIGN as usize == 0)?;
        let header = bytes.get(at..at.checked_add(HEADER_BYTES)?)?;
        let wide = |at: usize| format.order.number(&header[at..at + 8]);
        let number = |index: usize| format.u32(header, 32 + 4 * index);
        let payload = &bytes[at..];
        let (strings, rest) = payload[HEADER_BYTES..].split_at_checked(number(3) as usize)?;
        let preparation = rest.get(..number(4) as usize)?.to_vec();
        let bindings = match number(5) as usize {
            0 => Vec::new(),
            count => {
                let begin = HEADER_BYTES + strings.len() + preparation.len();
                payload.get(begin.next_multiple_of(BINDINGS_ALIGN)..)?.get(..count)?.to_vec()
            }
        };
        let strings = strings.strip_suffix(b"\0")?;
        let mut places = strings.split(|byte| *byte == 0).map(|text| match text {
            [b'/', b'/', path @ ..] => Place::FromRoot(path.to_vec()),
            [b'/', ..] => Place::At(text.to_vec()),
            name => Place::Named(name.to_vec()),
        });
        let loader = places.next()?;
        let libraries = places.collect::<Vec<_>>();
        if libraries.len() != number(2) as usize {
            return None;
        }
        let start = Start { depth: number(1), loader, libraries, preparation, bindings };
        Some(Found { start, entry: wide(16), interpreter: wide(24), interpreter_bytes: number(0).into() })
    }
}

impl Place {
    /// The path or the name, from the root or not.
    pub fn text(&self) -> &[u8] {
        match self {
            Place::FromRoot(text) | Place::At(text) | Place::Named(text) => until_nul(text),
        }
    }
}

/// Slices of bytes that are paths.
trait Slashes {
    /// Without the slashes at the beginning.
    fn trim_start_slashes(&self) -> &[u8];
}

impl Slashes for [u8] {
    fn trim_start_slashes(&self) -> &[u8] {
        let slashes = self.iter().take_while(|byte| **byte == b'/').count();
        &self[slashes..]
    }
}
