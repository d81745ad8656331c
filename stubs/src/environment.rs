//! Steps before the start of a program: variables are set, changed and taken away, folders changed.
//!
//! The steps come as bytes, in the format of `nopal_relocate::wrap::format`: codes, strings that end with a zero, and
//! texts, which are pieces that are put together here.

use crate::codes::{MAX_DEPTH, choice, piece, step};
use crate::heap::{Bytes, Heap, Table};
use crate::message::{give_up, say, say_bytes, say_error};
use crate::sys;

/// A place in bytes that are read from their beginning to their end.
#[derive(Clone, Copy)]
pub struct Cursor {
    rest: Bytes,
}

impl Cursor {
    /// At the beginning.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        if self.rest.count == 0 {
            damaged();
        }
        let byte = self.rest.byte(0);
        self.rest = self.rest.behind(1);
        byte
    }

    /// The next string. A zero follows it.
    pub fn string(&mut self) -> Bytes {
        let count = self.rest.position(0);
        if count == self.rest.count {
            damaged();
        }
        let string = self.rest.first(count);
        self.rest = self.rest.behind(count + 1);
        string
    }
}

fn damaged() -> ! {
    say("nopal: what the wrapper should do cannot be read: it is damaged");
    give_up()
}

/// What texts can refer to beside variables.
#[derive(Clone, Copy)]
pub struct Places {
    /// The folder of the program that runs, or the root of the tree that it is in.
    pub root: Bytes,
    /// The path that was started.
    pub called: Bytes,
    /// The name that was given.
    pub name: Bytes,
    /// The path of what is started.
    pub target: Bytes,
}

/// The variables, and what changes them.
pub struct Environment {
    /// The memory of all strings.
    pub heap: Heap,
    /// What texts can refer to.
    pub places: Places,
    variables: Table,
}

impl Environment {
    /// The variables of the process.
    ///
    /// # Safety
    /// A null ends the pointers, and zeros end what they point to.
    pub unsafe fn new(mut heap: Heap, places: Places, pointers: *const *const u8) -> Self {
        /// More than most wrappers add.
        const MORE: usize = 32;
        let mut count = 0;
        // SAFETY: a null ends them
        while !unsafe { *pointers.add(count) }.is_null() {
            count += 1;
        }
        // SAFETY: there are that many
        let variables = unsafe { Table::copy(&mut heap, pointers, count, MORE) };
        Self { heap, places, variables }
    }

    /// The variables, for the program that is started.
    pub fn finish(&mut self) -> *const *const u8 {
        self.variables.finish()
    }

    /// The value of a variable.
    pub fn get(&self, name: Bytes) -> Option<Bytes> {
        let mut index = 0;
        while index < self.variables.count() {
            let variable = self.variables.get(index);
            // SAFETY: zeros end them
            if unsafe { is_named(variable, name) } {
                return Some(unsafe { Bytes::from_c(variable) }.behind(name.count + 1));
            }
            index += 1;
        }
        None
    }

    /// Puts a variable, with its name in front, where the old one was. None takes it away.
    fn replace(&mut self, name: Bytes, mut variable: Option<Bytes>) {
        let (mut index, mut kept) = (0, 0);
        while index < self.variables.count() {
            let mut old = self.variables.get(index);
            index += 1;
            // SAFETY: zeros end them
            if unsafe { is_named(old, name) } {
                match variable.take() {
                    Some(new) => old = new.at,
                    None => continue,
                }
            }
            self.variables.set(kept, old);
            kept += 1;
        }
        self.variables.truncate(kept);
        if let Some(new) = variable {
            self.variables.push(&mut self.heap, new.at);
        }
    }

    /// Gives a variable a value.
    fn set(&mut self, name: Bytes, value: Bytes) {
        self.heap.push(name);
        self.heap.push(Bytes::of(b"="));
        self.heap.push(value);
        let variable = self.heap.finish();
        self.replace(name, Some(variable));
    }

