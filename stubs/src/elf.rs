//! What a loader of loaders has to know of ELF files.

use crate::arch::MACHINE;
use crate::sys::{self, File};

/// Kinds of segments.
pub mod segment {
    #![allow(missing_docs)]
    pub const LOAD: u32 = 1;
    pub const DYNAMIC: u32 = 2;
    pub const INTERPRETER: u32 = 3;
    pub const HEADERS: u32 = 6;
    pub const STACK: u32 = 0x6474_e551;
}

/// Tags of dynamic sections.
pub mod dynamic {
    #![allow(missing_docs)]
    pub const NULL: usize = 0;
    pub const NEEDED: usize = 1;
    pub const CALLS_BYTES: usize = 2;
    pub const STRINGS: usize = 5;
    pub const SYMBOLS: usize = 6;
    pub const STRINGS_BYTES: usize = 10;
    pub const SYMBOL_BYTES: usize = 11;
    pub const DEBUG: usize = 21;
    pub const CALLS: usize = 23;
    /// Relocations, the size of all, and of one: with addends, or as i386 has them, without.
    pub const RELOCATIONS: usize = if cfg!(target_arch = "x86") { 17 } else { 7 };
    pub const RELOCATIONS_BYTES: usize = RELOCATIONS + 1;
    pub const RELOCATION_BYTES: usize = RELOCATIONS + 2;
    /// How many of the first only add where the object is.
    pub const RELATIVE_COUNT: usize = if cfg!(target_arch = "x86") { 0x6fff_fffa } else { 0x6fff_fff9 };
    pub const GNU_HASH: usize = 0x6fff_fef5;
}

/// The header of a file.
#[repr(C)]
pub struct Header {
    identity: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    /// Where it begins to run.
    pub entry: usize,
    segments_offset: usize,
    sections_offset: usize,
    flags: u32,
    header_bytes: u16,
    segment_bytes: u16,
    segment_count: u16,
    rest: [u16; 3],
}

impl Header {
    /// That of a library whose program headers follow.
    pub fn of_library(segment_count: usize) -> Self {
        let class = if size_of::<usize>() == 8 { 2 } else { 1 };
        Self {
            identity: [0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            kind: 3,
            machine: MACHINE,
            version: 1,
            entry: 0,
            segments_offset: size_of::<Self>(),
            sections_offset: 0,
            flags: 0,
            header_bytes: size_of::<Self>() as u16,
            segment_bytes: size_of::<Segment>() as u16,
            segment_count: segment_count as u16,
            rest: [0; 3],
        }
    }
}

/// A relocation.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Relocation {
    /// Where something is written to.
    pub place: usize,
    /// What, and of which symbol.
    pub info: usize,
    /// What is added. i386 has it at the place.
    #[cfg(not(target_arch = "x86"))]
    pub addend: usize,
}

/// A program header.
#[cfg(target_pointer_width = "64")]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Segment {
    /// What it is.
    pub kind: u32,
    /// What may be done with it: 1 execute, 2 write, 4 read.
    pub flags: u32,
    /// Where it is in the file.
    pub offset: usize,
    /// Its address.
    pub address: usize,
    /// The same.
    pub physical: usize,
    /// Its size in the file.
    pub file_bytes: usize,
    /// Its size in memory.
    pub memory_bytes: usize,
    /// Its alignment.
    pub align: usize,
}

/// A program header.
#[cfg(target_pointer_width = "32")]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Segment {
    /// What it is.
    pub kind: u32,
    /// Where it is in the file.
    pub offset: usize,
    /// Its address.
    pub address: usize,
    /// The same.
    pub physical: usize,
    /// Its size in the file.
    pub file_bytes: usize,
    /// Its size in memory.
    pub memory_bytes: usize,
    /// What may be done with it: 1 execute, 2 write, 4 read.
    pub flags: u32,
    /// Its alignment.
    pub align: usize,
}

