//! Binding the symbols of a program and its libraries before the loader would look for them.
//!
//! To what they are bound was found when the program was made fast. The loader is handed one more library, of no more than
//! a relocation that calls a function: ours. It is the last in the order in which symbols are looked for, and has no
//! dependencies, so it is the first that the loader relocates: all others are in memory, and none is changed yet. If each
//! is what it was, this does what their relocations say, and leaves the loader those that only it can do, by changing the
//! sizes of tables in their dynamic sections. If any is another, nothing is done and the loader does its work.
//!
//! What tells to what symbols are bound (`nopal-elf/src/bind/encode.rs` writes it) is made of words of 32 bits: [`Head`],
//! an [`Object`] for each, targets, and a stream. Targets are what symbols are bound to: addresses in the objects, in their
//! order; the last ones are in none, and addresses as they are. Of each object the stream has numbers of relocations that are left to
//! the loader, then runs: the address of a place, how many follow each other, and for each the number of its target, in
//! 16 bits.

use crate::arch::{CALLED_RELOCATION, TRAMPOLINE_BYTES, trampoline};
use crate::bound::{CALLS_ARE_TAKEN, IS_CALL, IS_TAKEN, checksum_with};
use crate::elf::{Dynamic, Header, Relocation, Segment, dynamic, segment};
use crate::heap::Bytes;
use crate::memory::{Arena, TABLE_ALIGN};
use crate::sys::{self, File};
use core::mem::offset_of;
use core::ptr;

#[repr(C)]
struct Head {
    object_count: u32,
    target_count: u32,
    /// Where targets and the stream begin, in words.
    targets: u32,
    stream: u32,
}

/// What is known of an object.
#[repr(C)]
struct Object {
    /// What has to be in memory: so many bytes at this address, with this checksum.
    check_address: u32,
    check_bytes: u32,
    checksum: u32,
    /// How many targets are in this object and in those before.
    targets_end: u32,
    flags: u32,
    /// Its relocations: their address and size, and how many of the first only add where the object is.
    relocations: u32,
    relocations_bytes: u32,
    relative_count: u32,
    /// Those of calls.
    calls: u32,
    calls_bytes: u32,
    /// How many are left to the loader.
    left_count: u32,
    run_count: u32,
    /// Where its part of the stream begins.
    stream: u32,
}

/// What the loader tells debuggers (`struct r_debug`, link.h).
#[repr(C)]
struct Debug {
    version: usize,
    first: *mut Map,
}

/// An object that the loader has loaded (`struct link_map`, link.h).
#[repr(C)]
struct Map {
    base: usize,
    name: *mut u8,
    dynamic: *mut Dynamic,
    next: *mut Map,
    previous: *mut Map,
}

/// What is handed to ourselves through the loader.
pub struct Plan {
    /// What tells to what symbols are bound.
    pub bindings: *const u32,
    /// Where the loader tells debuggers about what is loaded.
    pub debug: usize,
    /// What the kernel has put into the process as a library, or 0.
    pub kernel_library: usize,
    file: Option<File>,
}

/// The library that calls us, as a file.
#[repr(C)]
struct Library {
    header: Header,
    segments: [Segment; 4],
    /// The symbol that is none.
    symbol: [usize; 3],
    relocation: Relocation,
    code: [u8; TRAMPOLINE_BYTES],
    // what is written to
    dynamic: [Dynamic; 8],
    slot: usize,
}

/// The room for a path of an open file.
const PATH: &[u8] = b"/proc/self/fd/";
const PATH_BYTES: usize = PATH.len() + 20;

/// The memory that [`prepare`] takes.
pub const PREPARE_BYTES: usize = size_of::<Plan>() + size_of::<Library>() + PATH_BYTES + 48;

impl Plan {
    /// A plan for what was written down there.
    pub fn new(bindings: *const u32, debug: usize, kernel_library: usize) -> Self {
        Self { bindings, debug, kernel_library, file: None }
    }
}

