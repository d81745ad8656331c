//! Rules of the loader, each with the smallest tree that shows it.

use super::*;
use crate::read::{ByteOrder, Class, Header, machine};
use crate::sample::{AUXILIARY, FILTER, RPATH, RUNPATH, Sample};

/// A tree with a program at `/bin/p`.
struct World {
    tree: MemoryTree,
    config: LoaderConfig,
    environment: Environment,
}

impl World {
    fn new(program: &Sample) -> Self {
        let mut tree = MemoryTree::default();
        tree.file("/bin/p", program.build()).file("/lib/ld.so", Sample::library("ld.so.1").build());
        let config = LoaderConfig {
            interpreter: b"/lib/ld.so".to_vec(),
            system_directories: vec![b"/lib/".to_vec(), b"/usr/lib".to_vec()],
            lib: b"lib".to_vec(),
            ..LoaderConfig::default()
        };
        Self { tree, config, environment: Environment::default() }
    }

    fn with(mut self, path: &str, sample: &Sample) -> Self {
        self.tree.file(path, sample.build());
        self
    }

    fn resolve(&self) -> Resolution {
        resolve(&self.tree, b"/bin/p", &self.config, &self.environment).unwrap()
    }

    /// The order of symbols, without the program.
    fn scope(&self) -> String {
        let resolution = self.resolve();
        let paths = resolution.scope[1..].iter().map(|object| text(&resolution.objects[*object].path));
        paths.collect::<Vec<_>>().join(" ")
    }