/// An entry of a dynamic section.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Dynamic {
    /// What it tells.
    pub tag: usize,
    /// That.
    pub value: usize,
}

#[repr(C)]
struct Symbol {
    name: u32,
    #[cfg(target_pointer_width = "32")]
    value: usize,
    #[cfg(target_pointer_width = "32")]
    bytes: usize,
    rest: u32,
    #[cfg(target_pointer_width = "64")]
    value: usize,
    #[cfg(target_pointer_width = "64")]
    bytes: usize,
}

/// A loader in memory.
pub struct Loader {
    /// Where it is.
    pub base: usize,
    /// Where it begins to run.
    pub entry: usize,
    dynamic: Option<*const Dynamic>,
}

/// What is wrong with a loader.
pub enum Refusal {
    /// The number of the kernel's error.
    Error(isize),
    /// It is not for this machine, or nothing that can be loaded.
    Format,
    /// There is no room for it.
    Memory,
}

/// All program headers of a loader lie within its first bytes.
const MAX_HEADERS_BYTES: usize = 2048;

/// Maps a loader.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn load(path: *const u8, page_bytes: usize) -> Result<Loader, Refusal> {
    // SAFETY: as the caller says
    let file = unsafe { sys::open(path) }.map_err(Refusal::Error)?;
    let loader = map(file, page_bytes);
    sys::close(file);
    loader
}

fn map(file: File, page: usize) -> Result<Loader, Refusal> {
    let mut bytes = core::mem::MaybeUninit::<[usize; MAX_HEADERS_BYTES / size_of::<usize>()]>::uninit();
    // SAFETY: what is read is looked at only as far as it was read
    let count = unsafe {
        let into = core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast::<u8>(), MAX_HEADERS_BYTES);
        sys::read(file, into)
    };
    if count < 0 {
        return Err(Refusal::Error(-count));
    }
    let count = count as usize;
    if count < size_of::<Header>() {
        return Err(Refusal::Format);
    }
    // SAFETY: there is one, and any bytes are one
    let header = unsafe { &*bytes.as_ptr().cast::<Header>() };
    let class = if size_of::<usize>() == 8 { 2 } else { 1 };
    let [m0, m1, m2, m3, of_class, order, ..] = header.identity;
    let is_ours = m0 == 0x7f && m1 == b'E' && m2 == b'L' && m3 == b'F' && of_class == class && order == 1;
    let table_bytes = usize::from(header.segment_count) * size_of::<Segment>();
    if !is_ours
        || header.kind != 3
        || header.machine != MACHINE
        || usize::from(header.segment_bytes) != size_of::<Segment>()
        || header.segments_offset > count
        || count - header.segments_offset < table_bytes
        || !header.segments_offset.is_multiple_of(align_of::<Segment>())
    {
        return Err(Refusal::Format);
    }
    // SAFETY: they lie in what was read, and any bytes are program headers
    let segments = unsafe {
        let first = bytes.as_ptr().cast::<u8>().add(header.segments_offset).cast::<Segment>();
        core::slice::from_raw_parts(first, usize::from(header.segment_count))
    };
    let (mut end, mut align) = (0_usize, page);
    for segment in segments {
        if segment.kind == segment::LOAD {
            let last = segment.address.checked_add(segment.memory_bytes).ok_or(Refusal::Format)?;
            if segment.file_bytes > segment.memory_bytes || (segment.address ^ segment.offset) & (page - 1) != 0 {
                return Err(Refusal::Format);
            }
            end = end.max(last);
            if segment.align.is_power_of_two() {
                align = align.max(segment.align);
            }
        }
    }
    let size = round_up(end, page).and_then(|size| size.checked_add(align - page)).ok_or(Refusal::Format)?;
    if end == 0 {
        return Err(Refusal::Format);
    }
    let base = sys::map(0, size, 0, sys::PRIVATE_MEMORY, None).ok_or(Refusal::Memory)?;
    let base = (base + align - 1) & !(align - 1);
    let mut dynamic = None;
    for segment in segments {
        match segment.kind {
            segment::LOAD => map_segment(file, base, segment, page).ok_or(Refusal::Memory)?,
            segment::DYNAMIC => dynamic = Some((base + segment.address) as *const Dynamic),
            _ => {}
        }
    }
    Ok(Loader { base, entry: base.wrapping_add(header.entry), dynamic })
}

