//! The entry point of a program that finds its loader by itself.
//!
//! The kernel starts a file without `PT_INTERP` here. What follows the image ([`Payload`]) names the loader and all
//! libraries, by paths from a root that is some folders above the program, or by absolute ones. This maps the loader, as
//! the kernel would have, and hands it the program with a dynamic section in which all libraries stand first, by path: so
//! it opens each at once, in the order in which it would have found them. The original one follows, whose names are then
//! known already.
//!
//! Whoever sets `LD_LIBRARY_PATH`, `LD_PRELOAD`, `LD_AUDIT` or `LD_TRACE_LOADED_OBJECTS` gets what the loader makes of the
//! original dynamic section.

#![no_std]
#![no_main]

use core::ptr;
use nopal_stubs::arch;
use nopal_stubs::bind;
use nopal_stubs::elf::{self, Dynamic, Loader, Refusal, Segment, dynamic, segment};
use nopal_stubs::environment::{Cursor, Environment, Places};
use nopal_stubs::heap::{Bytes, Heap, Table};
use nopal_stubs::memory::{Arena, copy, starts_with, strlen};
use nopal_stubs::message::{give_up, say, say_error, say_path};
use nopal_stubs::path::{self, PathBuf};
use nopal_stubs::stack::{self, Aux, Stack, tag};
use nopal_stubs::sys;

/// What follows the image. `nopal_elf`'s `start.rs` writes it.
#[repr(C)]
struct Payload {
    magic: [u8; 8],
    /// The address of this, as it was linked.
    address: u64,
    /// The original entry point.
    entry: u64,
    /// Where the name of the loader was before, and how long it is: for those who bring it back.
    interpreter: u64,
    interpreter_bytes: u32,
    /// How many of the last components of the program's path lead to the root; 0 if nothing is relative.
    depth: u32,
    /// How many libraries are named.
    library_count: u32,
    /// The size of all strings.
    strings_bytes: u32,
    /// The size of what is done with variables and arguments first.
    preparation_bytes: u32,
    /// The size of what tells to what symbols are bound.
    bindings_bytes: u32,
    // the loader's path and those of libraries, each ended by a zero; then what is done first; then, from a multiple of
    // eight bytes on, to what symbols are bound
}

impl Payload {
    fn strings(&self) -> *const u8 {
        ptr::from_ref(self).wrapping_add(1).cast()
    }

    fn preparation(&self) -> Bytes {
        Bytes { at: self.strings().wrapping_add(self.strings_bytes as usize), count: self.preparation_bytes as usize }
    }

    fn bindings(&self) -> *const u32 {
        let preparation = self.preparation();
        (preparation.at as usize + preparation.count).next_multiple_of(8) as *const u32
    }
}

const SLASH: u8 = b'/';

/// Most paths below the root are shorter.
const MAX_BELOW: usize = 1024;

/// The files of this process, where the kernel tells about it.
const FILES: &core::ffi::CStr = c"/proc/self/fd";

#[unsafe(no_mangle)]
extern "C" fn stub_main(begin: *mut usize, handed: usize) -> ! {
    let stack = Stack { begin };
    // SAFETY: the kernel made the stack, nopal what follows the image
    unsafe {
        let payload = &*arch::payload().cast::<Payload>();
        if handed != 0 {
            // somebody runs a loader with the program as its argument: all is done
            arch::go_on(begin, bias(payload).wrapping_add(payload.entry as usize), handed)
        }
        start(stack, payload)
    }
}

/// How far the program is from where it was linked.
fn bias(payload: &Payload) -> usize {
    (ptr::from_ref(payload) as usize).wrapping_sub(payload.address as usize)
}

