//! Small ELF files, made up: headers, notes, a symbol, strings, a dynamic section, names of sections.

/// What a made-up file is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) is_64: bool,
    pub(crate) is_big_endian: bool,
    /// A program with fixed addresses, or what can be loaded anywhere.
    pub(crate) is_fixed: bool,
    /// Whether it has an interpreter.
    pub(crate) starts: bool,
    /// Whether it has section headers.
    pub(crate) has_sections: bool,
    /// Entries of the dynamic section that are not used, the last one aside.
    pub(crate) spare: usize,
    /// Bytes of memory behind the data that the file does not have.
    pub(crate) cleared: u64,
    /// Unused bytes between the first segment and the second.
    pub(crate) gap: usize,
    /// Bytes behind the end of all that the headers tell of.
    pub(crate) payload: usize,
}

/// The address of a program that has a fixed one.
const FIXED_ADDRESS: u64 = 0x40_0000;

/// The interpreter that a made-up program has.
pub(crate) const INTERPRETER: &[u8] = b"/lib/ld.so";

/// The strings of the dynamic section; `needle` is the end of `hayneedle`, and a symbol as well.
const STRINGS: &[u8] = b"\0liba.so\0libb.so\0hayneedle\0/old/path\0";
const LIBA: u64 = 1;
const LIBB: u64 = 9;
const HAYNEEDLE: u64 = 17;
const NEEDLE: u64 = 20;

const NAMES: &[u8] = b"\0.interp\0.note.a\0.dynsym\0.hash\0.dynstr\0.dynamic\0.data\0.shstrtab\0";

struct Writer {
    bytes: Vec<u8>,
    is_64: bool,
    is_big_endian: bool,
}

impl Writer {
    fn number(&mut self, number: u64, size: usize) {
        match self.is_big_endian {
            true => self.bytes.extend(&number.to_be_bytes()[8 - size..]),
            false => self.bytes.extend(&number.to_le_bytes()[..size]),
        }
    }

    fn half(&mut self, number: u64) {
        self.number(number, 2);
    }

    fn word(&mut self, number: u64) {
        self.number(number, 4);
    }

    fn address(&mut self, number: u64) {
        self.number(number, if self.is_64 { 8 } else { 4 });
    }

    fn align(&mut self, align: usize) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
        self.bytes.len() as u64
    }

    fn segment(&mut self, kind: u64, flags: u64, offset: u64, address: u64, size: u64, align: u64) {
        self.segment_with(kind, flags, offset, address, [size, size], align);
    }

    /// A segment with another size in memory than in the file.
    fn segment_with(&mut self, kind: u64, flags: u64, offset: u64, address: u64, sizes: [u64; 2], align: u64) {
        self.word(kind);
        if self.is_64 {
            self.word(flags);
        }
        for number in [offset, address, address, sizes[0], sizes[1]] {
            self.address(number);
        }
        if !self.is_64 {
            self.word(flags);
        }
        self.address(align);
    }

    fn section(&mut self, name: &str, kind: u64, flags: u64, address: u64, place: (u64, u64), link: u64) {
        let name = format!("\0{name}\0");
        let name = NAMES.windows(name.len()).position(|part| part == name.as_bytes()).map_or(0, |at| at + 1);
        self.word(name as u64);
        self.word(kind);
        self.address(flags);
        self.address(address);
        self.address(place.0);
        self.address(place.1);
        self.word(link);
        self.word(0);
        self.address(1);
        self.address(0);
    }
}

impl Sample {
    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let word = if self.is_64 { 8 } else { 4 };
        let (header, segment) = if self.is_64 { (64, 56) } else { (52, 32) };
        let segments = 5 + if self.starts { 2 } else { 0 };
        let base = if self.is_fixed { FIXED_ADDRESS } else { 0 };
        let mut out = Writer { bytes: Vec::new(), is_64: self.is_64, is_big_endian: self.is_big_endian };
        out.bytes.resize(header + segments * segment, 0);