    /// Does all steps.
    pub fn apply(&mut self, cursor: &mut Cursor) {
        let mut skips = false;
        loop {
            let code = cursor.byte();
            if code == step::END {
                return;
            }
            if code == step::CHANGE_DIRECTORY {
                let to = self.text(cursor);
                change_directory(to);
                continue;
            }
            if code == step::HOLD || code == step::PASS {
                let number = usize::from(cursor.byte()) << 8 | usize::from(cursor.byte());
                let path = self.text(cursor);
                hold(path, number, if code == step::PASS { sys::PASSED_ON } else { sys::UNTIL_EXEC });
                continue;
            }
            let name = cursor.string();
            if code == step::SKIP_IF_THERE {
                // SAFETY: a zero ends it
                skips = unsafe { sys::can_read(name.at) };
                continue;
            }
            if code == step::UNSET {
                self.replace(name, None);
                continue;
            }
            let separator = if code >= step::PREFIX { cursor.string() } else { Bytes::of(b"") };
            let value = self.text(cursor);
            if core::mem::take(&mut skips) {
                continue;
            }
            match code {
                step::SET => self.set(name, value),
                step::SET_DEFAULT if self.get(name).is_some() => {}
                step::SET_DEFAULT => self.set(name, value),
                step::PREFIX | step::SUFFIX | step::LAST => self.join(code, name, separator, value),
                _ => damaged(),
            }
        }
    }

    /// Adds a value to a list.
    ///
    /// With a separator at both its ends, a list that is not empty has each element between two of them. Those at the ends
    /// go again.
    fn join(&mut self, code: u8, name: Bytes, separator: Bytes, value: Bytes) {
        let old = self.get(name).unwrap_or(Bytes::of(b""));
        let list = if old.count == 0 { old } else { self.concat(&[separator, old, separator]) };
        let between = self.concat(&[separator, value, separator]);
        let found = list.find(between);
        let (before, behind) = match found {
            Some(at) if code != step::SUFFIX => (list.first(at), list.behind(at + separator.count + value.count)),
            _ => (list, Bytes::of(b"")),
        };
        let is_last = found.is_some_and(|at| at + between.count == list.count);
        let list = match (code, found) {
            (step::PREFIX, _) => self.concat(&[value, before, behind]),
            (step::SUFFIX, Some(_)) => list,
            (step::LAST, Some(_)) if is_last => list,
            _ => self.concat(&[before, behind, value]),
        };
        let list = if list.starts_with(separator) { list.behind(separator.count) } else { list };
        let list = if list.ends_with(separator) { list.first(list.count - separator.count) } else { list };
        self.set(name, list);
    }

    fn concat(&mut self, parts: &[Bytes]) -> Bytes {
        for part in parts {
            self.heap.push(*part);
        }
        self.heap.finish()
    }

    /// Puts a text together.
    pub fn text(&mut self, cursor: &mut Cursor) -> Bytes {
        let mut words = Words { list: None, has_word: false };
        self.pieces(cursor, &mut words, true, 0);
        self.heap.finish()
    }

    /// Puts words together, and adds them to a list.
    pub fn words(&mut self, cursor: &mut Cursor, list: &mut Table) {
        let mut words = Words { list: Some(list), has_word: false };
        self.pieces(cursor, &mut words, true, 0);
        words.end(&mut self.heap);
    }

    /// Reads the pieces of a text, and adds those that count.
    fn pieces(&mut self, cursor: &mut Cursor, words: &mut Words<'_>, counts: bool, depth: usize) {
        if depth > MAX_DEPTH {
            damaged();
        }
        loop {
            let bytes = match cursor.byte() {
                piece::END => return,
                piece::LITERAL => cursor.string(),
                piece::VARIABLE => {
                    let value = self.get(cursor.string()).unwrap_or(Bytes::of(b""));
                    if counts {
                        words.divide(&mut self.heap, value);
                    }
                    continue;
                }
                piece::QUOTED_VARIABLE => self.get(cursor.string()).unwrap_or(Bytes::of(b"")),
                piece::CHOICE => {
                    self.choice(cursor, words, counts, depth);
                    continue;
                }
                piece::BREAK => {
                    if counts {
                        words.end(&mut self.heap);
                    }
                    continue;
                }
                piece::ROOT => self.places.root,
                piece::CALLED => self.places.called,
                piece::NAME => self.places.name,
                piece::TARGET => self.places.target,
                _ => damaged(),
            };
            if counts {
                words.add(&mut self.heap, bytes);
            }
        }
    }

