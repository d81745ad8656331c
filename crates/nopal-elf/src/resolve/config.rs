//! What a loader was built with, what the machine is, and what the user asked for.

use super::cache::LdCache;
use crate::read::{ByteOrder, Class, Header, machine};

/// A loader and the machine it runs on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoaderConfig {
    /// The path by which the loader was started: the one that the program names, unless it is started by hand.
    pub interpreter: Vec<u8>,
    /// Directories that are searched last, in order.
    pub system_directories: Vec<Vec<u8>>,
    /// What `$LIB` stands for.
    pub lib: Vec<u8>,
    /// What `$PLATFORM` stands for: the kernel's name of the processor.
    pub platform: Option<Vec<u8>>,
    /// Names of subdirectories of `glibc-hwcaps` that the processor can use, the best first.
    pub hwcaps: Vec<Vec<u8>>,
    /// Further subdirectories of every directory, which loaders before glibc 2.37 search after those.
    pub legacy_subdirectories: Vec<Vec<u8>>,
    /// The contents of `ld.so.cache`.
    pub cache: Option<LdCache>,
    /// Whether it takes notes of where libraries are at their word.
    pub honours_notes: bool,
}

/// What the user asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Environment {
    /// `LD_LIBRARY_PATH`.
    pub library_path: Option<Vec<u8>>,
    /// `LD_PRELOAD`, and behind it what `/etc/ld.so.preload` names.
    pub preload: Vec<Vec<u8>>,
}

impl Environment {
    /// The names in a value of `LD_PRELOAD`.
    pub fn split_preload(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let names = value.split(|byte| b" :".contains(byte)).filter(|name| !name.is_empty());
        names.map(<[u8]>::to_vec)
    }
}

/// What a loader says of itself in its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoaderFacts {
    /// Directories that it searches last, in order.
    pub system_directories: Vec<Vec<u8>>,
    /// The cache that it reads.
    pub cache_path: Option<Vec<u8>>,
    /// What `$LIB` stands for.
    pub lib: Vec<u8>,
    /// Whether it searches subdirectories by the processor's name and abilities, as versions before 2.37 do.
    pub has_legacy_subdirectories: bool,
}

/// What the help of loaders from 2.33 to 2.36 says.
const LEGACY: &[u8] = b"Legacy HWCAP subdirectories";

impl LoaderFacts {
    /// Looks for them in all bytes of a loader of glibc, which are few. Nothing if it is no such loader.
    ///
    /// Its default directories are strings after each other, which begin and end with a slash; the cache's name is one.
    pub fn find(loader: &[u8]) -> Option<Self> {
        let (mut best, mut run, mut cache_path): (Vec<&[u8]>, Vec<&[u8]>, _) = (Vec::new(), Vec::new(), None);
        for text in loader.split(|byte| *byte == 0) {
            if let Some(path) = path_at_end(text) {
                if path.ends_with(b"/ld.so.cache") && cache_path.is_none() {
                    cache_path = Some(path.to_vec());
                }
                // "/lib/" is the shortest that occurs
                if path.len() == text.len() && path.len() >= 5 && path.ends_with(b"/") {
                    run.push(path);
                    continue;
                }
            }
            if run.len() > best.len() {
                best = std::mem::take(&mut run);
            }
            run.clear();
        }
        let first = *best.first()?;
        let lib = first.strip_suffix(b"/")?;
        // from the last name that begins with lib: "lib/x86_64-linux-gnu" of "/lib/x86_64-linux-gnu/"
        let at = (0..lib.len()).rev().find(|at| lib[*at..].starts_with(b"/lib"))?;
        cache_path.as_ref()?;
        let system_directories = best.iter().map(|path| path.to_vec()).collect();
        let has_legacy_subdirectories = loader.windows(LEGACY.len()).any(|text| text == LEGACY);
        Some(Self { system_directories, cache_path, lib: lib[at + 1..].to_vec(), has_legacy_subdirectories })
    }

    /// Subdirectories that such loaders search: all ways to go down by `tls`, the processor's name, and what nearly all
    /// processors of the machine can do.
    pub fn legacy_subdirectories(&self, machine: u16) -> Vec<Vec<u8>> {
        let Some(name) = platform(machine).filter(|_| self.has_legacy_subdirectories) else { return Vec::new() };
        let ability: Option<&[u8]> = match machine {
            machine::X86_64 => Some(b"x86_64"),
            machine::I386 => Some(b"sse2"),
            _ => None,
        };
        let names: Vec<&[u8]> = [&b"tls"[..], name].into_iter().chain(ability).collect();
        // those of more parts first, and those that begin with the first name
        let ways = (1..1_usize << names.len()).rev();
        let chosen = |way: usize| {
            let is_chosen = |place: usize| way >> (names.len() - 1 - place) & 1 == 1;
            let parts = names.iter().enumerate().filter(move |(place, _)| is_chosen(*place));
            parts.map(|(_, name)| *name).collect::<Vec<_>>().join(&b'/')
        };
        ways.map(chosen).collect()
    }
}