        let interpreter = out.bytes.len() as u64;
        if self.starts {
            out.bytes.extend(INTERPRETER);
            out.bytes.push(0);
        }
        let note = out.align(4);
        [4, 4, 1].into_iter().for_each(|number| out.word(number));
        out.bytes.extend(b"abc\0wxyz");
        let symbols = out.align(8);
        out.bytes.resize(out.bytes.len() + if self.is_64 { 24 } else { 16 }, 0);
        out.word(NEEDLE);
        out.bytes.resize(out.bytes.len() + if self.is_64 { 20 } else { 12 }, 0);
        let hash = out.align(8);
        // one bucket, two symbols
        [1, 2, 1, 0, 0].into_iter().for_each(|number| out.word(number));
        let strings = out.bytes.len() as u64;
        out.bytes.extend(STRINGS);
        let first_end = out.bytes.len() as u64;

        out.bytes.resize(out.bytes.len() + self.gap, 0);
        let dynamic = out.align(16);
        let dynamic_address = base + dynamic + 0x1000;
        let entries = [
            (1, LIBA),
            (1, LIBB),
            (14, HAYNEEDLE),
            (4, base + hash),
            (5, base + strings),
            (6, base + symbols),
            (10, STRINGS.len() as u64),
        ];
        for (tag, value) in entries.into_iter().chain((0..=self.spare).map(|_| (0, 0))) {
            out.address(tag);
            out.address(value);
        }
        let dynamic_end = out.bytes.len() as u64;
        let data = out.bytes.len() as u64;
        out.bytes.extend(b"some data");
        let second_end = out.bytes.len() as u64;

        let (mut sections, mut count) = (0, 0);
        if self.has_sections {
            let names = out.bytes.len() as u64;
            out.bytes.extend(NAMES);
            sections = out.align(8);
            out.section("", 0, 0, 0, (0, 0), 0);
            out.section(
                ".interp",
                1,
                2,
                base + interpreter,
                (interpreter, note.min(interpreter + 11) - interpreter),
                0,
            );
            out.section(".note.a", 7, 2, base + note, (note, 20), 0);
            out.section(".dynsym", 11, 2, base + symbols, (symbols, if self.is_64 { 48 } else { 32 }), 5);
            out.section(".hash", 5, 2, base + hash, (hash, 20), 3);
            out.section(".dynstr", 3, 2, base + strings, (strings, STRINGS.len() as u64), 0);
            out.section(".dynamic", 6, 3, dynamic_address, (dynamic, dynamic_end - dynamic), 5);
            out.section(".data", 1, 3, base + data + 0x1000, (data, second_end - data), 0);
            out.section(".shstrtab", 3, 0, 0, (names, NAMES.len() as u64), 0);
            count = 9;
        }
        out.bytes.extend((0..self.payload).map(|index| b'p' + (index % 7) as u8));

        let rest = std::mem::take(&mut out.bytes);
        out.bytes.extend([
            0x7f,
            b'E',
            b'L',
            b'F',
            if self.is_64 { 2 } else { 1 },
            if self.is_big_endian { 2 } else { 1 },
            1,
        ]);
        out.bytes.resize(16, 0);
        out.half(if self.is_fixed { 2 } else { 3 });
        out.half(62);
        out.word(1);
        out.address(0);
        out.address(header as u64);
        out.address(sections);
        out.word(0);
        for number in [header as u64, segment as u64, segments as u64, if word == 8 { 64 } else { 40 }, count] {
            out.half(number);
        }
        out.half(if count > 0 { count - 1 } else { 0 });
        if self.starts {
            let table = (segments * segment) as u64;
            out.segment(6, 4, header as u64, base + header as u64, table, 8);
            out.segment(3, 4, interpreter, base + interpreter, INTERPRETER.len() as u64 + 1, 1);
        }
        out.segment(1, 4, 0, base, first_end, 0x1000);
        let data = second_end - dynamic;
        out.segment_with(1, 6, dynamic, dynamic_address, [data, data + self.cleared], 0x1000);
        out.segment(2, 6, dynamic, dynamic_address, dynamic_end - dynamic, 8);
        out.segment(4, 4, note, base + note, 20, 4);
        out.segment(0x6474_e551, 6, 0, 0, 0, 16);
        let begin = out.bytes.len();
        out.bytes.extend(&rest[begin..]);
        out.bytes
    }
}
