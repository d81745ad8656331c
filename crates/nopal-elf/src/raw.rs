//! The tables of an ELF file as numbers, for both classes and both byte orders.
//!
//! Layouts are those of the System V ABI, chapters 4 and 5, and of `elf.h`.

use crate::bytes::Bytes;
use crate::error::ElfError;
use crate::read::{ByteOrder, machine};

/// Where the class of a file stands in its identification, and its byte order, and its ABI.
const EI_CLASS: usize = 4;
const EI_DATA: usize = 5;
const EI_VERSION: usize = 6;
const EI_OSABI: usize = 7;

/// Where the entry point stands in the header.
const ENTRY: usize = 24;

pub(crate) const PT_NULL: u32 = 0;
pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_INTERP: u32 = 3;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const PT_PHDR: u32 = 6;
pub(crate) const PT_GNU_STACK: u32 = 0x6474_e551;
pub(crate) const PT_GNU_RELRO: u32 = 0x6474_e552;
pub(crate) const PT_GNU_PROPERTY: u32 = 0x6474_e553;

pub(crate) const PF_X: u32 = 1;
pub(crate) const PF_W: u32 = 2;
pub(crate) const PF_R: u32 = 4;

pub(crate) const SHT_PROGBITS: u32 = 1;
pub(crate) const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_RELA: u32 = 4;
pub(crate) const SHT_DYNAMIC: u32 = 6;
pub(crate) const SHT_NOTE: u32 = 7;
pub(crate) const SHT_NOBITS: u32 = 8;
pub(crate) const SHT_REL: u32 = 9;
pub(crate) const SHT_DYNSYM: u32 = 11;
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_EXECINSTR: u64 = 4;

pub(crate) const DT_NULL: u64 = 0;
pub(crate) const DT_NEEDED: u64 = 1;
pub(crate) const DT_PLTRELSZ: u64 = 2;
pub(crate) const DT_HASH: u64 = 4;
pub(crate) const DT_STRTAB: u64 = 5;
pub(crate) const DT_SYMTAB: u64 = 6;
pub(crate) const DT_RELA: u64 = 7;
pub(crate) const DT_RELASZ: u64 = 8;
pub(crate) const DT_STRSZ: u64 = 10;
pub(crate) const DT_SONAME: u64 = 14;
pub(crate) const DT_RPATH: u64 = 15;
pub(crate) const DT_SYMBOLIC: u64 = 16;
pub(crate) const DT_REL: u64 = 17;
pub(crate) const DT_RELSZ: u64 = 18;
pub(crate) const DT_PLTREL: u64 = 20;
pub(crate) const DT_DEBUG: u64 = 21;
pub(crate) const DT_JMPREL: u64 = 23;
pub(crate) const DT_RUNPATH: u64 = 29;
pub(crate) const DT_GNU_HASH: u64 = 0x6fff_fef5;
pub(crate) const DT_VERSYM: u64 = 0x6fff_fff0;
pub(crate) const DT_FLAGS_1: u64 = 0x6fff_fffb;
pub(crate) const DT_VERDEF: u64 = 0x6fff_fffc;
pub(crate) const DT_VERDEFNUM: u64 = 0x6fff_fffd;
pub(crate) const DT_VERNEED: u64 = 0x6fff_fffe;
pub(crate) const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
pub(crate) const DT_TEXTREL: u64 = 22;
pub(crate) const DT_BIND_NOW: u64 = 24;
pub(crate) const DT_FLAGS: u64 = 30;
pub(crate) const DT_AUXILIARY: u64 = 0x7fff_fffd;
pub(crate) const DT_FILTER: u64 = 0x7fff_ffff;
pub(crate) const DT_MIPS_RLD_MAP_REL: u64 = 0x7000_0035;
pub(crate) const DF_1_NODEFLIB: u64 = 0x800;

/// Class and byte order: how numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) is_64: bool,
    pub(crate) order: ByteOrder,
}