    fn choice(&mut self, cursor: &mut Cursor, words: &mut Words<'_>, counts: bool, depth: usize) {
        let bits = cursor.byte();
        let has = |bit: u8| bits & bit != 0;
        let value = self.get(cursor.string());
        let value = value.filter(|value| value.count > 0 || !has(choice::EMPTY_IS_UNSET));
        if counts && has(choice::IS_QUOTED) {
            words.add(&mut self.heap, Bytes::of(b""));
        }
        if let (true, true, Some(value)) = (counts, has(choice::KEEPS_VALUE), value) {
            if has(choice::IS_QUOTED) {
                words.add(&mut self.heap, value);
            } else {
                words.divide(&mut self.heap, value);
            }
        }
        let counts = counts && has(choice::KEEPS_VALUE) != value.is_some();
        self.pieces(cursor, words, counts, depth + 1);
    }
}

/// The value of a variable of a process.
///
/// # Safety
/// A null ends the pointers, and zeros end what they point to.
pub unsafe fn variable(pointers: *const *const u8, name: Bytes) -> Option<Bytes> {
    let mut at = pointers;
    // SAFETY: as the caller says
    unsafe {
        while !(*at).is_null() {
            if is_named(*at, name) {
                return Some(Bytes::from_c(*at).behind(name.count + 1));
            }
            at = at.add(1);
        }
    }
    None
}

/// Whether a variable, with its name in front, has that name.
///
/// # Safety
/// A zero ends the variable.
unsafe fn is_named(variable: *const u8, name: Bytes) -> bool {
    let mut index = 0;
    // SAFETY: not behind the zero, which no name has
    unsafe {
        while index < name.count && *variable.add(index) == name.byte(index) {
            index += 1;
        }
        index == name.count && *variable.add(index) == b'='
    }
}

/// Keeps a file or folder open under a number, by which it can be named. Where that fails, opening that name will.
fn hold(path: Bytes, number: usize, lasts: usize) {
    // SAFETY: the heap ends its strings with a zero
    if let Ok(file) = unsafe { sys::open(path.at) }
        && sys::number(file, number, lasts)
    {
        sys::close_unless(file, number);
    }
}

fn change_directory(to: Bytes) {
    // SAFETY: the heap ends its strings with a zero
    let error = unsafe { sys::change_directory(to.at) };
    if error != 0 {
        say("nopal: cannot go to ");
        say_bytes(to);
        say(": ");
        say_error(error);
        say("\n");
        // as a shell does that ends at the first command that fails
        sys::exit(1)
    }
}

/// Words in the making; or one text, where there is no list for them.
struct Words<'a> {
    list: Option<&'a mut Table>,
    /// Whether something belongs to the next word, be it empty.
    has_word: bool,
}

impl Words<'_> {
    fn add(&mut self, heap: &mut Heap, bytes: Bytes) {
        heap.push(bytes);
        self.has_word = true;
    }

    /// Adds what spaces divide.
    fn divide(&mut self, heap: &mut Heap, mut bytes: Bytes) {
        if self.list.is_none() {
            return self.add(heap, bytes);
        }
        while bytes.count > 0 {
            let mut count = 0;
            while count < bytes.count && !is_space(bytes.byte(count)) {
                count += 1;
            }
            if count > 0 {
                self.add(heap, bytes.first(count));
            } else {
                self.end(heap);
                count = 1;
            }
            bytes = bytes.behind(count);
        }
    }

    /// Ends the word, if there is one.
    fn end(&mut self, heap: &mut Heap) {
        if let (Some(list), true) = (&mut self.list, self.has_word) {
            let word = heap.finish();
            list.push(heap, word.at);
            self.has_word = false;
        }
    }
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t' || byte == b'\n'
}
