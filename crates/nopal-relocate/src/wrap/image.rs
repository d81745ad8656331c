//! The launchers as files: an ELF header around an image of stubs/prebuilt.
//!
//! There is one segment, which is the file, and no sections: programs that remove debugging information, or change where
//! libraries are looked for, leave such files alone, and `strings -d` looks at all of them.

use std::fmt;

/// A processor that there is a launcher for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    X86_64,
    /// i386.
    I386,
    /// AArch64, lowest byte first.
    Aarch64,
}

/// All of them.
const ALL: [Architecture; 3] = [Architecture::X86_64, Architecture::I386, Architecture::Aarch64];

/// Segments begin at multiples of this, which is the largest page of any of the processors.
const PAGE_BYTES: u64 = 0x1_0000;
/// A file that a kernel may place anywhere.
const TYPE_SHARED: u16 = 3;
/// Codes of segments.
const LOAD: u32 = 1;
const STACK: u32 = 0x6474_e551;
/// Rights of segments.
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 4;
/// What follows a launcher whose data are elsewhere: the launcher looks whether it is a magic.
const NO_DATA: [u8; 16] = [0; 16];

impl Architecture {
    /// By its name, as Nix, uname or Debian have it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "i386" | "i486" | "i586" | "i686" | "x86" => Some(Self::I386),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The one of the program, if it is an ELF file for one that there is a launcher for.
    #[must_use]
    pub fn of_file(head: &[u8]) -> Option<Self> {
        let machine = u16::from_le_bytes(head.get(18..20)?.try_into().ok()?);
        ALL.into_iter()
            .find(|one| head.starts_with(&[0x7f, b'E', b'L', b'F', one.class(), 1]) && one.machine() == machine)
    }

    const fn machine(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::I386 => 3,
            Self::Aarch64 => 183,
        }
    }

    const fn class(self) -> u8 {
        match self {
            Self::I386 => 1,
            Self::X86_64 | Self::Aarch64 => 2,
        }
    }

    const fn image(self) -> &'static [u8] {
        match self {
            Self::X86_64 => include_bytes!("../../../../stubs/prebuilt/x86_64/launch"),
            Self::I386 => include_bytes!("../../../../stubs/prebuilt/i386/launch"),
            Self::Aarch64 => include_bytes!("../../../../stubs/prebuilt/aarch64/launch"),
        }
    }

    /// The launcher, which looks for its data beside itself.
    #[must_use]
    pub fn launcher(self) -> Vec<u8> {
        self.file(&NO_DATA)
    }

    /// The launcher with its data.
    #[must_use]
    pub fn launcher_with(self, data: &[u8]) -> Vec<u8> {
        self.file(data)
    }

    /// What unpacks so many bytes that follow it.
    #[must_use]
    pub fn unpacker(self, payload_bytes: u64) -> Vec<u8> {
        let image: &[u8] = match self {
            Self::X86_64 => include_bytes!("../../../../stubs/prebuilt/x86_64/unpack"),
            Self::I386 => include_bytes!("../../../../stubs/prebuilt/i386/unpack"),
            Self::Aarch64 => include_bytes!("../../../../stubs/prebuilt/aarch64/unpack"),
        };
        let mut file = self.headers(image, payload_bytes);
        file.extend_from_slice(image);
        file
    }

    fn file(self, payload: &[u8]) -> Vec<u8> {
        let mut file = self.headers(self.image(), payload.len() as u64);
        file.extend_from_slice(self.image());
        file.extend_from_slice(payload);
        file
    }

    fn headers(self, image: &[u8], payload_bytes: u64) -> Vec<u8> {
        let is_64 = self.class() == 2;
        let (header_bytes, segment_bytes): (u16, u16) = if is_64 { (64, 56) } else { (52, 32) };
        // the image begins at a multiple of 16
        let begin = (header_bytes + 2 * segment_bytes).next_multiple_of(16);
        let size = u64::from(begin) + image.len() as u64 + payload_bytes;
        let mut fields = Fields { bytes: vec![0x7f, b'E', b'L', b'F', self.class(), 1, 1], is_64 };
        fields.bytes.resize(16, 0);
        fields.half(TYPE_SHARED);
        fields.half(self.machine());
        fields.word(1);
        fields.address(u64::from(begin));
        fields.address(u64::from(header_bytes));
        fields.address(0);
        fields.word(0);
        for half in [header_bytes, segment_bytes, 2, 0, 0, 0] {
            fields.half(half);
        }
        fields.segment(LOAD, READ | EXECUTE, size, PAGE_BYTES);
        fields.segment(STACK, READ | WRITE, 0, 16);
        fields.bytes.resize(usize::from(begin), 0);
        fields.bytes
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// Fields of headers, lowest byte first.
struct Fields {
    bytes: Vec<u8>,
    is_64: bool,
}

impl Fields {
    fn half(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn word(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn address(&mut self, value: u64) {
        let bytes = value.to_le_bytes();
        self.bytes.extend_from_slice(if self.is_64 { &bytes } else { &bytes[..4] });
    }

    fn segment(&mut self, kind: u32, rights: u32, size: u64, align: u64) {
        self.word(kind);
        if self.is_64 {
            self.word(rights);
        }
        // offset, address, physical address, size in the file and in memory
        for field in [0, 0, 0, size, size] {
            self.address(field);
        }
        if !self.is_64 {
            self.word(rights);
        }
        self.address(align);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_known_by_their_headers() {
        for one in ALL {
            let file = one.launcher();
            assert_eq!(Architecture::of_file(&file), Some(one));
            assert_eq!(Architecture::from_name(&one.to_string()), Some(one));
            assert!(file.len() < 16 << 10, "{one}: {}", file.len());
        }
    }
}
