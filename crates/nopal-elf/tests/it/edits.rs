//! Any edits in any order: the file says what was asked for, and is still a file that can be loaded.

use std::collections::{BTreeMap, BTreeSet};

use nopal_elf::{CacheOutcome, Directory, Editor, ExecStack, Options, Place, RunPath, RunPathDirectories, Start};
use object::Endianness;
use object::elf::ProgramType;
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use proptest::prelude::*;

use crate::sample::Sample;

/// One edit.
#[derive(Debug, Clone)]
enum Edit {
    Interpreter(String),
    SetRunPath(String),
    AddRunPath(String),
    RemoveRunPath,
    ForceRunPath(String),
    Soname(String),
    AddNeeded(String),
    RemoveNeeded(usize),
    ReplaceNeeded(usize, String),
    NoDefaultLibraries,
    DebugTag,
    ExecStack(bool),
    Cache,
    Rename(String),
    ClearVersions,
    Start(Vec<String>),
    RemoveStart,
}

/// Every library is in `/lib`; a directory that begins with `/gone` is not there.
struct Libraries;

impl RunPathDirectories for Libraries {
    fn directory(&self, directory: &[u8]) -> Directory {
        if directory.starts_with(b"/gone") { Directory::AtRunTime } else { Directory::Searchable }
    }

    fn is_readable(&self, path: &[u8]) -> bool {
        path.starts_with(b"/lib/")
    }
}

/// What the file should say.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    interpreter: Option<Vec<u8>>,
    run_path: Option<Vec<u8>>,
    soname: Option<Vec<u8>>,
    needed: Vec<Vec<u8>>,
    exec_stack: ExecStack,
    start: Option<Start>,
}

fn says(bytes: &[u8]) -> Model {
    let editor = Editor::open(&bytes, Options::default()).unwrap();
    Model {
        interpreter: editor.interpreter().ok(),
        run_path: editor.run_path().unwrap(),
        soname: editor.soname().unwrap(),
        needed: editor.needed().unwrap(),
        exec_stack: editor.exec_stack(),
        start: editor.start(),
    }
}

/// Applies an edit; whether bytes changed.
fn apply(bytes: &mut Vec<u8>, model: &mut Model, edit: &Edit) -> bool {
    let force_rpath = matches!(edit, Edit::ForceRunPath(_));
    let source = bytes.clone();
    let source = &source[..];
    let mut editor = Editor::open(&source, Options { force_rpath, ..Options::default() }).unwrap();
    let text = |text: &String| text.clone().into_bytes();
    match edit {
        Edit::Interpreter(path) if model.start.is_some() => {
            assert!(editor.set_interpreter(path.as_bytes()).is_err() || model.interpreter == Some(text(path)));
        }
        Edit::Interpreter(path) => {
            if model.interpreter.is_some() {
                editor.set_interpreter(path.as_bytes()).unwrap();
                model.interpreter = Some(text(path));
            } else {
                assert!(editor.set_interpreter(path.as_bytes()).is_err());
            }
        }
        Edit::SetRunPath(path) | Edit::ForceRunPath(path) => {
            editor.change_run_path(RunPath::Set(text(path))).unwrap();
            model.run_path = Some(text(path));
        }
        Edit::AddRunPath(path) => {
            editor.change_run_path(RunPath::Add(text(path))).unwrap();
            model.run_path = Some(match model.run_path.take().filter(|old| !old.is_empty()) {
                Some(old) => [&old, &b":"[..], path.as_bytes()].concat(),
                None => text(path),
            });
        }
        Edit::RemoveRunPath => {
            editor.change_run_path(RunPath::Remove).unwrap();
            model.run_path = None;
        }
        Edit::Soname(name) => {
            editor.set_soname(name.as_bytes()).unwrap();
            if model.soname.is_some() {
                model.soname = Some(text(name));
            }
        }
        Edit::AddNeeded(name) => {
            editor.add_needed(&BTreeSet::from([text(name)])).unwrap();
            model.needed.insert(0, text(name));
        }
        Edit::RemoveNeeded(index) => {
            if let Some(name) = model.needed.get(*index).cloned() {
                editor.remove_needed(&BTreeSet::from([name.clone()])).unwrap();
                model.needed.retain(|other| *other != name);
            }
        }
        Edit::ReplaceNeeded(index, new) => {
            if let Some(name) = model.needed.get(*index).cloned() {
                editor.replace_needed(&BTreeMap::from([(name.clone(), text(new))])).unwrap();
                model.needed.iter_mut().filter(|other| **other == name).for_each(|other| *other = text(new));
            }
        }
        Edit::NoDefaultLibraries => editor.no_default_libraries().unwrap(),
        Edit::DebugTag => editor.add_debug_tag().unwrap(),
        Edit::ExecStack(executable) => {
            editor.set_exec_stack(*executable);
            model.exec_stack = if *executable { ExecStack::Yes } else { ExecStack::No };
        }
        Edit::Cache => {
            // one that no longer holds is refused; `Nothing` and `UpToDate` change nothing
            match editor.build_cache(&Libraries) {
                Ok(CacheOutcome::Written) => {}
                Ok(_) | Err(_) => return false,
            }
        }
        Edit::Rename(name) => {
            editor.rename_symbols(&BTreeMap::from([(b"needle".to_vec(), text(name))])).unwrap();
        }
        Edit::Start(libraries) => {
            let libraries = libraries.iter().map(|path| Place::FromRoot(text(path))).collect();
            let start = Start {
                depth: 3,
                loader: Place::At(b"/lib/ld.so".to_vec()),
                libraries,
                preparation: vec![7; 3],
                bindings: vec![9; 12],
            };
            // no code for the machine, or nothing that a loader starts
            match editor.set_start(&start) {
                Ok(()) => model.start = Some(start),
                Err(_) => return false,
            }
        }
        Edit::RemoveStart => {
            editor.remove_start().unwrap();
            model.start = None;
        }
        Edit::ClearVersions => {
            // it has none
            assert!(editor.clear_symbol_versions(&BTreeSet::from([b"needle".to_vec()])).is_err());
        }
    }
    let changes = editor.finish().unwrap();
    assert!(changes.len >= bytes.len() as u64 || matches!(edit, Edit::Start(_) | Edit::RemoveStart));
    bytes.resize(changes.len as usize, 0);
    let mut end = 0;
    for patch in &changes.patches {
        assert!(patch.offset >= end, "patches overlap");
        end = patch.offset + patch.bytes.len() as u64;
        bytes[patch.offset as usize..end as usize].copy_from_slice(&patch.bytes);
    }
    !changes.patches.is_empty()
}

