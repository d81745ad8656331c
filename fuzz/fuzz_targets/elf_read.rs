//! Reading files that lie, and finding the libraries of programs that do: answers or errors, never a panic, in time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nopal_elf::read::{ByteOrder, Image, ResolutionCache, SymbolChecks};
use nopal_elf::resolve::{Environment, LdCache, LoaderConfig, LoaderFacts, MemoryTree, resolve, run_path};
use nopal_elf::{Editor, Linked, Options, bindings};

fuzz_target!(|data: &[u8]| {
    if let Ok(image) = Image::read(&data) {
        image.hardening();
        let _ = SymbolChecks::read(&image, &data);
        if let Ok(Some(linked)) = Linked::read(&data, &image) {
            bindings(&[&linked, &linked]);
        }
    }
    if let Ok(editor) = Editor::open(&data, Options::default()) {
        let _ = (editor.interpreter(), editor.run_path(), editor.needed(), editor.soname(), editor.start());
        let _ = editor.has_payload();
    }
    let _ = ResolutionCache::parse(data);
    let facts = LoaderFacts::find(data);
    let cache = LdCache::parse(data, ByteOrder::Little).or_else(|_| LdCache::parse(data, ByteOrder::Big)).ok();

    // the program, and what it may ask for: itself, and the rest behind a place that the first byte names
    let at = data.first().map_or(0, |byte| usize::from(*byte) * 16).min(data.len());
    let rest = &data[at..];
    let mut tree = MemoryTree::default();
    tree.file("/bin/p", data.to_vec()).file("/lib/liba.so", rest.to_vec()).file("/x/libb.so", rest.to_vec());
    tree.link("/lib/libb.so", "../bin/p").link("/loop", "loop");
    let config = LoaderConfig {
        interpreter: b"/lib/ld.so".to_vec(),
        system_directories: facts.map_or_else(|| vec![b"/lib".to_vec()], |facts| facts.system_directories),
        lib: b"lib".to_vec(),
        platform: Some(b"x86_64".to_vec()),
        hwcaps: vec![b"x86-64-v2".to_vec()],
        legacy_subdirectories: vec![b"tls".to_vec()],
        cache,
        honours_notes: true,
    };
    let environment = Environment { library_path: Some(b"/x:$ORIGIN".to_vec()), preload: vec![b"liba.so".to_vec()] };
    if let Ok(resolution) = resolve(&tree, b"/bin/p", &config, &environment) {
        assert!(resolution.scope.iter().all(|index| *index < resolution.objects.len()));
        for object in &resolution.objects {
            if let Some(dynamic) = object.image.as_ref().and_then(|image| image.dynamic.as_ref()) {
                run_path(&tree, &object.path, dynamic, &config);
            }
        }
    }
});
