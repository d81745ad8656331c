//! Speed of the hot formats, beside other implementations in the same run. In memory, processor time, best of several
//! rounds: `cargo bench -p nopal-format`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures and may end early")]

use std::hint::black_box;

use nopal_format::derivation::{Derivation, DerivationError, DrvHashes, OutputMask, OutputSpec};
use nopal_format::hash::{Hasher, sha256};
use nopal_format::nar::{NarError, NarEvent, NarWriter, decode_exact};
use nopal_format::references::{Candidates, ReferenceScanner};
use nopal_format::{Hash, HashAlgorithm, StoreDir, StorePath};

/// Rounds of each measurement; the fastest counts, since everything else only adds to it.
const ROUNDS: usize = 5;
/// Bytes of the data that scanners and archives work on.
const DATA_LEN: usize = 64 << 20;

/// Processor time of this process: other work on the machine does not count.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn best_seconds(mut run: impl FnMut()) -> f64 {
    let time = |()| {
        let start = processor_seconds();
        run();
        processor_seconds() - start
    };
    std::iter::repeat_n((), ROUNDS).map(time).fold(f64::INFINITY, f64::min)
}

fn show_rate(what: &str, bytes: usize, seconds: f64) {
    println!("{what:<44} {:>8.2} GB/s", bytes as f64 / seconds / 1e9);
}

fn show_each(what: &str, count: usize, seconds: f64) {
    println!("{what:<44} {:>8.2} µs each", seconds * 1e6 / count as f64);
}

/// A generator without dependency; xorshift is random enough to fill files.
fn random_bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..len / 8).flat_map(|_| next().to_le_bytes()).collect()
}

fn main() {
    let random = random_bytes(DATA_LEN);
    let words =
        b"the quick brown fox jumps over the lazy dog; Licensed under /usr/share/common-licenses, version 2.0\n";
    let text: Vec<u8> = words.iter().copied().cycle().take(DATA_LEN).collect();
    let hexadecimal: Vec<u8> = random.iter().map(|byte| b"0123456789abcdef"[usize::from(byte & 15)]).collect();
    let zeros = vec![0; DATA_LEN];
    hashes(&random);
    for (name, data) in [("random", &random), ("text", &text), ("hexadecimal", &hexadecimal), ("zeros", &zeros)] {
        scanners(name, data);
    }
    archives(&random);
    derivations();
}

fn hashes(data: &[u8]) {
    for algorithm in HashAlgorithm::ALL {
        let seconds = best_seconds(|| {
            black_box(Hash::of(algorithm, data));
        });
        show_rate(algorithm.name(), data.len(), seconds);
    }
}

fn scanners(name: &str, data: &[u8]) {
    let digest = |number: u32| sha256(&number.to_le_bytes()).compress20();
    let paths: Vec<StorePath> = (0..500).map(|number| StorePath::new(digest(number), "x").unwrap()).collect();
    let candidates: Candidates = paths.iter().cloned().collect();
    let seconds = best_seconds(|| {
        let mut scanner = ReferenceScanner::new(&candidates);
        data.chunks(64 << 10).for_each(|piece| scanner.scan(piece));
        black_box(scanner.found());
    });
    show_rate(&format!("scan 500 references in {name}"), data.len(), seconds);
    let pattern = nix_archive::nar::ReferencePattern::new(paths.iter().map(StorePath::hash_part)).unwrap();
    let seconds = best_seconds(|| {
        let mut scanner = pattern.scanner();
        data.chunks(64 << 10).for_each(|piece| scanner.scan(piece));
        black_box(scanner.matched_count());
    });
    show_rate("  nix-archive", data.len(), seconds);
}

/// Files as in real trees: many small ones, some large ones.
fn files(data: &[u8]) -> Vec<&[u8]> {
    let mut rest = data;
    let mut files = Vec::new();
    for size in [300, 900, 2_000, 5_000, 12_000, 40_000, 300_000].into_iter().cycle() {
        if rest.len() < size {
            break;
        }
        let (file, tail) = rest.split_at(size);
        files.push(file);
        rest = tail;
    }
    files
}