/// What the kernel and the loader expect of a file, by another reader than ours.
fn check<H: FileHeader<Endian = Endianness>>(bytes: &[u8], payload: usize) {
    let header = H::parse(bytes).unwrap();
    let endian = header.endian().unwrap();
    let segments = header.program_headers(endian, bytes).unwrap();
    let of_kind = |kind: ProgramType| segments.iter().filter(move |segment| segment.p_type(endian) == kind);
    let number = |number: H::Word| -> u64 { number.into() };
    let range = |segment: &H::ProgramHeader| {
        let begin = number(segment.p_vaddr(endian));
        (begin, begin + number(segment.p_memsz(endian)))
    };
    let loads = of_kind(object::elf::PT_LOAD).collect::<Vec<_>>();
    let mut end = 0;
    for load in &loads {
        let (begin, next) = range(load);
        assert!(begin & !0xfff >= end, "segments share a page or are not in order: {begin:#x} {end:#x}");
        end = (next + 0xfff) & !0xfff;
        let offset = number(load.p_offset(endian));
        assert_eq!(offset % 0x1000, begin % 0x1000, "a segment cannot be mapped");
        assert!(offset + number(load.p_filesz(endian)) <= bytes.len() as u64);
    }
    // what the program reads of itself lies in a segment, at the place that the segment says
    for segment in segments.iter().filter(|segment| (2..=6).contains(&segment.p_type(endian).0)) {
        let (begin, end) = range(segment);
        let load = loads.iter().find(|load| range(load).0 <= begin && end <= range(load).1).expect("nowhere in memory");
        let bias = range(load).0.wrapping_sub(number(load.p_offset(endian)));
        assert_eq!(number(segment.p_offset(endian)).wrapping_add(bias), begin);
    }
    if let Some(table) = of_kind(object::elf::PT_PHDR).next() {
        assert_eq!(number(table.p_offset(endian)), number(header.e_phoff(endian)));
        // kernels before 5.18 take the first segment's word for it
        let first = loads[0];
        let bias = range(first).0 - number(first.p_offset(endian));
        assert_eq!(number(table.p_offset(endian)) + bias, number(table.p_vaddr(endian)));
    }
    // where glibc looks for those of a library: in the first segment whose pages have them
    let table = number(header.e_phoff(endian));
    let table_end = table + u64::from(header.e_phnum(endian)) * u64::from(header.e_phentsize(endian));
    let page = |address: u64| address & !0xfff;
    let found = loads.iter().find(|load| {
        let (offset, begin) = (number(load.p_offset(endian)), range(load).0);
        let mapped = page(begin + number(load.p_filesz(endian)) + 0xfff) - page(begin);
        page(offset) <= table && table_end <= page(offset) + mapped
    });
    let found = found.expect("program headers are nowhere in memory");
    let (offset, size) = (number(found.p_offset(endian)), number(found.p_filesz(endian)));
    let is_cleared = number(found.p_memsz(endian)) > size;
    assert!(!is_cleared || table_end <= offset + size, "program headers are cleared when they are mapped");
    let sections = header.sections(endian, bytes).unwrap();
    for (index, section) in sections.enumerate() {
        assert!(sections.section_name(endian, section).is_ok() || index.0 == 0);
        let (offset, size) = (number(section.sh_offset(endian)), number(section.sh_size(endian)));
        assert!(offset + size <= bytes.len() as u64);
        if section.sh_type(endian) == object::elf::SHT_DYNAMIC {
            let segment = of_kind(object::elf::PT_DYNAMIC).next().unwrap();
            assert_eq!((number(segment.p_offset(endian)), range(segment).0), (offset, number(section.sh_addr(endian))));
        }
    }
    // every record of the notes is found
    let mut records = Vec::new();
    for segment in segments {
        for note in segment.notes(endian, bytes).unwrap().into_iter().flatten() {
            let note = note.unwrap();
            records.push((note.n_type(endian).0, note.desc().to_vec()));
        }
    }
    assert_eq!(records.iter().filter(|record| **record == (1, b"wxyz".to_vec())).count(), 1);
    let cache = records.iter().filter(|(kind, _)| *kind == 0x63a8_6cb6).map(|(_, descriptor)| descriptor);
    let cache = cache.collect::<Vec<_>>();
    assert!(cache.len() <= 1);
    let hints = |bytes: &[u8]| bytes.windows(6).filter(|part| *part == b"=/lib/").count();
    assert_eq!(hints(bytes), cache.iter().map(|cache| hints(cache)).sum::<usize>(), "a dropped cache is still there");
    let data = bytes.windows(9).filter(|part| *part == b"some data").count();
    assert_eq!(data, 1);
    let tail = (0..payload).map(|index| b'p' + (index % 7) as u8).collect::<Vec<_>>();
    assert!(payload == 0 || bytes.windows(payload).any(|part| part == tail), "the payload is gone");
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,6}\\.so", "/[a-z]{1,80}\\.so", Just("needle".to_owned()), Just("liba.so".to_owned()),]
}