impl Format {
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        self.number(bytes, at, 2) as u16
    }

    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        self.number(bytes, at, 4) as u32
    }

    /// An address, offset or size.
    pub(crate) fn word(self, bytes: &[u8], at: usize) -> u64 {
        self.number(bytes, at, self.word_bytes())
    }

    /// The size of an address.
    pub(crate) fn word_bytes(self) -> usize {
        if self.is_64 { 8 } else { 4 }
    }

    fn number(self, bytes: &[u8], at: usize, size: usize) -> u64 {
        self.order.number(&bytes[at..at + size])
    }

    pub(crate) fn put(self, bytes: &mut [u8], at: usize, size: usize, number: u64) {
        let target = &mut bytes[at..at + size];
        match self.order {
            ByteOrder::Big => target.copy_from_slice(&number.to_be_bytes()[8 - size..]),
            ByteOrder::Little => target.copy_from_slice(&number.to_le_bytes()[..size]),
        }
    }

    pub(crate) fn header_bytes(self) -> usize {
        if self.is_64 { 64 } else { 52 }
    }

    pub(crate) fn segment_bytes(self) -> usize {
        if self.is_64 { 56 } else { 32 }
    }

    pub(crate) fn section_bytes(self) -> usize {
        if self.is_64 { 64 } else { 40 }
    }

    pub(crate) fn dynamic_bytes(self) -> usize {
        2 * self.word_bytes()
    }

    pub(crate) fn symbol_bytes(self) -> usize {
        if self.is_64 { 24 } else { 16 }
    }
}

/// The file header.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) format: Format,
    pub(crate) os_abi: u8,
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    /// Where the program begins to run.
    pub(crate) entry: u64,
    pub(crate) segments_offset: u64,
    pub(crate) sections_offset: u64,
    pub(crate) segment_count: u16,
    pub(crate) section_count: u16,
    pub(crate) names_index: u16,
    /// As read.
    raw: Vec<u8>,
}

impl Header {
    /// Reads the header of a file.
    pub(crate) fn read(bytes: &dyn Bytes) -> Result<Header, ElfError> {
        let mut raw = vec![0; 64.min(bytes.len() as usize)];
        if raw.len() < 52 {
            return Err(ElfError::NoHeader);
        }
        bytes.read_at(0, &mut raw)?;
        if raw[..4] != *b"\x7fELF" {
            return Err(ElfError::NotElf);
        }
        if raw[EI_VERSION] != 1 {
            return Err(ElfError::Version);
        }
        let is_64 = match raw[EI_CLASS] {
            1 => false,
            2 => true,
            _ => return Err(ElfError::Class),
        };
        let order = if raw[EI_DATA] == 2 { ByteOrder::Big } else { ByteOrder::Little };
        let format = Format { is_64, order };
        if raw.len() < format.header_bytes() {
            return Err(ElfError::NoHeader);
        }
        raw.truncate(format.header_bytes());
        let (offsets, counts) = if is_64 { (32, 52) } else { (28, 40) };
        let header = Header {
            format,
            os_abi: raw[EI_OSABI],
            kind: format.u16(&raw, 16),
            machine: format.u16(&raw, 18),
            entry: format.word(&raw, ENTRY),
            segments_offset: format.word(&raw, offsets),
            sections_offset: format.word(&raw, offsets + format.word_bytes()),
            segment_count: format.u16(&raw, counts + 4),
            section_count: format.u16(&raw, counts + 8),
            names_index: format.u16(&raw, counts + 10),
            raw,
        };
        Ok(header)
    }

    /// Checks that both tables lie in a file of `len` bytes and have entries of the right size.
    pub(crate) fn check_tables(&self, len: u64) -> Result<(), ElfError> {
        let (format, counts) = (self.format, if self.format.is_64 { 52 } else { 40 });
        let sizes = (format.u16(&self.raw, counts + 2), format.u16(&self.raw, counts + 6));
        let is_inside = |offset: u64, count: u16, size: u16| {
            count == 0 || offset.checked_add(u64::from(count) * u64::from(size)).is_some_and(|end| end <= len)
        };
        if !is_inside(self.segments_offset, self.segment_count, sizes.0) {
            return Err(ElfError::Table("program header"));
        }
        if !is_inside(self.sections_offset, self.section_count, sizes.1) {
            return Err(ElfError::Table("section header"));
        }
        if self.segment_count > 0 && usize::from(sizes.0) != format.segment_bytes() {
            return Err(ElfError::SegmentSize);
        }
        if self.section_count > 0 && usize::from(sizes.1) != format.section_bytes() {
            return Err(ElfError::SectionSize);
        }
        Ok(())
    }

