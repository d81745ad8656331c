//! ELF files for tests: as small as a loader takes them, of either class and byte order.

use crate::read::{ByteOrder, Class, kind, machine};

/// What a sample says.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) class: Class,
    pub(crate) order: ByteOrder,
    pub(crate) machine: u16,
    pub(crate) kind: u16,
    pub(crate) interpreter: Option<&'static str>,
    /// Tags of the dynamic section with their strings.
    pub(crate) names: Vec<(u64, String)>,
    pub(crate) flags_1: u64,
    pub(crate) note: Vec<u8>,
}

const NEEDED: u64 = 1;
const SONAME: u64 = 14;
pub(crate) const RPATH: u64 = 15;
pub(crate) const RUNPATH: u64 = 29;
pub(crate) const AUXILIARY: u64 = 0x7fff_fffd;
pub(crate) const FILTER: u64 = 0x7fff_ffff;

impl Sample {
    /// A library of that soname.
    pub(crate) fn library(soname: &str) -> Self {
        Self {
            class: Class::Elf64,
            order: ByteOrder::Little,
            machine: machine::X86_64,
            kind: kind::SHARED,
            interpreter: None,
            names: Vec::from_iter((!soname.is_empty()).then(|| (SONAME, soname.to_owned()))),
            flags_1: 0,
            note: Vec::new(),
        }
    }

    /// A program.
    pub(crate) fn program() -> Self {
        Self { interpreter: Some("/lib/ld.so"), flags_1: 0x0800_0000, ..Self::library("") }
    }

    pub(crate) fn needs(mut self, names: &[&str]) -> Self {
        self.names.extend(names.iter().map(|name| (NEEDED, (*name).to_owned())));
        self
    }

    pub(crate) fn with(mut self, tag: u64, text: &str) -> Self {
        self.names.push((tag, text.to_owned()));
        self
    }

    /// Its bytes.
    pub(crate) fn build(&self) -> Vec<u8> {
        let is_wide = self.class == Class::Elf64;
        let (header, entry) = if is_wide { (64, 56) } else { (52, 32) };
        let mut strings = vec![0];
        let mut dynamic = Vec::new();
        for (tag, text) in &self.names {
            dynamic.push((*tag, strings.len() as u64));
            strings.extend(text.bytes().chain([0]));
        }
        let tables = header + entry * 5;
        let interpreter: Vec<u8> = self.interpreter.iter().flat_map(|path| path.bytes().chain([0])).collect();
        let strings_at = tables + interpreter.len() as u64;
        let note_at = (strings_at + strings.len() as u64).next_multiple_of(8);
        let dynamic_at = (note_at + self.note.len() as u64).next_multiple_of(8);
        dynamic.extend([(5, BASE + strings_at), (10, strings.len() as u64), (0x6fff_fffb, self.flags_1), (0, 0)]);
        let dynamic_bytes = dynamic.len() as u64 * if is_wide { 16 } else { 8 };
        let end = dynamic_at + dynamic_bytes;

        let mut file = vec![0x7f, b'E', b'L', b'F', 1 + u8::from(is_wide), 1, 1];
        file[5] = if self.order == ByteOrder::Little { 1 } else { 2 };
        file.resize(16, 0);
        let put = |file: &mut Vec<u8>, length: usize, number: u64| {
            let bytes = number.to_be_bytes();
            let bytes = bytes[8 - length..].iter().copied();
            match self.order {
                ByteOrder::Big => file.extend(bytes),
                ByteOrder::Little => file.extend(bytes.rev()),
            }
        };
        let word = if is_wide { 8 } else { 4 };
        let head = [self.kind.into(), self.machine.into()];
        head.iter().for_each(|number| put(&mut file, 2, *number));
        put(&mut file, 4, 1);
        [0, header, 0].iter().for_each(|number| put(&mut file, word, *number));
        put(&mut file, 4, 0);
        [header, entry, 5, 0, 0, 0].iter().for_each(|number| put(&mut file, 2, *number));
        let interpreter_kind = if interpreter.is_empty() { 0 } else { 3 };
        for (kind, offset, length) in [
            (1, 0, end),
            (2, dynamic_at, dynamic_bytes),
            (interpreter_kind, tables, interpreter.len() as u64),
            (4, note_at, self.note.len() as u64),
            (0x6474_e551, 0, 0),
        ] {
            put(&mut file, 4, kind);
            if is_wide {
                put(&mut file, 4, 6);
            }
            [offset, BASE + offset, BASE + offset, length, length]
                .iter()
                .for_each(|number| put(&mut file, word, *number));
            if !is_wide {
                put(&mut file, 4, 6);
            }
            put(&mut file, word, 4);
        }
        file.extend(interpreter);
        file.extend(strings);
        file.resize(note_at as usize, 0);
        file.extend(&self.note);
        file.resize(dynamic_at as usize, 0);
        for (tag, value) in dynamic {
            put(&mut file, word, tag);
            put(&mut file, word, value);
        }
        file
    }
}

/// Where samples lie in memory: not where they lie in the file.
const BASE: u64 = 0x1_0000;
