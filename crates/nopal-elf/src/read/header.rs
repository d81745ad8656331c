//! The file header and the table of segments.

use super::error::ReadError;
use super::layout::{ByteOrder, Class, Layout};
use super::source::{Source, table};
use crate::Bytes;
use crate::raw::Segment;

/// The file header: what says how everything else is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub(crate) layout: Layout,
    /// Whose conventions it follows (`EI_OSABI`): 0 is System V, 3 is GNU.
    pub os_abi: u8,
    /// Whether the unused bytes of the identification are zero, as the loader demands.
    pub has_clean_padding: bool,
    /// What it is (`e_type`); see [`kind`].
    pub kind: u16,
    /// For which machine (`e_machine`); see [`machine`].
    pub machine: u16,
    /// Flags of the machine (`e_flags`).
    pub flags: u32,
    /// How long an entry of the table of segments is.
    pub segment_bytes: u16,
    segments_offset: u64,
    segments: u16,
    pub(crate) sections: u16,
}

/// Values of [`Header::kind`].
pub mod kind {
    /// To be linked.
    pub const RELOCATABLE: u16 = 1;
    /// A program with a fixed address.
    pub const EXECUTABLE: u16 = 2;
    /// A library, or a program that can lie anywhere.
    pub const SHARED: u16 = 3;
    /// Memory of a program that died.
    pub const CORE: u16 = 4;
}

/// Values of [`Header::machine`] that somebody must know here.
pub mod machine {
    #![allow(missing_docs)]
    pub const SPARC: u16 = 2;
    pub const I386: u16 = 3;
    pub const M68K: u16 = 4;
    pub const MIPS: u16 = 8;
    pub const PARISC: u16 = 15;
    pub const PPC: u16 = 20;
    pub const PPC64: u16 = 21;
    pub const S390: u16 = 22;
    pub const ARM: u16 = 40;
    pub const SH: u16 = 42;
    pub const SPARCV9: u16 = 43;
    pub const IA_64: u16 = 50;
    pub const X86_64: u16 = 62;
    pub const AARCH64: u16 = 183;
    pub const TILE_GX: u16 = 191;
    pub const RISCV: u16 = 243;
    pub const LOONGARCH: u16 = 258;
    pub const ALPHA: u16 = 0x9026;

    /// Flag of files for [`ARM`] that pass numbers with fractions in registers of their own.
    pub(crate) const ARM_HARD_FLOAT: u32 = 0x400;

    /// The name of a machine as `uname -m` would say it, where one is usual.
    pub fn name(machine: u16) -> Option<&'static str> {
        Some(match machine {
            SPARC => "sparc",
            I386 => "i386",
            M68K => "m68k",
            MIPS => "mips",
            PARISC => "parisc",
            PPC => "powerpc",
            PPC64 => "powerpc64",
            S390 => "s390x",
            ARM => "arm",
            SH => "sh",
            SPARCV9 => "sparc64",
            IA_64 => "ia64",
            X86_64 => "x86_64",
            AARCH64 => "aarch64",
            RISCV => "riscv",
            LOONGARCH => "loongarch64",
            ALPHA => "alpha",
            _ => return None,
        })
    }
}

/// Length of the header in files of 64 bits, the longer one.
const HEADER_BYTES: usize = 64;
/// The kernel takes no table of segments over 64 KiB, which is 1170 entries; libraries may have as many.
const MAX_SEGMENTS_BYTES: u64 = 64 * 1024;

impl Header {
    /// Reads the header.
    ///
    /// # Errors
    /// The file is no ELF file, of an unknown class or byte order, or too short.
    pub fn read(bytes: &dyn Bytes) -> Result<Self, ReadError> {
        let mut head = [0; HEADER_BYTES];
        let length = HEADER_BYTES.min(usize::try_from(bytes.len()).unwrap_or(HEADER_BYTES));
        bytes.read_at(0, &mut head[..length]).map_err(|source| ReadError::Io {
            what: "the header",
            offset: 0,
            source,
        })?;
        if &head[..4] != b"\x7fELF" {
            return Err(ReadError::NotElf);
        }
        let unknown =
            |what, offset: usize| ReadError::Unknown { what, value: head[offset].into(), offset: offset as u64 };
        let class = match head[4] {
            1 => Class::Elf32,
            2 => Class::Elf64,
            _ => return Err(unknown("class", 4)),
        };
        let order = match head[5] {
            1 => ByteOrder::Little,
            2 => ByteOrder::Big,
            _ => return Err(unknown("byte order", 5)),
        };
        if head[6] != 1 {
            return Err(unknown("version", 6));
        }
        let layout = Layout { class, order };
        let header_bytes = layout.format().header_bytes();
        if length < header_bytes {
            let outside = (header_bytes as u64, bytes.len());
            return Err(ReadError::Outside { what: "the header", offset: 0, length: outside.0, file_bytes: outside.1 });
        }
        let number = |narrow, wide| layout.field(&head, narrow, wide);
        // fields of two and four bytes cannot be larger than that
        let short = |narrow, wide| number((narrow, 2), (wide, 2)) as u16;
        Ok(Self {
            layout,
            os_abi: head[7],
            has_clean_padding: head[8..16].iter().all(|byte| *byte == 0),
            kind: short(16, 16),
            machine: short(18, 18),
            flags: number((36, 4), (48, 4)) as u32,
            segment_bytes: short(42, 54),
            segments_offset: number((28, 4), (32, 8)),
            segments: short(44, 56),
            sections: short(48, 60),
        })
    }

    /// How wide addresses are.
    pub fn class(&self) -> Class {
        self.layout.class
    }

    /// In which order bytes of a number stand.
    pub fn byte_order(&self) -> ByteOrder {
        self.layout.order
    }

    /// Reads the table of segments.
    pub(crate) fn segments(&self, source: &Source<'_>) -> Result<Vec<Segment>, ReadError> {
        let format = self.layout.format();
        let size = format.segment_bytes();
        if self.segments == 0 {
            return Ok(Vec::new());
        }
        if usize::from(self.segment_bytes) != size {
            let (value, offset) = (self.segment_bytes.into(), self.layout.pick(42, 54));
            return Err(ReadError::Unknown { what: "length of a segment's entry", value, offset });
        }
        let length = u64::from(self.segments) * size as u64;
        let bytes = table(source, "the table of segments", self.segments_offset, length, MAX_SEGMENTS_BYTES)?;
        Ok(bytes.chunks_exact(size).map(|entry| Segment::read(format, entry)).collect())
    }
}