/// The text, if it is printable and a path from the root on.
fn path_at_end(text: &[u8]) -> Option<&[u8]> {
    let is_path = text.starts_with(b"/") && text.iter().all(|byte| byte.is_ascii_graphic());
    is_path.then_some(text)
}

/// What kernels call processors of a machine; what a program's `$PLATFORM` stands for.
pub fn platform(machine: u16) -> Option<&'static [u8]> {
    Some(match machine {
        machine::X86_64 => b"x86_64",
        machine::I386 => b"i686",
        machine::AARCH64 => b"aarch64",
        machine::ARM => b"v7l",
        _ => return None,
    })
}

/// Where loaders of glibc are on most systems; what libraries, which name none, are loaded by there.
pub fn usual_interpreter(header: &Header) -> Option<&'static str> {
    Some(match (header.machine, header.class(), header.byte_order()) {
        (machine::X86_64, Class::Elf64, _) => "/lib64/ld-linux-x86-64.so.2",
        (machine::X86_64, Class::Elf32, _) => "/libx32/ld-linux-x32.so.2",
        (machine::I386, ..) => "/lib/ld-linux.so.2",
        (machine::AARCH64, Class::Elf64, ByteOrder::Little) => "/lib/ld-linux-aarch64.so.1",
        (machine::ARM, ..) if header.flags & machine::ARM_HARD_FLOAT != 0 => "/lib/ld-linux-armhf.so.3",
        (machine::ARM, ..) => "/lib/ld-linux.so.3",
        (machine::RISCV, Class::Elf64, _) => "/lib/ld-linux-riscv64-lp64d.so.1",
        (machine::PPC64, _, ByteOrder::Little) => "/lib64/ld64.so.2",
        (machine::S390, Class::Elf64, _) => "/lib/ld64.so.1",
        (machine::LOONGARCH, Class::Elf64, _) => "/lib64/ld-linux-loongarch-lp64d.so.1",
        _ => return None,
    })
}

/// Which flags of a machine must be equal for files to go together.
pub(super) fn convention(header: &Header) -> u32 {
    header.flags
        & match header.machine {
            // how numbers with fractions are passed, and the small set of registers
            machine::RISCV => 0x6 | 0x8,
            // the version of the convention
            machine::PPC64 => 0x3,
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_tells_its_directories() {
        let loader = b"\x7fELF\0junk/\0/x/\0\0/lib/a-b/\0/usr/lib/a-b/\0/lib/\0/usr/lib/\0\0glibc\0/etc/ld.so.cache\0";
        let facts = LoaderFacts::find(loader).unwrap();
        assert_eq!(facts.system_directories, [&b"/lib/a-b/"[..], b"/usr/lib/a-b/", b"/lib/", b"/usr/lib/"]);
        assert_eq!((&facts.lib[..], facts.cache_path.as_deref()), (&b"lib/a-b"[..], Some(&b"/etc/ld.so.cache"[..])));
        let loader = b"\0/nix/store/abc-lib-glibc/lib/\0x\0/nix/store/abc-lib-glibc/etc/ld.so.cache\0";
        assert_eq!(LoaderFacts::find(loader).unwrap().lib, b"lib");
        assert_eq!(LoaderFacts::find(b"\0/lib/\0musl"), None);
    }

    #[test]
    fn subdirectories_of_old_loaders() {
        let mut facts = LoaderFacts::default();
        assert!(facts.legacy_subdirectories(machine::AARCH64).is_empty());
        facts.has_legacy_subdirectories = true;
        let joined = |machine| facts.legacy_subdirectories(machine).join(&b' ').escape_ascii().to_string();
        assert_eq!(joined(machine::AARCH64), "tls/aarch64 tls aarch64");
        assert_eq!(joined(machine::I386), "tls/i686/sse2 tls/i686 tls/sse2 tls i686/sse2 i686 sse2");
        assert_eq!(joined(machine::X86_64), "tls/x86_64/x86_64 tls/x86_64 tls/x86_64 tls x86_64/x86_64 x86_64 x86_64");
    }

    #[test]
    fn names_to_preload() {
        let names: Vec<_> = Environment::split_preload(b"liba.so:/x/b.so  c").collect();
        assert_eq!(names, [&b"liba.so"[..], b"/x/b.so", b"c"]);
    }
}