    /// What was opened in vain.
    fn attempts(&self) -> String {
        let resolution = self.resolve();
        let attempts = resolution.requests().flat_map(|(_, request)| &request.attempts);
        attempts.map(|attempt| text(&attempt.path)).collect::<Vec<_>>().join(" ")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn library(soname: &str) -> Sample {
    Sample::library(soname)
}

#[test]
fn default_directories_come_last_and_each_name_is_found_once() {
    let world = World::new(&Sample::program().needs(&["liba.so", "libb.so"]))
        .with("/lib/liba.so", &library("liba.so").needs(&["libb.so", "ld.so.1"]))
        .with("/usr/lib/libb.so", &library("libb.so").needs(&["liba.so"]));
    assert_eq!(world.scope(), "/lib/liba.so /usr/lib/libb.so /lib/ld.so");
    assert_eq!(world.attempts(), "/lib/libb.so");
    let resolution = world.resolve();
    assert_eq!(resolution.objects[3].rule, Rule::Default);
    assert!(resolution.is_complete() && resolution.failed_opens() == 1);
}

#[test]
fn rpath_is_inherited_and_runpath_is_not() {
    let inner = |tag| {
        World::new(&Sample::program().needs(&["liba.so"]).with(tag, "/x"))
            .with("/x/liba.so", &library("liba.so").needs(&["libb.so"]))
            .with("/x/libb.so", &library("libb.so"))
    };
    assert_eq!(inner(RPATH).scope(), "/x/liba.so /x/libb.so");
    assert_eq!(inner(RPATH).resolve().objects[3].rule, Rule::Rpath(0));
    assert_eq!(inner(RUNPATH).scope(), "/x/liba.so");
    assert!(!inner(RUNPATH).resolve().is_complete());
    // an object with a run path inherits nothing, and its own RPATH is void
    let world = inner(RPATH).with("/x/liba.so", &library("").needs(&["libb.so"]).with(RUNPATH, "/y").with(RPATH, "/x"));
    assert_eq!(world.scope(), "/x/liba.so");
    assert_eq!(world.attempts(), "/y/libb.so /lib/libb.so /usr/lib/libb.so");
}

#[test]
fn chain_of_loaders_hands_down_rpath() {
    let world = World::new(&Sample::program().needs(&["liba.so"]).with(RPATH, "/p"))
        .with("/p/liba.so", &library("").needs(&["libb.so"]).with(RPATH, "/a"))
        .with("/a/libb.so", &library("").needs(&["libc.so"]).with(RPATH, "/b"))
        .with("/p/libc.so", &library(""))
        .with("/a/other", &library(""))
        .with("/b/other", &library(""));
    assert_eq!(world.scope(), "/p/liba.so /a/libb.so /p/libc.so");
    assert_eq!(world.attempts(), "/b/libc.so /a/libc.so");
}

#[test]
fn library_path_is_between_rpath_and_runpath() {
    let world = |tag| {
        let mut world = World::new(&Sample::program().needs(&["liba.so"]).with(tag, "$ORIGIN/../x"))
            .with("/x/liba.so", &library(""))
            .with("/l/liba.so", &library(""));
        world.environment.library_path = Some(b"/none;/l".to_vec());
        world
    };
    assert_eq!(world(RPATH).scope(), "/bin/../x/liba.so");
    assert_eq!(world(RUNPATH).scope(), "/l/liba.so");
    assert_eq!(world(RUNPATH).attempts(), "/none/liba.so");
}

#[test]
fn origin_is_where_the_program_really_is() {
    let mut world = World::new(&Sample::program())
        .with("/opt/bin/q", &Sample::program().needs(&["liba.so"]).with(RUNPATH, "${ORIGIN}/../$LIB"))
        .with("/opt/lib/real.so", &library("liba.so").needs(&["libb.so"]).with(RUNPATH, "$ORIGIN"))
        .with("/opt/lib/libb.so", &library(""));
    world.tree.link("/bin/p", "../opt/bin/q").link("/opt/lib/liba.so", "real.so");
    assert_eq!(world.scope(), "/opt/bin/../lib/liba.so /opt/bin/../lib/libb.so");
}

#[test]
fn hwcaps_directories_come_first_and_absent_ones_are_asked_for_once() {
    let mut world = World::new(&Sample::program().needs(&["liba.so", "libb.so"]).with(RUNPATH, "/x"))
        .with("/x/liba.so", &library(""))
        .with("/x/libb.so", &library(""))
        .with("/x/glibc-hwcaps/x86-64-v2/libb.so", &library(""));
    world.config.hwcaps = vec![b"x86-64-v3".to_vec(), b"x86-64-v2".to_vec()];
    assert_eq!(world.scope(), "/x/liba.so /x/glibc-hwcaps/x86-64-v2/libb.so");
    assert_eq!(world.attempts(), "/x/glibc-hwcaps/x86-64-v3/liba.so /x/glibc-hwcaps/x86-64-v2/liba.so");
}

#[test]
fn files_for_others_are_passed_over_and_broken_ones_are_not() {
    let narrow = Sample { class: Class::Elf32, machine: machine::I386, ..library("") };
    let foreign = Sample { machine: machine::AARCH64, ..library("") };
    let world = || {
        World::new(&Sample::program().needs(&["liba.so"]).with(RUNPATH, "/n:/f:/g"))
            .with("/n/liba.so", &narrow)
            .with("/f/liba.so", &foreign)
    };
    let found = world().with("/g/liba.so", &library(""));
    assert_eq!(found.scope(), "/g/liba.so");
    let resolution = found.resolve();
    let mismatches: Vec<_> = resolution.objects[0].requests[0].attempts.iter().map(|attempt| attempt.found).collect();
    assert_eq!(mismatches, [Mismatch::OtherClass, Mismatch::OtherMachine]);
    for broken in
        [Sample { order: ByteOrder::Big, ..library("") }, Sample { kind: 1, ..library("") }, Sample::program()]
    {
        let world = world().with("/g/liba.so", &broken).with("/lib/liba.so", &library(""));
        assert!(
            matches!(&world.resolve().objects[0].requests[0].answer, Answer::Refused { path, .. } if path == b"/g/liba.so")
        );
    }
}

#[test]
fn same_file_and_same_soname_are_the_same_object() {
    let mut world =
        World::new(&Sample::program().needs(&["liba.so", "/x/other.so", "liba.so.1", "libz.so"]).with(RUNPATH, "/x"))
            .with("/x/liba.so", &library("liba.so.1"))
            .with("/x/liba.so.1", &library(""));
    world.tree.link("/x/other.so", "liba.so").link("/x/libz.so", "/x/liba.so");
    assert_eq!(world.scope(), "/x/liba.so");
    let resolution = world.resolve();
    let known = resolution.objects[0].requests[1..].iter().filter(|request| matches!(request.answer, Answer::Known(2)));
    assert_eq!(known.count(), 3);
}

#[test]
fn preloads_stand_behind_the_program_and_filters_before_what_they_filter() {
    let mut world = World::new(&Sample::program().needs(&["liba.so", "libb.so", "libf.so"]))
        .with("/lib/liba.so", &library("").with(AUXILIARY, "libnone.so").with(AUXILIARY, "libx.so"))
        .with("/lib/libb.so", &library(""))
        .with("/lib/libf.so", &library("").with(FILTER, "libb.so"))
        .with("/lib/libx.so", &library("").needs(&["liby.so"]))
        .with("/lib/liby.so", &library(""))
        .with("/pre/libp.so", &library("").needs(&["libb.so"]));
    world.environment.preload = vec![b"/pre/libp.so".to_vec(), b"libgone.so".to_vec()];
    // libb.so is before libf.so already
    assert_eq!(world.scope(), "/pre/libp.so /lib/libx.so /lib/liba.so /lib/libb.so /lib/libf.so /lib/liby.so");
    assert!(world.resolve().is_complete());
}

#[test]
fn nodeflib_keeps_default_directories_out() {
    let program = Sample { flags_1: 0x0800_0800, ..Sample::program().needs(&["liba.so"]) };
    let world = World::new(&program).with("/lib/liba.so", &library(""));
    assert_eq!((world.scope(), world.attempts()), (String::new(), String::new()));
}

#[test]
fn cache_is_read_by_flags_and_subdirectory() {
    let program = Sample::program().needs(&["liba.so.1", "libb.so"]);
    let mut world = World::new(&program)
        .with("/c/liba.so.1", &library(""))
        .with("/c/v3/liba.so.1", &library(""))
        .with("/lib/libb.so", &library(""));
    let cache = cache(&[
        ("liba.so.1", "/c/v4/liba.so.1", 0x303, 1 << 62),
        ("liba.so.1", "/c/v3/liba.so.1", 0x303, (1 << 62) | 1),
        ("liba.so.1", "/32/liba.so.1", 3, 0),
        ("liba.so.1", "/c/liba.so.1", 0x303, 0),
        ("libb.so", "/gone/libb.so", 0x303, 0),
    ]);
    world.config.cache = Some(LdCache::parse(&cache, ByteOrder::Little).unwrap());
    assert_eq!(world.scope(), "/c/liba.so.1 /lib/libb.so");
    assert_eq!(world.attempts(), "/gone/libb.so");
    world.config.hwcaps = vec![b"v3".to_vec()];
    assert_eq!(world.scope(), "/c/v3/liba.so.1 /lib/libb.so");
    assert_eq!(world.resolve().objects[2].rule, Rule::Cache);
    let nodeflib = Sample { flags_1: 0x0800_0800, ..program };
    world.config.system_directories = vec![b"/c/".to_vec()];
    assert_eq!(world.with("/bin/p", &nodeflib).scope(), "");
}

/// A cache with such entries and two subdirectories, `v4` and `v3`.
fn cache(entries: &[(&str, &str, u32, u64)]) -> Vec<u8> {
    let mut strings = b"v4\0v3\0".to_vec();
    let begin = 48 + 24 * entries.len() as u32;
    let mut file = b"glibc-ld.so.cache1.1".to_vec();
    let mut table = Vec::new();
    for (soname, path, flags, hwcap) in entries {
        let mut string = |text: &str| {
            let at = begin + strings.len() as u32;
            strings.extend(text.bytes().chain([0]));
            at
        };
        let numbers = [*flags, string(soname), string(path), 0];
        numbers.iter().for_each(|number| table.extend(number.to_le_bytes()));
        table.extend(hwcap.to_le_bytes());
    }
    let extension = (begin as usize + strings.len()).next_multiple_of(4) as u32;
    for number in [entries.len() as u32, strings.len() as u32, 2, extension, 0, 0, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend(table);
    file.extend(strings);
    file.resize(extension as usize, 0);
    for number in [0xeaa4_2174, 1, 1, 0, extension + 24, 8, begin, begin + 3_u32] {
        file.extend(number.to_le_bytes());
    }
    file
}

#[test]
fn notes_are_taken_at_their_word_only_if_they_are_honoured() {
    let desc = b"liba.so\0=/gone/liba.so:=/note/liba.so\0libb.so\0?/none:?$ORIGIN/../note\0libc.so\0=/gone\0\0";
    let head = [6_u32, desc.len() as u32, 0x63a8_6cb6];
    let note = [&head.map(u32::to_le_bytes).concat()[..], b"NixOS\0\0\0", desc].concat();
    let program = Sample { note, ..Sample::program().needs(&["liba.so", "libb.so", "libc.so"]).with(RUNPATH, "/run") };
    let mut world = World::new(&program);
    for path in ["/run/liba.so", "/run/libb.so", "/run/libc.so", "/note/liba.so", "/note/libb.so", "/user/liba.so"] {
        world = world.with(path, &library(""));
    }
    assert_eq!(world.scope(), "/run/liba.so /run/libb.so /run/libc.so");
    world.config.honours_notes = true;
    assert_eq!(world.scope(), "/note/liba.so /bin/../note/libb.so /run/libc.so");
    assert_eq!(world.attempts(), "/gone/liba.so /none/libb.so /gone");
    assert_eq!(world.resolve().objects[2].rule, Rule::Note);
    // the user's wish is stronger
    world.environment.library_path = Some(b"/user".to_vec());
    assert_eq!(world.scope(), "/user/liba.so /bin/../note/libb.so /run/libc.so");
}

#[test]
fn other_classes_and_byte_orders_resolve_the_same() {
    for (class, order, machine) in [
        (Class::Elf32, ByteOrder::Little, machine::ARM),
        (Class::Elf32, ByteOrder::Big, machine::PPC),
        (Class::Elf64, ByteOrder::Big, machine::S390),
    ] {
        let of = |sample: Sample| Sample { class, order, machine, ..sample };
        let world = World::new(&of(Sample::program().needs(&["liba.so"]).with(RUNPATH, "/x")))
            .with("/x/liba.so", &of(library("liba.so")));
        assert_eq!(world.scope(), "/x/liba.so");
        let header = Header::read(&&of(library("")).build()[..]).unwrap();
        assert_eq!((header.class(), header.byte_order(), header.machine), (class, order, machine));
    }
}

#[test]
fn files_of_hostile_make_end() {
    let filters = World::new(&Sample::program().needs(&["liba.so"]))
        .with("/lib/liba.so", &library("").with(FILTER, "libb.so"))
        .with("/lib/libb.so", &library("").with(FILTER, "liba.so").with(AUXILIARY, "libb.so"));
    assert_eq!(filters.scope(), "/lib/liba.so /lib/libb.so");
    // each of many names in each of many directories, none of which is there
    let list: String = (0..3000).map(|number| format!("d{number}:")).collect();
    let names: Vec<String> = (0..1000).map(|number| format!("lib{number}.so")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&Sample::program().needs(&names).with(RUNPATH, &list));
    let outcome = resolve(&world.tree, b"/bin/p", &world.config, &world.environment);
    assert!(matches!(outcome, Err(ResolveError::TooMuch { .. })));
}
