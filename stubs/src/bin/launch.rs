//! A wrapper: starts another program with a changed environment, name, working directory or arguments.
//!
//! What it does is in data, in the format of `nopal_relocate::wrap::format`: behind its end, or in a file beside it, which
//! is called `.NAME.launch` for a wrapper `NAME`. So all wrappers can be one file.

#![no_std]
#![no_main]

use core::mem::MaybeUninit;
use nopal_stubs::arch;
use nopal_stubs::codes::{WRAP_MAGIC as MAGIC, property};
use nopal_stubs::environment::{Cursor, Environment, Places};
use nopal_stubs::heap::{Bytes, Heap, Table};
use nopal_stubs::message::{give_up, say, say_bytes, say_error};
use nopal_stubs::stack::{self, Stack, tag};
use nopal_stubs::sys;

/// Room for all that most wrappers put together. With more, the stack would be touched page by page as soon as it begins.
const ROOM_BYTES: usize = 3 << 10;

/// How many links are followed, as in the kernel.
const MAX_LINKS: usize = 40;

/// Exit code for what is there and cannot be started.
const CANNOT_START: usize = 126;

#[unsafe(no_mangle)]
extern "C" fn stub_main(begin: *mut usize) -> ! {
    let stack = Stack { begin };
    // SAFETY: the kernel made the stack; at least a magic follows the image
    unsafe { launch(stack, arch::payload()) }
}

unsafe fn launch(stack: Stack, payload: *const u8) -> ! {
    // SAFETY: as the caller says
    unsafe {
        let vector = stack.auxiliary();
        let called = Bytes::from_c(stack::value(vector, tag::EXECFN) as *const u8);
        let is_secure = stack::value(vector, tag::SECURE) != 0;
        let mut room = [const { MaybeUninit::uninit() }; ROOM_BYTES];
        let mut heap = Heap::over(&mut room);
        let mut program = Bytes::of(b"");

        let header = Bytes { at: payload, count: MAGIC.len() + 4 };
        let data = if header.starts_with(Bytes::of(&MAGIC)) {
            Bytes { at: payload, count: size_of_data(header) }
        } else {
            refuse_if_secure(called, is_secure);
            // to look into /proc takes longer than all the rest
            program = without_links(&mut heap, called);
            match read_beside(&mut heap, program) {
                (_, Ok(data)) if is_whole(data) => data,
                _ => {
                    program = path_of_program(&mut heap, called);
                    data_beside(&mut heap, program, called)
                }
            }
        };
        let mut cursor = Cursor::new(data.behind(header.count));
        let properties = cursor.byte();
        if properties & property::IS_RELATIVE != 0 {
            refuse_if_secure(called, is_secure);
            program = path_of_program(&mut heap, called);
        }
        let name = if stack.argument_count() == 0 { Bytes::of(b"") } else { Bytes::from_c(*stack.arguments()) };
        let places = Places { root: folder_of(program), called: shown(called, name), name, target: Bytes::of(b"") };
        let mut environment = Environment::new(heap, places, stack.environment());
        environment.places.target = environment.text(&mut cursor);
        environment.apply(&mut cursor);
        let name = environment.text(&mut cursor);
        let name = if properties & property::RESOLVES_NAME == 0 { name } else { resolve(&mut environment, name) };
        let mut arguments = Table::new(&mut environment.heap, stack.argument_count() + 16);
        arguments.push(&mut environment.heap, name.at);
        environment.words(&mut cursor, &mut arguments);
        let mut index = 1;
        while index < stack.argument_count() {
            arguments.push(&mut environment.heap, *stack.arguments().add(index));
            index += 1;
        }
        environment.words(&mut cursor, &mut arguments);
        let target = environment.places.target;
        let error = sys::execute(target.at, arguments.finish(), environment.finish());
        refuse(called, target, error)
    }
}

/// The size that data say they have, which is not less than that of what says it.
fn size_of_data(header: Bytes) -> usize {
    let mut size = 0;
    let mut index = 0;
    while index < 4 {
        size |= (header.byte(MAGIC.len() + index) as usize) << (8 * index);
        index += 1;
    }
    size.max(header.count)
}

/// The path of this program, without links in its last component. Empty if it cannot be told.
///
/// The kernel tells it in `/proc`; where that is not mounted, the path that was executed leads there too.
fn path_of_program(heap: &mut Heap, called: Bytes) -> Bytes {
    // SAFETY: a zero ends it
    match unsafe { heap.read_link(c"/proc/self/exe".as_ptr().cast()) } {
        Some(path) if path.byte(0) == b'/' => path,
        _ => without_links(heap, called),
    }
}