/// Makes the library that has the loader call us. Its path; nothing if the kernel will not have it.
///
/// # Safety
/// The arena has room for it, and what the plan names is there.
pub unsafe fn prepare(arena: &mut Arena, plan: Plan, page_bytes: usize) -> Option<*const u8> {
    let file = sys::memory_file(c"nopal-bind")?;
    // SAFETY: as the caller says
    let path = unsafe {
        let place = arena.table::<Plan>(1);
        place.write(Plan { file: Some(file), ..plan });
        let library = arena.table::<Library>(1);
        let called = bind as extern "C" fn(*const Plan) -> usize;
        write_library(library, trampoline(called as usize, place as usize), page_bytes);
        let bytes = Bytes { at: library.cast(), count: size_of::<Library>() };
        let path = path(arena, file);
        // if not, the loader would give up
        let can_open = sys::write_all(file, bytes).is_ok() && can_execute(file) && sys::can_read(path);
        can_open.then_some(path)
    };
    if path.is_none() {
        sys::close(file);
    }
    path
}

/// Whether code of a file may be executed.
fn can_execute(file: File) -> bool {
    match sys::map(0, size_of::<Library>(), sys::READ | sys::EXECUTE, sys::PRIVATE, Some((file, 0))) {
        Some(place) => {
            // SAFETY: nobody uses it
            unsafe { sys::unmap(place, size_of::<Library>()) };
            true
        }
        None => false,
    }
}