unsafe fn start(stack: Stack, payload: &Payload) -> ! {
    // SAFETY: as the caller says
    unsafe {
        let vector = stack.auxiliary();
        let bias = bias(payload);
        let (Some(headers), Some(header_count), Some(base), Some(entry)) = (
            stack::find(vector, tag::PHDR),
            stack::find(vector, tag::PHNUM),
            stack::find(vector, tag::BASE),
            stack::find(vector, tag::ENTRY),
        ) else {
            say("nopal: the kernel does not say where the program is");
            give_up()
        };
        let mut root = PathBuf::new();
        if payload.depth > 0 {
            find_root(&mut root, payload.depth, vector);
        }
        let segments = core::slice::from_raw_parts((*headers).value as *const Segment, (*header_count).value);
        let original = segments.iter().find(|segment| segment.kind == segment::DYNAMIC);
        let original = original.map_or(ptr::null_mut(), |segment| bias.wrapping_add(segment.address) as *mut Dynamic);
        let entry_count = count_entries(original);
        let wishes = if original.is_null() || payload.library_count == 0 { Wishes::Other } else { wishes(stack) };
        let may_bind = payload.bindings_bytes > 0 && stack::value(vector, tag::SECURE) == 0;

        let strings = payload.library_count as usize + 1;
        // one more for what binds symbols
        let needed = strings + 1;
        let bytes = (segments.len() + 2) * size_of::<Segment>()
            + (entry_count + needed) * size_of::<Dynamic>()
            + strings * (root.count() + 1)
            + payload.strings_bytes as usize
            + bind::PREPARE_BYTES
            + 64;
        let Some(mut arena) = Arena::new(bytes) else { complain(vector, "out of memory") };
        let new_segments = arena.table::<Segment>(segments.len() + 2);
        let new_entries = arena.table::<Dynamic>(entry_count + needed);

        let mut names = Names { next: payload.strings(), root: &root };
        let loader_path = names.next(&mut arena);
        let page_bytes = stack::value(vector, tag::PAGE_BYTES).max(4096);
        let loader = match elf::load(loader_path, page_bytes) {
            Ok(loader) => loader,
            Err(refusal) => refuse(vector, loader_path, refusal),
        };
        let debug = loader.debug_address();
        if let Some(address) = debug {
            tell_debuggers(original, segments, bias, address);
        }
        let mut new_dynamic = None;
        if wishes != Wishes::Other {
            let mut at = new_entries;
            let table = string_table(original, bias);
            let mut need = |name: *const u8| {
                *at = Dynamic { tag: dynamic::NEEDED, value: (name as usize).wrapping_sub(table) };
                at = at.add(1);
            };
            for _ in 0..payload.library_count {
                need(names.next(&mut arena));
            }
            if let (Some(debug), Wishes::None, true) = (debug, wishes, may_bind) {
                let plan = bind::Plan::new(payload.bindings(), debug, stack::value(vector, tag::KERNEL_LIBRARY));
                if let Some(library) = bind::prepare(&mut arena, plan, page_bytes) {
                    need(library);
                }
            }
            copy(at.cast(), original.cast(), entry_count * size_of::<Dynamic>());
            let end = at.add(entry_count) as usize;
            new_dynamic = Some((new_entries as usize, end - new_entries as usize));
        }
        let count = copy_segments(segments, new_segments, bias, loader_path, new_dynamic);
        (*headers).value = new_segments as usize;
        (*header_count).value = count;
        (*base).value = loader.base;
        (*entry).value = bias.wrapping_add(payload.entry as usize);
        if payload.preparation_bytes == 0 {
            arch::enter(stack.begin, 0, stack.begin as usize, loader.entry)
        }
        enter_prepared(stack, vector, payload.preparation(), &root, &loader)
    }
}

