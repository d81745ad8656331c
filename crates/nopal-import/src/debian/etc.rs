//! Files below `/etc` that maintainer scripts would have made and that programs need: the linker's cache, the bundle of
//! CA certificates, the name service switch.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use nopal_fs::FsError;

use super::ldcache::{self, Elf, Library};
use super::tree::{Node, Tree, components, normalise};
use super::x509;

/// Nesting of `include` in ld.so.conf that is followed.
const MAX_INCLUDES: usize = 8;

/// Directories that the linker searches without being told.
const DEFAULT_DIRECTORIES: [&str; 2] = ["/usr/lib", "/usr/lib64"];

/// Where packages put CA certificates.
const CA_SOURCE: &[u8] = b"usr/share/ca-certificates";

/// Makes `/etc/ld.so.cache`, and the links from sonames to files that `ldconfig` would make.
pub(crate) fn ld_cache(tree: &mut Tree) -> Result<usize, FsError> {
    let mut libraries = Vec::new();
    let mut seen_directories = BTreeSet::new();
    let mut made = Vec::new();
    for directory in library_directories(tree)? {
        let Some(real) = normalise(&directory).and_then(|path| tree.resolve(&path)) else { continue };
        if !seen_directories.insert(real.clone()) {
            continue;
        }
        let mut found: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
        let mut sonames: BTreeMap<Vec<u8>, (Vec<u8>, i32)> = BTreeMap::new();
        let mut elves: BTreeMap<Vec<u8>, Option<Elf>> = BTreeMap::new();
        for (path, _) in tree.below(&real) {
            let name = &path[real.len() + 1..];
            if name.contains(&b'/') || !is_library_name(name) {
                continue;
            }
            let Some(target) = tree.resolve(path) else { continue };
            let Some(Node::File(source)) = tree.nodes.get(&target) else { continue };
            let elf = match elves.entry(target) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Elf::parse(&nopal_fs::read_file(source)?)),
            };
            let Some(elf) = elf else { continue };
            let Some(flags) = elf.cache_flags() else { continue };
            found.insert(name.to_vec(), flags);
            if let Some(soname) = elf.soname.as_ref().filter(|soname| !soname.contains(&b'/') && !soname.is_empty()) {
                sonames.entry(soname.clone()).or_insert((name.to_vec(), flags));
            }
        }
        for (soname, (file, flags)) in sonames {
            if let Entry::Vacant(new) = found.entry(soname) {
                made.push(([real.as_slice(), b"/", new.key()].concat(), Node::Link(file)));
                new.insert(flags);
            }
        }
        libraries.extend(found.into_iter().map(|(name, flags)| {
            let path = [b"/", real.as_slice(), b"/", &name].concat();
            Library { name, path, flags }
        }));
    }
    for (path, node) in made {
        tree.nodes.entry(path).or_insert(node);
    }
    if libraries.is_empty() {
        return Ok(0);
    }
    tree.put(b"etc/ld.so.cache".to_vec(), Node::Made(ldcache::write(&libraries)));
    Ok(libraries.len())
}

fn is_library_name(name: &[u8]) -> bool {
    (name.starts_with(b"lib") || name.starts_with(b"ld-")) && name.windows(3).any(|part| part == b".so")
}

/// The directories of ld.so.conf in order, then the default ones.
fn library_directories(tree: &Tree) -> Result<Vec<Vec<u8>>, FsError> {
    let mut directories = Vec::new();
    read_ld_conf(tree, b"etc/ld.so.conf", &mut directories, 0)?;
    directories.extend(DEFAULT_DIRECTORIES.map(|path| path.as_bytes().to_vec()));
    Ok(directories)
}

fn read_ld_conf(tree: &Tree, path: &[u8], out: &mut Vec<Vec<u8>>, depth: usize) -> Result<(), FsError> {
    let Some(bytes) = tree.read(path)? else { return Ok(()) };
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
        if let Some(pattern) =
            line.strip_prefix(b"include").filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace))
        {
            if depth < MAX_INCLUDES {
                for file in matching(tree, pattern.trim_ascii()) {
                    read_ld_conf(tree, &file, out, depth + 1)?;
                }
            }
        } else if line.starts_with(b"/") {
            out.push(line.to_vec());
        }
    }
    Ok(())
}

/// Files that match a pattern whose last component may hold one `*`, the only form in use.
fn matching(tree: &Tree, pattern: &[u8]) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = components(pattern).collect();
    let Some((last, directory)) = parts.split_last() else { return Vec::new() };
    let directory = directory.join(&b'/');
    let Some(star) = last.iter().position(|byte| *byte == b'*') else { return vec![parts.join(&b'/')] };
    let (before, after) = (&last[..star], &last[star + 1..]);
    tree.below(&directory)
        .map(|(path, _)| path)
        .filter(|path| {
            let name = &path[directory.len() + 1..];
            !name.contains(&b'/')
                && name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        })
        .map(<[u8]>::to_vec)
        .collect()
}

/// Makes `/etc/ssl/certs` of the certificates that packages ship, as `update-ca-certificates` does: a bundle, a link per
/// certificate, and a link per subject hash for OpenSSL.
pub(crate) fn ca_bundle(tree: &mut Tree) -> Result<usize, FsError> {
    let mut certificates = Vec::new();
    for (path, node) in tree.below(CA_SOURCE) {
        if let Node::File(source) = node
            && path.ends_with(b".crt")
        {
            certificates.push((path.to_vec(), nopal_fs::read_file(source)?));
        }
    }
    if certificates.is_empty() {
        return Ok(0);
    }
    let mut bundle = Vec::new();
    let mut hashes: BTreeMap<u32, u32> = BTreeMap::new();
    let count = certificates.len();
    for (path, pem) in certificates {
        bundle.extend_from_slice(&pem);
        if !pem.ends_with(b"\n") {
            bundle.push(b'\n');
        }
        let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let stem = file.strip_suffix(b".crt").unwrap_or(file);
        // the same replacements as update-ca-certificates makes in names
        let name: Vec<u8> = stem
            .iter()
            .map(|byte| match byte {
                b' ' | b',' => b'_',
                b'(' | b')' => b'=',
                other => *other,
            })
            .chain(*b".pem")
            .collect();
        tree.put([b"etc/ssl/certs/".as_slice(), &name].concat(), Node::Link([b"/", path.as_slice()].concat()));
        let subject = x509::pem_certificate(&String::from_utf8_lossy(&pem)).and_then(|der| x509::subject_hash(&der));
        if let Some(hash) = subject {
            let number = hashes.entry(hash).or_insert(0);
            tree.put(format!("etc/ssl/certs/{hash:08x}.{number}").into_bytes(), Node::Link(name));
            *number += 1;
        }
    }
    tree.put(b"etc/ssl/certs/ca-certificates.crt".to_vec(), Node::Made(bundle));
    Ok(count)
}

/// Puts the default name service switch in place, which base-files only installs by its script.
pub(crate) fn nsswitch(tree: &mut Tree) -> bool {
    let place = b"etc/nsswitch.conf";
    if tree.nodes.contains_key(place.as_slice()) {
        return false;
    }
    for template in [b"usr/share/base-files/nsswitch.conf".as_slice(), b"usr/share/libc-bin/nsswitch.conf"] {
        if let Some(Node::File(source)) = tree.nodes.get(template) {
            let source = source.clone();
            tree.put(place.to_vec(), Node::File(source));
            return true;
        }
    }
    false
}