fn round_up(size: usize, page: usize) -> Option<usize> {
    Some(size.checked_add(page - 1)? & !(page - 1))
}

/// Maps a segment into memory that is reserved for it.
fn map_segment(file: File, base: usize, segment: &Segment, page: usize) -> Option<()> {
    let rights = |flag, right| if segment.flags & flag != 0 { right } else { 0 };
    let rights = rights(4, sys::READ) | rights(2, sys::WRITE) | rights(1, sys::EXECUTE);
    let lead = segment.address & (page - 1);
    let begin = base + segment.address - lead;
    if segment.file_bytes > 0 {
        let from = Some((file, segment.offset - lead));
        sys::map(begin, segment.file_bytes + lead, rights, sys::PRIVATE | sys::FIXED, from)?;
    }
    let zeros = base + segment.address + segment.file_bytes;
    let end = base + segment.address + segment.memory_bytes;
    if zeros == end {
        return Some(());
    }
    let next_page = if segment.file_bytes > 0 { round_up(zeros, page)? } else { begin };
    if segment.file_bytes > 0 && rights & sys::WRITE != 0 {
        // SAFETY: the rest of a page that was mapped for writing
        unsafe { crate::memory::clear(zeros as *mut u8, next_page - zeros) };
    }
    if next_page < end {
        sys::map(next_page, end - next_page, rights, sys::PRIVATE_MEMORY | sys::FIXED, None)?;
    }
    Some(())
}

impl Loader {
    /// Where it tells debuggers about what is loaded, if it is one of glibc's: the variable `_r_debug`.
    pub fn debug_address(&self) -> Option<usize> {
        let (mut hash, mut symbols, mut strings) = (0, 0, 0);
        let mut at = self.dynamic?;
        // SAFETY: the tables of a loader that is going to be run are trusted
        unsafe {
            while (*at).tag != dynamic::NULL {
                match (*at).tag {
                    dynamic::GNU_HASH => hash = self.base + (*at).value,
                    dynamic::SYMBOLS => symbols = self.base + (*at).value,
                    dynamic::STRINGS => strings = self.base + (*at).value,
                    _ => {}
                }
                at = at.add(1);
            }
            if hash == 0 || symbols == 0 || strings == 0 {
                return None;
            }
            let table = hash as *const u32;
            let (buckets, first, words) = (*table, *table.add(1), *table.add(2) as usize);
            let bucket_table = (hash + 16 + words * size_of::<usize>()) as *const u32;
            let chains = bucket_table.add(buckets as usize);
            let mut index = *bucket_table.add((NAME_HASH % buckets.max(1)) as usize);
            if buckets == 0 || index < first {
                return None;
            }
            loop {
                let chain = *chains.add((index - first) as usize);
                let symbol = (symbols as *const Symbol).add(index as usize);
                let name = (strings + (*symbol).name as usize) as *const u8;
                if (chain | 1) == (NAME_HASH | 1)
                    && crate::memory::starts_with(name, NAME)
                    && *name.add(NAME.len()) == 0
                {
                    return Some(self.base + (*symbol).value);
                }
                if chain & 1 == 1 {
                    return None;
                }
                index += 1;
            }
        }
    }
}

const NAME: &[u8] = b"_r_debug";
const NAME_HASH: u32 = {
    let (mut hash, mut at) = (5381_u32, 0);
    while at < NAME.len() {
        hash = hash.wrapping_mul(33).wrapping_add(NAME[at] as u32);
        at += 1;
    }
    hash
};