/// Changes variables and arguments, and enters the loader with a stack that has them.
unsafe fn enter_prepared(stack: Stack, vector: *mut Aux, steps: Bytes, root: &PathBuf, loader: &Loader) -> ! {
    // SAFETY: as the caller says
    unsafe {
        let none = Bytes::of(b"");
        let called = Bytes::from_c(stack::value(vector, tag::EXECFN) as *const u8);
        let root = Bytes { at: root.as_ptr(), count: root.count() };
        let places = Places { root, called, name: none, target: none };
        let mut environment = Environment::new(Heap::new(), places, stack.environment());
        let mut cursor = Cursor::new(steps);
        environment.apply(&mut cursor);
        let count = stack.argument_count();
        let mut arguments = Table::new(&mut environment.heap, count + 16);
        let mut index = 0;
        while index < count {
            arguments.push(&mut environment.heap, *stack.arguments().add(index));
            index += 1;
            if index == 1 {
                environment.words(&mut cursor, &mut arguments);
            }
        }
        let variables = environment.finish();
        let (arguments, argument_count) = (arguments.finish(), arguments.count());
        let variable_count = count_pointers(variables);
        let aux_count = stack::count(vector);
        let words = 1 + argument_count + 1 + variable_count + 1 + 2 * aux_count;
        let bytes = words * size_of::<usize>();
        let Some(mut arena) = Arena::new(bytes + 32) else { complain(vector, "out of memory") };
        let block = arena.table::<usize>(words);
        *block = argument_count;
        let mut at = block.add(1);
        for (from, count) in [
            (arguments.cast::<usize>(), argument_count + 1),
            (variables.cast(), variable_count + 1),
            (vector.cast_const().cast(), 2 * aux_count),
        ] {
            copy(at.cast(), from.cast(), count * size_of::<usize>());
            at = at.add(count);
        }
        arch::enter(block, bytes, (stack.begin as usize - bytes) & !15, loader.entry)
    }
}

unsafe fn count_pointers(pointers: *const *const u8) -> usize {
    let mut count = 0;
    // SAFETY: a null ends them
    while !unsafe { *pointers.add(count) }.is_null() {
        count += 1;
    }
    count
}

/// The root: what is left of the program's path without its last components.
unsafe fn find_root(root: &mut PathBuf, depth: u32, vector: *mut Aux) {
    // SAFETY: as the caller says
    unsafe {
        if stack::value(vector, tag::SECURE) != 0 {
            // somebody else may have made a hard link to it, with their own loader around
            complain(vector, "it has privileges, and looks for its loader beside itself");
        }
        let has_no_links = path::of_program(root, vector);
        if root.count() == 0 {
            complain(vector, "cannot tell where it is: /proc is not mounted");
        }
        if !root.pop() {
            // in the working directory
            root.truncate(0);
            root.push(c".".as_ptr().cast(), 1);
        }
        let mut level = 1;
        while level < depth {
            // where there may be links to folders, only the kernel knows what is above one
            let is_above = if has_no_links { root.pop() } else { root.push(c"/..".as_ptr().cast(), 3) };
            if !is_above {
                complain(vector, "it is not where it was made for: there are fewer folders above it");
            }
            level += 1;
        }
        // the kernel tells no path that is too long, and takes none
        let is_long = if has_no_links {
            root.count() > path::MAX_BYTES - MAX_BELOW
        } else {
            sys::can_read(FILES.as_ptr().cast())
        };
        if is_long {
            root.hold();
        }
    }
}

/// The names behind the payload, made absolute.
struct Names<'a> {
    next: *const u8,
    root: &'a PathBuf,
}

impl Names<'_> {
    /// The next one. Paths from the root begin with `//`, so that they differ from others and from names.
    unsafe fn next(&mut self, arena: &mut Arena) -> *const u8 {
        // SAFETY: zeros end them, and the arena is made for all
        unsafe {
            let name = self.next;
            let count = strlen(name);
            self.next = name.add(count + 1);
            if *name != SLASH || *name.add(1) != SLASH {
                return name;
            }
            let whole = arena.push(self.root.as_ptr(), self.root.count());
            arena.push(name.add(1), count);
            whole
        }
    }
}

unsafe fn count_entries(original: *const Dynamic) -> usize {
    if original.is_null() {
        return 0;
    }
    let mut count = 1;
    // SAFETY: the last tag is `NULL`
    unsafe {
        let mut at = original;
        while (*at).tag != dynamic::NULL {
            at = at.add(1);
            count += 1;
        }
    }
    count
}

unsafe fn string_table(original: *const Dynamic, bias: usize) -> usize {
    let mut at = original;
    // SAFETY: the last tag is `NULL`
    unsafe {
        while (*at).tag != dynamic::NULL {
            if (*at).tag == dynamic::STRINGS {
                return bias.wrapping_add((*at).value);
            }
            at = at.add(1);
        }
    }
    bias
}

/// What the user wants of the loader.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wishes {
    /// Nothing in particular.
    None,
    /// To see what it does, or to have it done otherwise.
    Work,
    /// Other libraries, or to see what is looked for.
    Other,
}

