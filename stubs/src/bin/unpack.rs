//! A packed program: unpacks itself where it may, once, and becomes the program.
//!
//! What follows the image is written by `nopal_relocate::pack`: a magic; the number of bytes of all; names, each ended by
//! a zero: of the folder, which tells the contents, and of the program in it; then entries, each a kind, a path and what
//! belongs to it. Contents are blocks in the format of LZ4.

#![no_std]
#![no_main]

use nopal_stubs::arch;
use nopal_stubs::codes::{BLOCK_BYTES, PACK_MAGIC as MAGIC, entry};
use nopal_stubs::environment::variable;
use nopal_stubs::heap::{Bytes, Heap};
use nopal_stubs::lz4;
use nopal_stubs::message::{give_up, say, say_bytes, say_error};
use nopal_stubs::stack::{self, Stack, tag};
use nopal_stubs::sys;

/// For the user only.
const PRIVATE: usize = 0o700;

#[unsafe(no_mangle)]
extern "C" fn stub_main(begin: *mut usize) -> ! {
    let stack = Stack { begin };
    // SAFETY: the kernel made the stack; the data follow the image
    unsafe { start(stack, arch::payload()) }
}

/// Data that are read from their beginning to their end, which was complete when it was made.
#[derive(Clone, Copy)]
struct Reader {
    at: *const u8,
}

impl Reader {
    fn byte(&mut self) -> u8 {
        // SAFETY: the data are complete
        unsafe {
            let byte = *self.at;
            self.at = self.at.add(1);
            byte
        }
    }

    fn number(&mut self) -> usize {
        let mut number = 0;
        let mut shift = 0;
        while shift < 32 {
            number |= usize::from(self.byte()) << shift;
            shift += 8;
        }
        number
    }

    fn string(&mut self) -> Bytes {
        // SAFETY: a zero ends it
        unsafe {
            let string = Bytes::from_c(self.at);
            self.at = self.at.add(string.count + 1);
            string
        }
    }

    fn bytes(&mut self, count: usize) -> Bytes {
        let bytes = Bytes { at: self.at, count };
        // SAFETY: the data are complete
        self.at = unsafe { self.at.add(count) };
        bytes
    }
}

unsafe fn start(stack: Stack, payload: *const u8) -> ! {
    // SAFETY: as the caller says
    unsafe {
        let vector = stack.auxiliary();
        let mut reader = Reader { at: payload };
        if !reader.bytes(MAGIC.len()).starts_with(Bytes::of(&MAGIC)) {
            say("nopal: this program has lost what it had packed");
            give_up()
        }
        if stack::value(vector, tag::SECURE) != 0 {
            say("nopal: a packed program runs without privileges only");
            give_up()
        }
        let (name, program) = (reader.string(), reader.string());
        let mut heap = Heap::new();
        let mut last = (Bytes::of(b""), 0);
        let mut choice = 0;
        while let Some(place) = folder(&mut heap, stack, choice) {
            choice += 1;
            if place.count == 0 {
                continue;
            }
            let home = join(&mut heap, &[place, Bytes::of(b"/"), name]);
            if !sys::exists(home.at)
                && let Err(error) = unpack(&mut heap, reader, place, home)
            {
                last = (home, error);
                continue;
            }
            let target = join(&mut heap, &[home, Bytes::of(b"/"), program]);
            // comes back only if that cannot be
            last = (target, sys::execute(target.at, stack.arguments().cast_const(), stack.environment().cast_const()));
        }
        say("nopal: cannot unpack and start this program: ");
        say_bytes(last.0);
        say(": ");
        say_error(last.1);
        say("\nhint: set NOPAL_PACK_DIR to a folder of yours in which programs may be executed");
        give_up()
    }
}

fn join(heap: &mut Heap, parts: &[Bytes]) -> Bytes {
    for part in parts {
        heap.push(*part);
    }
    heap.finish()
}

/// The folders in which it may unpack itself, in order; an empty one to be passed over, none behind the last.
fn folder(heap: &mut Heap, stack: Stack, choice: usize) -> Option<Bytes> {
    let none = Bytes::of(b"");
    // SAFETY: a null ends the environment
    let get =
        |name: &[u8]| unsafe { variable(stack.environment(), Bytes::of(name)) }.filter(|value| value.byte(0) == b'/');
    let (parent, below): (Option<Bytes>, &[u8]) = match choice {
        0 => (get(b"NOPAL_PACK_DIR"), b""),
        1 => (get(b"XDG_CACHE_HOME"), b"/nopal/packs"),
        2 => (get(b"HOME"), b"/.cache/nopal/packs"),
        3 => (get(b"XDG_RUNTIME_DIR"), b"/nopal-packs"),
        4 => (get(b"TMPDIR"), b"/nopal-packs-"),
        5 => (Some(Bytes::of(b"/tmp")), b"/nopal-packs-"),
        6 => (Some(Bytes::of(b"/dev/shm")), b"/nopal-packs-"),
        _ => return None,
    };
    let Some(parent) = parent else { return Some(none) };
    heap.push(parent);
    heap.push(Bytes::of(below));
    if below.last() == Some(&b'-') {
        heap.push_number(sys::user());
    }
    let place = heap.finish();
    // SAFETY: the heap ends its strings with a zero
    Some(if make_folders(heap, place) && unsafe { sys::is_private(place.at) } { place } else { none })
}