fn archives(data: &[u8]) {
    let files = files(data);
    let names: Vec<String> = (0..files.len()).map(|number| format!("file-{number:08}")).collect();
    let write = |hasher: Hasher| {
        let mut writer = NarWriter::new(hasher);
        writer.enter_directory(None).unwrap();
        for (name, file) in names.iter().zip(&files) {
            writer.file(Some(name.as_bytes()), false, file.len() as u64, &mut { *file }).unwrap();
        }
        writer.leave_directory().unwrap();
        writer.finish().unwrap()
    };
    let seconds = best_seconds(|| {
        black_box(write(Hasher::new(HashAlgorithm::Sha256)).finish());
    });
    println!("{} files", files.len());
    show_rate("NAR write and SHA-256", data.len(), seconds);
    let encode = |out: Vec<u8>| {
        let mut writer = NarWriter::new(out);
        writer.enter_directory(None).unwrap();
        for (name, file) in names.iter().zip(&files) {
            writer.file(Some(name.as_bytes()), false, file.len() as u64, &mut { *file }).unwrap();
        }
        writer.leave_directory().unwrap();
        writer.finish().unwrap()
    };
    let mut nar = Vec::with_capacity(data.len() * 2);
    let seconds = best_seconds(|| {
        nar.clear();
        nar = encode(std::mem::take(&mut nar));
    });
    show_rate("NAR write to memory", data.len(), seconds);
    let their_sink = std::io::sink;
    let ours = best_seconds(|| {
        let mut writer = NarWriter::new(their_sink());
        writer.enter_directory(None).unwrap();
        for (name, file) in names.iter().zip(&files) {
            writer.file(Some(name.as_bytes()), false, file.len() as u64, &mut { *file }).unwrap();
        }
        writer.leave_directory().unwrap();
        writer.finish().unwrap();
    });
    show_rate("NAR write to nowhere", data.len(), ours);
    let mut their_nar = Vec::with_capacity(data.len() * 2);
    let seconds = best_seconds(|| {
        their_nar.clear();
        let mut writer = nix_archive::nar::Encoder::new(std::mem::take(&mut their_nar)).unwrap();
        writer.start_directory(None).unwrap();
        for (name, file) in names.iter().zip(&files) {
            let mut out = writer.start_regular(Some(name.as_bytes()), false, file.len() as u64).unwrap();
            std::io::copy(&mut { *file }, &mut out).unwrap();
            out.finish().unwrap();
        }
        writer.end_directory().unwrap();
        their_nar = writer.finish().unwrap();
    });
    show_rate("  nix-archive, to memory", data.len(), seconds);
    assert!(nar == their_nar, "both write the same archive");
    let seconds = best_seconds(|| {
        let mut visit = |event: NarEvent<'_>| {
            black_box(&event);
            Ok::<(), NarError>(())
        };
        decode_exact(&mut nar.as_slice(), &mut visit).unwrap();
    });
    show_each("NAR read, per file", files.len(), seconds);
    let seconds = best_seconds(|| {
        nix_archive::nar::decode_events_reader(&mut nar.as_slice(), |event| {
            black_box(&event);
            Ok(())
        })
        .unwrap();
    });
    show_each("  nix-archive", files.len(), seconds);
}

fn derivations() {
    let dir = StoreDir::default();
    let script = "set -e\nfor phase in unpack patch configure build check install fixup; do echo \"$phase\"; done\n";
    let mut known = std::collections::HashMap::new();
    let mut hashes = DrvHashes::new();
    let mut paths: Vec<StorePath> = Vec::new();
    let count = 5_000;
    let seconds = {
        let start = processor_seconds();
        for number in 0..count {
            let mut drv = Derivation { name: format!("package-{number}"), ..Derivation::default() };
            (drv.system, drv.builder) = ("x86_64-linux".into(), "/bin/sh".into());
            drv.args = vec!["-e".into(), "/build/default-builder.sh".into()];
            drv.env.extend((0..30).map(|v| (format!("variable{v}"), format!("{script}{v}"))));
            let inputs = paths.iter().rev().step_by(7).take(20).cloned();
            drv.input_drvs = inputs.map(|path| (path, ["out"].into_iter().collect())).collect();
            drv.declare_outputs(["out", "dev"], OutputSpec::InputAddressed).unwrap();
            let mut read = |path: &StorePath| Err(DerivationError::Cycle { path: path.clone() });
            let made = hashes.instantiate(&dir, &mut drv, &mut read).unwrap();
            paths.push(made.path.clone());
            known.insert(made.path, (drv, made.aterm.to_vec()));
        }
        processor_seconds() - start
    };
    show_each("make a derivation (build, hash, print, path)", count, seconds);
    let (drv, aterm) = &known[&paths[count - 1]];
    let repeat = 2_000;
    let mut out = Vec::new();
    let seconds = best_seconds(|| {
        for _ in 0..repeat {
            out.clear();
            drv.write_aterm(&dir, OutputMask::Show, &mut out).unwrap();
        }
    });
    println!("an ATerm of {} bytes", aterm.len());
    show_each("ATerm print", repeat, seconds);
    show_rate("ATerm print", repeat * aterm.len(), seconds);
    let seconds = best_seconds(|| {
        for _ in 0..repeat {
            black_box(Derivation::parse_aterm(&dir, aterm, &drv.name).unwrap());
        }
    });
    show_each("ATerm read", repeat, seconds);
    let theirs = nix_derivation::Derivation::from_aterm_bytes(aterm, &drv.name).unwrap();
    let seconds = best_seconds(|| {
        for _ in 0..repeat {
            black_box(theirs.to_aterm_bytes());
        }
    });
    show_each("  nix-derivation, print", repeat, seconds);
    let seconds = best_seconds(|| {
        for _ in 0..repeat {
            black_box(nix_derivation::Derivation::from_aterm_bytes(aterm, &drv.name).unwrap());
        }
    });
    show_each("  nix-derivation, read", repeat, seconds);
}