unsafe fn wishes(stack: Stack) -> Wishes {
    let mut wishes = Wishes::None;
    let mut at = stack.environment();
    // SAFETY: zeros end the environment and what is in it
    unsafe {
        while !(*at).is_null() {
            let variable = *at;
            if starts_with(variable, b"LD_") {
                let is_one = |name: &[u8]| starts_with(variable.add(3), name) && *variable.add(3 + name.len()) != 0;
                if is_one(b"LIBRARY_PATH=")
                    || is_one(b"PRELOAD=")
                    || is_one(b"AUDIT=")
                    || is_one(b"TRACE_LOADED_OBJECTS=")
                {
                    return Wishes::Other;
                }
                wishes = Wishes::Work;
            }
            at = at.add(1);
        }
        if sys::can_read(c"/etc/ld.so.preload".as_ptr().cast()) { Wishes::Other } else { wishes }
    }
}

/// Debuggers look into the dynamic section that the file has.
unsafe fn tell_debuggers(original: *mut Dynamic, segments: &[Segment], bias: usize, address: usize) {
    let place = (original as usize).wrapping_sub(bias);
    let is_writable = segments.iter().any(|segment| {
        let is_inside = place >= segment.address && place - segment.address < segment.memory_bytes;
        segment.kind == segment::LOAD && segment.flags & 2 != 0 && is_inside
    });
    if original.is_null() || !is_writable {
        return;
    }
    let mut at = original;
    // SAFETY: the last tag is `NULL`, and it can be written to
    unsafe {
        while (*at).tag != dynamic::NULL {
            if (*at).tag == dynamic::DEBUG {
                (*at).value = address;
                return;
            }
            at = at.add(1);
        }
    }
}

/// Program headers as the loader wants them: that of themselves first, the loader's name, and the new dynamic section.
/// How many there are.
unsafe fn copy_segments(
    segments: &[Segment],
    into: *mut Segment,
    bias: usize,
    loader_path: *const u8,
    new_dynamic: Option<(usize, usize)>,
) -> usize {
    let place = |kind, begin: usize, bytes| {
        let address = begin.wrapping_sub(bias);
        Segment {
            kind,
            flags: 4,
            offset: address,
            address,
            physical: address,
            file_bytes: bytes,
            memory_bytes: bytes,
            align: 8,
        }
    };
    // SAFETY: there is room for two more
    unsafe {
        let mut at = into.add(1);
        let name_bytes = strlen(loader_path) + 1;
        *at = place(segment::INTERPRETER, loader_path as usize, name_bytes);
        for segment in segments {
            if segment.kind == segment::HEADERS || segment.kind == segment::INTERPRETER {
                continue;
            }
            at = at.add(1);
            *at = match new_dynamic {
                Some((begin, bytes)) if segment.kind == segment::DYNAMIC => place(segment.kind, begin, bytes),
                _ => *segment,
            };
        }
        let count = at.offset_from(into) as usize + 1;
        *into = place(segment::HEADERS, into as usize, count * size_of::<Segment>());
        count
    }
}

/// Says why the program cannot be started.
unsafe fn complain(vector: *mut Aux, why: &str) -> ! {
    // SAFETY: as the caller says
    unsafe { say_program(vector) };
    say(why);
    give_up()
}

unsafe fn refuse(vector: *mut Aux, loader: *const u8, refusal: Refusal) -> ! {
    // SAFETY: as the caller says
    unsafe {
        say_program(vector);
        say("its loader ");
        say_path(loader);
    }
    say(": ");
    let number = match refusal {
        Refusal::Error(number) => number,
        Refusal::Format => sys::ENOEXEC,
        Refusal::Memory => sys::ENOMEM,
    };
    say_error(number);
    give_up()
}

unsafe fn say_program(vector: *mut Aux) {
    say("nopal: cannot start ");
    // SAFETY: a zero ends what the kernel was told to execute
    match unsafe { stack::value(vector, tag::EXECFN) } {
        0 => say("this program"),
        path => unsafe { say_path(path as *const u8) },
    }
    say(": ");
}