/// Makes a folder and those above it. Whether there may be one now.
fn make_folders(heap: &mut Heap, path: Bytes) -> bool {
    let mut at = 1;
    while at <= path.count {
        if at == path.count || path.byte(at) == b'/' {
            heap.push(path.first(at));
            let folder = heap.finish();
            // SAFETY: a zero ends it
            unsafe { sys::make_folder(folder.at, PRIVATE) };
        }
        at += 1;
    }
    // SAFETY: a zero ends it
    unsafe { sys::exists(path.at) }
}

/// Unpacks all beside the place it goes to, and moves it there, so that whoever sees it sees all of it.
unsafe fn unpack(heap: &mut Heap, reader: Reader, place: Bytes, home: Bytes) -> Result<(), isize> {
    heap.push(place);
    heap.push(Bytes::of(b"/.unpacking-"));
    heap.push_number(sys::process());
    let staging = heap.finish();
    // SAFETY: a zero ends the paths
    unsafe {
        // left by a process of that number that was stopped
        remove(heap, reader, staging);
        let made = sys::make_folder(staging.at, PRIVATE);
        if made != 0 {
            return Err(made);
        }
        let result = write_all(heap, reader, staging);
        let moved = if result.is_ok() { sys::rename(staging.at, home.at) } else { 0 };
        if result.is_err() || moved != 0 {
            remove(heap, reader, staging);
        }
        result?;
        // somebody else was faster
        if moved == 0 || sys::exists(home.at) { Ok(()) } else { Err(moved) }
    }
}

unsafe fn write_all(heap: &mut Heap, mut reader: Reader, staging: Bytes) -> Result<(), isize> {
    let Some(block) = sys::map(0, BLOCK_BYTES, sys::READ | sys::WRITE, sys::PRIVATE_MEMORY, None) else {
        return Err(sys::ENOMEM);
    };
    // SAFETY: a zero ends the paths, the block has its size
    unsafe {
        loop {
            let kind = reader.byte();
            if kind == entry::END {
                return Ok(());
            }
            let path = reader.string();
            let path = join(heap, &[staging, Bytes::of(b"/"), path]);
            match kind {
                entry::FOLDER => check(sys::make_folder(path.at, PRIVATE | 0o055))?,
                entry::LINK => {
                    let target = reader.string();
                    check(sys::make_link(target.at, path.at))?;
                }
                _ => {
                    let mode = if kind == entry::PROGRAM { 0o755 } else { 0o644 };
                    let file = sys::create(path.at, mode)?;
                    let written = write_file(&mut reader, file, block as *mut u8);
                    sys::close(file);
                    written?;
                }
            }
            heap.forget(path);
        }
    }
}

fn check(error: isize) -> Result<(), isize> {
    if error == 0 { Ok(()) } else { Err(error) }
}

/// Writes the blocks of a file.
unsafe fn write_file(reader: &mut Reader, file: sys::File, block: *mut u8) -> Result<(), isize> {
    loop {
        let (packed, size) = (reader.number(), reader.number());
        if size == 0 {
            return Ok(());
        }
        let bytes = reader.bytes(packed);
        if size > BLOCK_BYTES {
            return Err(sys::ENOEXEC);
        }
        let bytes = if packed == size {
            bytes
        } else {
            // SAFETY: the block has that size
            if unsafe { lz4::unpack(bytes, block, size) } != Some(size) {
                return Err(sys::ENOEXEC);
            }
            Bytes { at: block, count: size }
        };
        sys::write_all(file, bytes)?;
    }
}

/// Removes what was unpacked, as far as it is there.
unsafe fn remove(heap: &mut Heap, mut reader: Reader, staging: Bytes) {
    let first = reader;
    let mut left = 0;
    // SAFETY: a zero ends the paths
    unsafe {
        // files first, then folders until none is left that holds another
        loop {
            let kind = reader.byte();
            if kind == entry::END {
                break;
            }
            let path = reader.string();
            let path = join(heap, &[staging, Bytes::of(b"/"), path]);
            match kind {
                entry::FOLDER => left += 1,
                entry::LINK => {
                    reader.string();
                    sys::remove(path.at, false);
                }
                _ => {
                    skip_file(&mut reader);
                    sys::remove(path.at, false);
                }
            }
            heap.forget(path);
        }
        while left > 0 {
            let mut reader = first;
            let mut index = 0;
            while index < left {
                let kind = reader.byte();
                let path = reader.string();
                match kind {
                    entry::FOLDER => {
                        index += 1;
                        if index == left {
                            let path = join(heap, &[staging, Bytes::of(b"/"), path]);
                            sys::remove(path.at, true);
                            heap.forget(path);
                        }
                    }
                    entry::LINK => {
                        reader.string();
                    }
                    _ => skip_file(&mut reader),
                }
            }
            left -= 1;
        }
        sys::remove(staging.at, true);
    }
}

fn skip_file(reader: &mut Reader) {
    loop {
        let (packed, size) = (reader.number(), reader.number());
        if size == 0 {
            return;
        }
        reader.bytes(packed);
    }
}