    /// The header as it is written, if it is another than was read.
    pub(crate) fn changed_bytes(&self) -> Option<Vec<u8>> {
        Some(self.bytes()).filter(|bytes| *bytes != self.raw)
    }

    fn bytes(&self) -> Vec<u8> {
        let format = self.format;
        let mut raw = self.raw.clone();
        let (offsets, counts) = if format.is_64 { (32, 52) } else { (28, 40) };
        raw[EI_OSABI] = self.os_abi;
        format.put(&mut raw, ENTRY, format.word_bytes(), self.entry);
        format.put(&mut raw, offsets, format.word_bytes(), self.segments_offset);
        format.put(&mut raw, offsets + format.word_bytes(), format.word_bytes(), self.sections_offset);
        format.put(&mut raw, counts + 4, 2, u64::from(self.segment_count));
        format.put(&mut raw, counts + 8, 2, u64::from(self.section_count));
        format.put(&mut raw, counts + 10, 2, u64::from(self.names_index));
        raw
    }

    /// The size of a page as patchelf counts it: the largest that kernels of the architecture use.
    pub(crate) fn page_bytes(&self) -> u64 {
        match self.machine {
            machine::ALPHA
            | machine::IA_64
            | machine::MIPS
            | machine::PPC
            | machine::PPC64
            | machine::AARCH64
            | machine::TILE_GX
            | machine::LOONGARCH => 0x10000,
            machine::SPARC | machine::SPARCV9 => 0x2000,
            _ => 0x1000,
        }
    }
}

/// A program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) physical: u64,
    pub(crate) file_bytes: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) align: u64,
}

impl Segment {
    /// One that is in memory as it is in the file.
    pub(crate) fn mapped(kind: u32, flags: u32, (offset, address): (u64, u64), bytes: u64, align: u64) -> Segment {
        Segment { kind, flags, offset, address, physical: address, file_bytes: bytes, memory_bytes: bytes, align }
    }

    pub(crate) fn read(format: Format, raw: &[u8]) -> Segment {
        let size = format.word_bytes();
        let begin = if format.is_64 { 8 } else { 4 };
        let word = |index: usize| format.word(raw, begin + index * size);
        Segment {
            kind: format.u32(raw, 0),
            flags: format.u32(raw, if format.is_64 { 4 } else { 24 }),
            offset: word(0),
            address: word(1),
            physical: word(2),
            file_bytes: word(3),
            memory_bytes: word(4),
            align: format.word(raw, if format.is_64 { 48 } else { 28 }),
        }
    }

    pub(crate) fn write(&self, format: Format) -> Vec<u8> {
        let mut raw = vec![0; format.segment_bytes()];
        let size = format.word_bytes();
        let begin = if format.is_64 { 8 } else { 4 };
        format.put(&mut raw, 0, 4, u64::from(self.kind));
        format.put(&mut raw, if format.is_64 { 4 } else { 24 }, 4, u64::from(self.flags));
        let words = [self.offset, self.address, self.physical, self.file_bytes, self.memory_bytes];
        for (index, word) in words.into_iter().enumerate() {
            format.put(&mut raw, begin + index * size, size, word);
        }
        format.put(&mut raw, if format.is_64 { 48 } else { 28 }, size, self.align);
        raw
    }

    pub(crate) fn file_end(&self) -> u64 {
        self.offset.saturating_add(self.file_bytes)
    }

    pub(crate) fn memory_end(&self) -> u64 {
        self.address.saturating_add(self.memory_bytes)
    }