fn paths() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "(/[a-z]{1,9}){1,4}",
        "(/[a-z]{20}){6}",
        Just("/lib".to_owned()),
        Just("/lib:$ORIGIN/../lib:/gone:/lib".to_owned()),
    ]
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        paths().prop_map(Edit::SetRunPath),
        paths().prop_map(Edit::AddRunPath),
        paths().prop_map(Edit::ForceRunPath),
        Just(Edit::RemoveRunPath),
        "(/[a-z]{1,30}){1,5}".prop_map(Edit::Interpreter),
        names().prop_map(Edit::Soname),
        names().prop_map(Edit::AddNeeded),
        (0..4_usize).prop_map(Edit::RemoveNeeded),
        ((0..4_usize), names()).prop_map(|(index, name)| Edit::ReplaceNeeded(index, name)),
        Just(Edit::NoDefaultLibraries),
        Just(Edit::DebugTag),
        any::<bool>().prop_map(Edit::ExecStack),
        Just(Edit::Cache),
        names().prop_map(Edit::Rename),
        Just(Edit::ClearVersions),
        proptest::collection::vec("[a-z]{1,9}(/[a-z]{1,30}){1,5}", 0..9).prop_map(Edit::Start),
        Just(Edit::RemoveStart),
    ]
}

fn samples() -> impl Strategy<Value = Sample> {
    let kinds = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let sizes =
        (0..4_usize, prop_oneof![Just(0), Just(8), Just(0x5000)], prop_oneof![Just(0_usize), Just(1), Just(50)]);
    let gaps = prop_oneof![Just(0_usize), Just(150), Just(700)];
    (kinds, sizes, gaps).prop_map(|(kinds, (spare, cleared, payload), gap)| {
        let (is_64, is_big_endian, is_fixed, starts, has_sections) = kinds;
        let starts = starts || is_fixed;
        Sample { is_64, is_big_endian, is_fixed, starts, has_sections, spare, cleared, gap, payload }
    })
}