unsafe fn path(arena: &mut Arena, file: File) -> *const u8 {
    // SAFETY: the arena has room
    unsafe {
        let path = arena.push(PATH.as_ptr(), PATH.len());
        let mut digits = [0_u8; 20];
        let (mut number, mut at) = (file.number(), digits.len());
        loop {
            at -= 1;
            *digits.as_mut_ptr().add(at) = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        arena.push(digits.as_ptr().add(at), digits.len() - at);
        arena.push(c"".as_ptr().cast(), 1);
        path
    }
}

unsafe fn write_library(library: *mut Library, code: [u8; TRAMPOLINE_BYTES], page_bytes: usize) {
    const WRITTEN: usize = offset_of!(Library, dynamic);
    let part = |kind, flags, offset: usize, address, bytes, align| Segment {
        kind,
        flags,
        offset,
        address,
        physical: address,
        file_bytes: bytes,
        memory_bytes: bytes,
        align,
    };
    // one page of the file, once to be executed and once to be written to
    let written = |offset: usize| page_bytes + offset;
    let rest = size_of::<Library>() - WRITTEN;
    let entry = |tag, value| Dynamic { tag, value };
    let relocation = Relocation {
        place: written(offset_of!(Library, slot)),
        info: CALLED_RELOCATION,
        #[cfg(not(target_arch = "x86"))]
        addend: offset_of!(Library, code),
    };
    let value = Library {
        header: Header::of_library(4),
        segments: [
            part(segment::LOAD, 5, 0, 0, WRITTEN, page_bytes),
            part(segment::LOAD, 6, WRITTEN, written(WRITTEN), rest, page_bytes),
            part(segment::DYNAMIC, 6, WRITTEN, written(WRITTEN), rest, align_of::<Dynamic>()),
            part(segment::STACK, 6, 0, 0, 0, 16),
        ],
        symbol: [0; 3],
        relocation,
        code,
        dynamic: [
            entry(dynamic::STRINGS, offset_of!(Library, symbol)),
            entry(dynamic::STRINGS_BYTES, 1),
            entry(dynamic::SYMBOLS, offset_of!(Library, symbol)),
            entry(dynamic::SYMBOL_BYTES, if size_of::<usize>() == 8 { 24 } else { 16 }),
            entry(dynamic::RELOCATIONS, offset_of!(Library, relocation)),
            entry(dynamic::RELOCATIONS_BYTES, size_of::<Relocation>()),
            entry(dynamic::RELOCATION_BYTES, size_of::<Relocation>()),
            entry(dynamic::NULL, 0),
        ],
        slot: if cfg!(target_arch = "x86") { offset_of!(Library, code) } else { 0 },
    };
    // SAFETY: the place is ours
    unsafe { library.write(value) }
}

/// What the loader calls.
extern "C" fn bind(plan: *const Plan) -> usize {
    // SAFETY: the loader has loaded what the plan is about
    unsafe {
        bind_all(&*plan);
        if let Some(file) = (*plan).file {
            sys::close(file);
        }
    }
    0
}

/// An object that is there.
#[derive(Clone, Copy)]
struct Loaded {
    base: usize,
    relocations: *mut Dynamic,
    relocations_bytes: *mut Dynamic,
    relative_count: *mut Dynamic,
    calls: *mut Dynamic,
    calls_bytes: *mut Dynamic,
}

unsafe fn bind_all(plan: &Plan) -> Option<()> {
    // SAFETY: as the caller says
    unsafe {
        let head = &*plan.bindings.cast::<Head>();
        let count = head.object_count as usize;
        let objects = plan.bindings.cast::<Head>().add(1).cast::<Object>();
        let mut left_count = 0;
        for number in 0..count {
            left_count += (*objects.add(number)).left_count as usize;
        }
        let target_count = head.target_count as usize;
        let bytes =
            count * size_of::<Loaded>() + target_count * size_of::<usize>() + left_count * size_of::<Relocation>();
        // three tables, each of which may begin some bytes behind the one before
        let mut arena = Arena::new(bytes + 3 * TABLE_ALIGN)?;
        let loaded = arena.table::<Loaded>(count);
        let others = |mut map: *mut Map| {
            while !map.is_null() && plan.kernel_library != 0 && (*map).base == plan.kernel_library {
                map = (*map).next;
            }
            map
        };
        let mut map = (*(plan.debug as *const Debug)).first;
        for number in 0..count {
            map = others(map);
            if map.is_null() {
                return None;
            }
            loaded.add(number).write(look(&*map, &*objects.add(number))?);
            map = (*map).next;
        }
        map = others(map);
        // the last is our own: for those who look for its file it has no name
        if map.is_null() || !others((*map).next).is_null() {
            return None;
        }
        *(*map).name = 0;
        let targets = plan.bindings.add(head.targets as usize);
        let addresses = arena.table::<usize>(target_count);
        let mut target = 0;
        for number in 0..count + 1 {
            let is_object = number < count;
            let end = if is_object { (*objects.add(number)).targets_end as usize } else { target_count };
            let base = if is_object { (*loaded.add(number)).base } else { 0 };
            while target < end {
                *addresses.add(target) = base.wrapping_add(*targets.add(target) as usize);
                target += 1;
            }
        }
        let mut left = arena.table::<Relocation>(left_count);
        for number in 0..count {
            let object = &*objects.add(number);
            if object.flags & IS_TAKEN != 0 {
                let stream = plan.bindings.add(head.stream as usize + object.stream as usize);
                relocate(object, &*loaded.add(number), stream, addresses, left);
                left = left.add(object.left_count as usize);
            }
        }
    }
    Some(())
}

/// Finds what has to be changed of an object. Nothing if it is another than it was.
unsafe fn look(map: &Map, object: &Object) -> Option<Loaded> {
    let none: *mut Dynamic = ptr::null_mut();
    let mut loaded = Loaded {
        base: map.base,
        relocations: none,
        relocations_bytes: none,
        relative_count: none,
        calls: none,
        calls_bytes: none,
    };
    // SAFETY: it is in memory, and the last tag is `NULL`
    unsafe {
        if checksum(map.base.wrapping_add(object.check_address as usize), object.check_bytes) != object.checksum
            && object.check_bytes != 0
        {
            return None;
        }
        let mut at = map.dynamic;
        while (*at).tag != dynamic::NULL {
            match (*at).tag {
                dynamic::RELOCATIONS => loaded.relocations = at,
                dynamic::RELOCATIONS_BYTES => loaded.relocations_bytes = at,
                dynamic::RELATIVE_COUNT => loaded.relative_count = at,
                dynamic::CALLS => loaded.calls = at,
                dynamic::CALLS_BYTES => loaded.calls_bytes = at,
                _ => {}
            }
            at = at.add(1);
        }
        let is_same = |entry: *mut Dynamic, size: *mut Dynamic, address: u32, bytes: u32| {
            let (address, bytes) = (address as usize, bytes as usize);
            if entry.is_null() || size.is_null() {
                return bytes == 0;
            }
            let value = (*entry).value;
            (*size).value == bytes && (value == address || value == map.base.wrapping_add(address))
        };
        let is_ready = object.flags & IS_TAKEN == 0
            || is_same(loaded.relocations, loaded.relocations_bytes, object.relocations, object.relocations_bytes)
                && is_same(loaded.calls, loaded.calls_bytes, object.calls, object.calls_bytes)
                && !is_relocated(map.base, object);
        is_ready.then_some(loaded)
    }
}

/// Whether the loader has relocated an object already: what is relative then is an address.
unsafe fn is_relocated(base: usize, object: &Object) -> bool {
    if base == 0 || object.relative_count == 0 {
        return false;
    }
    // SAFETY: the object is in memory, and its relocations are what they were
    unsafe {
        let first = &*(base.wrapping_add(object.relocations as usize) as *const Relocation);
        (base.wrapping_add(first.place) as *const usize).read_unaligned() >= base
    }
}

/// The checksum of bytes, whole words of four.
unsafe fn checksum(address: usize, bytes: u32) -> u32 {
    let mut hash = 0_u32;
    for index in 0..bytes as usize / 4 {
        // SAFETY: as the caller says
        let word = unsafe { (address as *const u32).add(index).read_unaligned() };
        hash = checksum_with(hash, word);
    }
    hash
}

/// Does what the relocations of an object say, and has the loader do the rest, of which a table is made at `left`.
unsafe fn relocate(
    object: &Object,
    loaded: &Loaded,
    stream: *const u32,
    addresses: *const usize,
    left: *mut Relocation,
) {
    let base = loaded.base;
    let table = |address: u32| base.wrapping_add(address as usize) as *const Relocation;
    // SAFETY: the object is in memory and what it was
    unsafe {
        let relocations = table(object.relocations);
        for index in 0..object.relative_count as usize {
            let relocation = &*relocations.add(index);
            let place = base.wrapping_add(relocation.place) as *mut usize;
            #[cfg(target_arch = "x86")]
            let addend = place.read_unaligned();
            #[cfg(not(target_arch = "x86"))]
            let addend = relocation.addend;
            place.write_unaligned(base.wrapping_add(addend));
        }
        let mut stream = stream;
        for index in 0..object.left_count as usize {
            let number = *stream;
            let from = if number & IS_CALL != 0 { table(object.calls) } else { relocations };
            *left.add(index) = *from.add((number & !IS_CALL) as usize);
            stream = stream.add(1);
        }
        for _ in 0..object.run_count {
            let mut place = base.wrapping_add(*stream as usize) as *mut usize;
            let count = *stream.add(1) as usize;
            let numbers = stream.add(2).cast::<u16>();
            for index in 0..count {
                place.write_unaligned(*addresses.add(*numbers.add(index) as usize));
                place = place.add(1);
            }
            stream = stream.add(2 + count.div_ceil(2));
        }
        if !loaded.relocations.is_null() {
            // some loaders have added where the object is already
            let is_absolute = (*loaded.relocations).value != object.relocations as usize;
            (*loaded.relocations).value = (left as usize).wrapping_sub(if is_absolute { 0 } else { base });
            (*loaded.relocations_bytes).value = object.left_count as usize * size_of::<Relocation>();
        }
        if !loaded.relative_count.is_null() {
            (*loaded.relative_count).value = 0;
        }
        if object.flags & CALLS_ARE_TAKEN != 0 && !loaded.calls_bytes.is_null() {
            (*loaded.calls_bytes).value = 0;
        }
    }
}
