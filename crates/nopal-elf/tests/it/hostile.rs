//! Files that lie: an error, or an edit, and never a panic.

use std::collections::{BTreeMap, BTreeSet};

use nopal_elf::read::Image;
use nopal_elf::{Directory, Editor, Linked, Options, RunPath, RunPathDirectories, bindings};
use proptest::prelude::*;

use crate::sample::Sample;

struct Everything;

impl RunPathDirectories for Everything {
    fn directory(&self, _: &[u8]) -> Directory {
        Directory::Searchable
    }

    fn is_readable(&self, _: &[u8]) -> bool {
        true
    }
}

/// Does everything that can be done to a file.
fn edit_all(bytes: &[u8]) {
    let open = || Editor::open(&bytes, Options::default());
    let finish = |editor: Editor<'_>| {
        if let Ok(changes) = editor.finish() {
            // nobody has the room that a lying header may ask for
            assert!(changes.patches.iter().map(|patch| patch.bytes.len()).sum::<usize>() < 64 << 20);
        }
    };
    let Ok(editor) = open() else { return };
    let _ = (editor.interpreter(), editor.run_path(), editor.needed(), editor.soname(), editor.has_payload());
    let _ = editor.exec_stack();
    let edits: &[&dyn Fn(&mut Editor<'_>)] = &[
        &|editor| drop(editor.set_interpreter(&[b'/'; 90])),
        &|editor| drop(editor.change_run_path(RunPath::Set(vec![b'/'; 90]))),
        &|editor| drop(editor.change_run_path(RunPath::Remove)),
        &|editor| drop(editor.set_soname(b"x")),
        &|editor| drop(editor.add_needed(&BTreeSet::from([b"x".to_vec()]))),
        &|editor| drop(editor.remove_needed(&BTreeSet::from([b"liba.so".to_vec()]))),
        &|editor| drop(editor.replace_needed(&BTreeMap::from([(b"liba.so".to_vec(), b"y".to_vec())]))),
        &|editor| drop(editor.clear_symbol_versions(&BTreeSet::from([b"needle".to_vec()]))),
        &|editor| drop(editor.rename_symbols(&BTreeMap::from([(b"needle".to_vec(), b"thread".to_vec())]))),
        &|editor| drop(editor.build_cache(&Everything)),
        &|editor| {
            let _ = (editor.build_cache(&Everything), editor.remove_cache(), editor.build_cache(&Everything));
        },
        &|editor| editor.set_exec_stack(true),
        &|editor| drop(editor.add_debug_tag()),
    ];
    for edit in edits {
        if let Ok(mut editor) = open() {
            edit(&mut editor);
            finish(editor);
        }
    }
}

/// Has it bound to itself.
fn bind(bytes: &[u8]) {
    let linked = Image::read(&bytes).and_then(|image| Linked::read(&bytes, &image));
    if let Ok(Some(linked)) = linked {
        bindings(&[&linked, &linked]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_makes_it_panic(
        is_64: bool, is_big_endian: bool, has_sections: bool, gap in prop_oneof![Just(0), Just(400_usize)],
        cut in prop_oneof![3 => Just(usize::MAX), 1 => 0..1500_usize],
        changes in proptest::collection::vec((0..1500_usize, any::<u8>()), 1..5),
        words in proptest::collection::vec((0..1500_usize, prop_oneof![Just(u64::MAX), Just(1 << 63), Just(0), any::<u64>()]), 0..2),
    ) {
        let sample = Sample { is_64, is_big_endian, is_fixed: false, starts: true, has_sections, spare: 1, cleared: 8, gap, payload: 0 };
        let mut bytes = sample.bytes();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        for (at, word) in words {
            let at = (at % (bytes.len() - 8)) & !7;
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes.truncate(cut);
        edit_all(&bytes);
        bind(&bytes);
    }
}

#[test]
fn no_number_in_the_headers_makes_it_panic() {
    for (is_64, has_sections, gap) in [(true, true, 0), (true, true, 400), (true, false, 400), (false, true, 400)] {
        let sample = Sample {
            is_64,
            is_big_endian: false,
            is_fixed: false,
            starts: true,
            has_sections,
            spare: 0,
            cleared: 0,
            gap,
            payload: 0,
        };
        let bytes = sample.bytes();
        let size = if is_64 { 8 } else { 4 };
        // the table of sections ends the file
        let headers = (0..64 + 7 * 56).chain(bytes.len() - 9 * 64..bytes.len());
        for at in headers.step_by(size) {
            for word in [u64::MAX, u64::MAX - 0xfff, u64::MAX - 0x1fff, 1 << 63, 0x7fff_f000, 0] {
                let mut lying = bytes.clone();
                let Some(number) = lying.get_mut(at..at + size) else { continue };
                number.copy_from_slice(&word.to_le_bytes()[..size]);
                edit_all(&lying);
                // the same where a table should be empty, so that its place is not looked at
                for count in if is_64 { [56, 60] } else { [44, 48] } {
                    if at < 64 {
                        let mut without = lying.clone();
                        without[count..count + 2].fill(0);
                        edit_all(&without);
                    }
                }
            }
        }
    }
}