    /// Gives it another place.
    pub(crate) fn place(&mut self, offset: u64, address: u64) {
        (self.offset, self.address, self.physical) = (offset, address, address);
    }

    /// Gives it another size, the same in the file and in memory.
    pub(crate) fn resize(&mut self, bytes: u64) {
        (self.file_bytes, self.memory_bytes) = (bytes, bytes);
    }
}

/// A section header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Section {
    pub(crate) name: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) align: u64,
    pub(crate) entry_bytes: u64,
}

impl Section {
    pub(crate) fn read(format: Format, raw: &[u8]) -> Section {
        let size = format.word_bytes();
        let word = |index: usize| format.word(raw, 8 + index * size);
        let after = 8 + 4 * size;
        Section {
            name: format.u32(raw, 0),
            kind: format.u32(raw, 4),
            flags: word(0),
            address: word(1),
            offset: word(2),
            bytes: word(3),
            link: format.u32(raw, after),
            info: format.u32(raw, after + 4),
            align: format.word(raw, after + 8),
            entry_bytes: format.word(raw, after + 8 + size),
        }
    }

    pub(crate) fn write(&self, format: Format) -> Vec<u8> {
        let mut raw = vec![0; format.section_bytes()];
        let size = format.word_bytes();
        let after = 8 + 4 * size;
        format.put(&mut raw, 0, 4, u64::from(self.name));
        format.put(&mut raw, 4, 4, u64::from(self.kind));
        for (index, word) in [self.flags, self.address, self.offset, self.bytes].into_iter().enumerate() {
            format.put(&mut raw, 8 + index * size, size, word);
        }
        format.put(&mut raw, after, 4, u64::from(self.link));
        format.put(&mut raw, after + 4, 4, u64::from(self.info));
        format.put(&mut raw, after + 8, size, self.align);
        format.put(&mut raw, after + 8 + size, size, self.entry_bytes);
        raw
    }

    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }

    /// Whether the file has bytes of it.
    pub(crate) fn is_in_file(&self) -> bool {
        self.kind != SHT_NOBITS && self.bytes > 0
    }
}

/// An entry of the dynamic section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dynamic {
    pub(crate) tag: u64,
    pub(crate) value: u64,
}

impl Dynamic {
    pub(crate) fn read(format: Format, raw: &[u8]) -> Dynamic {
        Dynamic { tag: format.word(raw, 0), value: format.word(raw, format.word_bytes()) }
    }

    pub(crate) fn write(self, format: Format) -> Vec<u8> {
        let mut raw = vec![0; format.dynamic_bytes()];
        format.put(&mut raw, 0, format.word_bytes(), self.tag);
        format.put(&mut raw, format.word_bytes(), format.word_bytes(), self.value);
        raw
    }
}

/// The numbers of the symbols that the GNU hash table at `at` lists, to the last one of all; none if it is empty. `read` gives
/// bytes from a place on, and places are counted as `at` is.
pub(crate) fn listed_symbols<E>(
    format: Format,
    at: u64,
    read: impl Fn(u64, u64) -> Result<Vec<u8>, E>,
) -> Result<std::ops::Range<u64>, E> {
    let head = read(at, 16)?;
    let [buckets, first, words] = [0, 4, 8].map(|field| u64::from(format.u32(&head, field)));
    let buckets_at = at.wrapping_add(16 + words * format.word_bytes() as u64);
    let table = read(buckets_at, 4 * buckets)?;
    let last = table.chunks_exact(4).map(|bucket| u64::from(format.u32(bucket, 0))).max().unwrap_or(0);
    if last < first {
        return Ok(first..first);
    }
    // the last chain ends with the last symbol
    let chains_at = buckets_at.wrapping_add(4 * buckets);
    let mut end = last;
    loop {
        let chain = read(chains_at.wrapping_add(4 * (end - first)), 4)?;
        end += 1;
        if format.u32(&chain, 0) & 1 == 1 {
            return Ok(first..end);
        }
    }
}