#[test]
fn a_cache_goes_where_linkers_leave_room() {
    for (is_64, is_big_endian, is_fixed) in [(true, false, false), (true, true, true), (false, false, true)] {
        let sample = Sample {
            is_64,
            is_big_endian,
            is_fixed,
            starts: is_fixed,
            has_sections: true,
            spare: 0,
            cleared: 8,
            gap: 300,
            payload: 0,
        };
        let mut bytes = sample.bytes();
        let mut model = says(&bytes);
        // what there is no room for gets a segment
        let run_path = |path: &str| Edit::SetRunPath(path.to_owned());
        apply(&mut bytes, &mut model, &run_path("/lib:/gone/away"));
        let segments = |bytes: &[u8]| bytes[if is_64 { 56 } else { 44 }..][..2].to_vec();
        let (len, before) = (bytes.len(), segments(&bytes));
        let mut sizes = Vec::new();
        for path in ["/lib:/gone/far", "/lib:/gone", "/lib"] {
            apply(&mut bytes, &mut model, &run_path(path));
            assert!(apply(&mut bytes, &mut model, &Edit::Cache));
            assert!(!apply(&mut bytes, &mut model, &Edit::Cache));
            sizes.push(bytes.len() - len);
        }
        let section = if is_64 { 64 } else { 40 };
        assert!(sizes[0] < section + 96, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
        assert_eq!(segments(&bytes), before);
    }
}

#[test]
fn a_program_that_starts_by_itself_keeps_its_interpreter() {
    let sample = Sample {
        is_64: false,
        is_big_endian: false,
        is_fixed: false,
        starts: true,
        has_sections: true,
        spare: 0,
        cleared: 8,
        gap: 0,
        payload: 0,
    };
    let mut bytes = sample.bytes();
    // there is code to start programs of this machine
    bytes[18] = 3;
    let mut model = says(&bytes);
    // the run path needs one more program header, which fits where the interpreter and a note are
    let edits = [Edit::Start(vec!["lib/liba.so".to_owned()]), Edit::SetRunPath("/lib".repeat(20)), Edit::RemoveStart];
    for edit in edits {
        apply(&mut bytes, &mut model, &edit);
        assert_eq!(says(&bytes), model, "after {edit:?}");
    }
}

#[test]
fn what_starts_a_program_takes_no_cache_along() {
    let sample = Sample {
        is_64: true,
        is_big_endian: false,
        is_fixed: false,
        starts: true,
        has_sections: true,
        spare: 0,
        cleared: 0,
        // program headers that move leave a hole behind what starts the program
        gap: 700,
        payload: 1,
    };
    let mut bytes = sample.bytes();
    let mut model = says(&bytes);
    let edits = [Edit::Start(vec![]), Edit::SetRunPath("/lib".to_owned()), Edit::Cache, Edit::Start(vec![])];
    for edit in edits {
        apply(&mut bytes, &mut model, &edit);
        assert_eq!(says(&bytes), model, "after {edit:?}");
        check::<object::elf::FileHeader64<Endianness>>(&bytes, sample.payload);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_says_what_it_was_made_to(sample in samples(), edits in proptest::collection::vec(edits(), 1..8)) {
        let mut bytes = sample.bytes();
        let mut model = says(&bytes);
        prop_assert_eq!(Editor::open(&&bytes[..], Options::default()).unwrap().has_payload(), sample.payload > 0);
        for edit in &edits {
            apply(&mut bytes, &mut model, edit);
            prop_assert_eq!(&says(&bytes), &model, "after {:?}", edit);
            match sample.is_64 {
                true => check::<object::elf::FileHeader64<Endianness>>(&bytes, sample.payload),
                false => check::<object::elf::FileHeader32<Endianness>>(&bytes, sample.payload),
            }
            let repeats = !matches!(
                edit,
                Edit::AddRunPath(_) | Edit::AddNeeded(_) | Edit::RemoveNeeded(_) | Edit::ReplaceNeeded(..)
            );
            if repeats {
                let before = bytes.clone();
                prop_assert!(!apply(&mut bytes, &mut model.clone(), edit) || bytes == before, "{:?} again", edit);
            }
        }
    }
}