/// A path that a zero ends, without links in its last component.
fn without_links(heap: &mut Heap, mut path: Bytes) -> Bytes {
    let mut links = 0;
    while path.count > 0
        && links < MAX_LINKS
        // SAFETY: a zero ends it
        && let Some(target) = unsafe { heap.read_link(path.at) }
    {
        path = match path.last_position(b'/') {
            Some(slash) if target.byte(0) != b'/' => {
                heap.push(path.first(slash + 1));
                heap.push(target);
                heap.finish()
            }
            _ => target,
        };
        links += 1;
    }
    path
}

fn folder_of(path: Bytes) -> Bytes {
    match path.last_position(b'/') {
        Some(count) => path.first(count),
        None => Bytes::of(b"."),
    }
}

/// Reads the file beside the program. Where that is, and what is in it, or an error's number.
fn read_beside(heap: &mut Heap, program: Bytes) -> (Bytes, Result<Bytes, isize>) {
    let behind_slash = program.last_position(b'/').map_or(0, |slash| slash + 1);
    for part in [program.first(behind_slash), Bytes::of(b"."), program.behind(behind_slash), Bytes::of(b".launch")] {
        heap.push(part);
    }
    let place = heap.finish();
    // SAFETY: a zero ends it; the target does not get the file
    (place, unsafe { sys::open(place.at) }.and_then(|file| heap.read(file)))
}

/// The data in the file beside the program.
fn data_beside(heap: &mut Heap, program: Bytes, called: Bytes) -> Bytes {
    if program.count == 0 {
        complain(called);
        say("cannot tell where it is: /proc is not mounted");
        give_up()
    }
    match read_beside(heap, program) {
        (_, Ok(data)) if is_whole(data) => data,
        (place, Ok(_)) => {
            complain(called);
            say_bytes(place);
            say(" is not what says what to start");
            give_up()
        }
        (place, Err(error)) => {
            complain(called);
            say_bytes(place);
            say(": ");
            say_error(error);
            give_up()
        }
    }
}

/// Whether data are all that they say they are.
fn is_whole(data: Bytes) -> bool {
    data.starts_with(Bytes::of(&MAGIC)) && size_of_data(data) == data.count
}

/// Somebody else may have made a hard link to it, with their own files around.
fn refuse_if_secure(called: Bytes, is_secure: bool) {
    if is_secure {
        complain(called);
        say("it has privileges, and looks beside itself for what to start");
        give_up()
    }
}

/// What a script would have for its name: the path that was started.
///
/// For a wrapper that another wrapper has hidden it is the name that was given, which the other one chose.
fn shown(called: Bytes, name: Bytes) -> Bytes {
    let file = called.behind(called.last_position(b'/').map_or(0, |slash| slash + 1));
    let mut end = file.count;
    while end > 0 && file.byte(end - 1) == b'_' {
        end -= 1;
    }
    let is_hidden = file.byte(0) == b'.' && file.first(end).ends_with(Bytes::of(b"-wrapped"));
    if called.count == 0 || is_hidden { name } else { called }
}

/// A name without a slash as a path, if `PATH` leads to it.
fn resolve(environment: &mut Environment, name: Bytes) -> Bytes {
    let Some(mut folders) = environment.get(Bytes::of(b"PATH")) else { return name };
    if name.last_position(b'/').is_some() {
        return name;
    }
    while folders.count > 0 {
        let count = folders.position(b':');
        if count > 0 {
            for part in [folders.first(count), Bytes::of(b"/"), name] {
                environment.heap.push(part);
            }
            let path = environment.heap.finish();
            // SAFETY: a zero ends it
            if unsafe { sys::can_execute(path.at) } {
                return path;
            }
        }
        folders = folders.behind(count + 1);
    }
    name
}

/// Says which wrapper has nothing to start.
fn complain(called: Bytes) {
    say("nopal: ");
    if called.count == 0 {
        say("this wrapper");
    } else {
        say_bytes(called);
    }
    say(": ");
}

/// Says why the target cannot be started, and ends as shells do.
unsafe fn refuse(called: Bytes, target: Bytes, error: isize) -> ! {
    complain(called);
    say("cannot start ");
    say_bytes(target);
    say(": ");
    // SAFETY: a zero ends the target
    let is_there = unsafe { sys::exists(target.at) };
    if error == sys::ENOENT && is_there {
        say("the interpreter that it names is not there");
    } else {
        say_error(error);
    }
    say("\n");
    sys::exit(if is_there { CANNOT_START } else { CANNOT_START + 1 })
}
