//! Round trips of random values, and random bytes that must not panic.

use std::collections::BTreeMap;
use std::io::Write;

use nopal_format::content_address::{ContentAddress, ContentAddressMethod};
use nopal_format::derivation::{Derivation, DerivationOutput, InputOutputs};
use nopal_format::hash::{Hash, HashAlgorithm};
use nopal_format::json::Json;
use nopal_format::listing::Listing;
use nopal_format::nar::Tree;
use nopal_format::narinfo::{Compression, NarInfo};
use nopal_format::path_info::{PathInfo, PathInfoFormat};
use nopal_format::references::HashRewriter;
use nopal_format::signature::{PublicKey, SecretKey, Signature};
use nopal_format::{ByteString, StoreDir, StorePath, nix32};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

fn hash() -> impl Strategy<Value = Hash> {
    let algorithm = prop::sample::select(HashAlgorithm::ALL.to_vec());
    (algorithm, any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(algorithm, low, high)| {
        Hash::from_bytes(algorithm, &[low, high].concat()[..algorithm.len()]).unwrap()
    })
}

fn store_path(suffix: &'static str) -> impl Strategy<Value = StorePath> {
    (any::<[u8; 20]>(), "[a-zA-Z0-9+_?=-][a-zA-Z0-9+._?=-]{0,40}")
        .prop_map(move |(digest, name)| StorePath::new(digest, &format!("{name}{suffix}")).unwrap())
}

fn content_address() -> impl Strategy<Value = ContentAddress> {
    use ContentAddressMethod::{Flat, Git, Nar, Text};
    (prop::sample::select(vec![Flat, Nar, Text, Git]), hash())
        .prop_map(|(method, hash)| ContentAddress { method, hash })
}

fn bytes() -> impl Strategy<Value = ByteString> {
    prop_oneof![vec(any::<u8>(), 0..100), "[\"\\\\\n\r\ta-z]{0,100}".prop_map(String::into_bytes)]
        .prop_map(ByteString::from)
}

fn needed() -> impl Strategy<Value = InputOutputs> {
    let leaf = btree_set("[a-z]{1,5}", 0..3).prop_map(|names| names.into_iter().collect::<InputOutputs>());
    leaf.prop_recursive(3, 8, 2, |inner| {
        (btree_set("[a-z]{1,5}", 0..3), btree_map("[a-z]{1,5}", inner, 0..3)).prop_map(|(outputs, dynamic)| {
            let dynamic = dynamic.into_iter().map(|(name, inner)| (name.into(), inner)).collect();
            InputOutputs { outputs: outputs.into_iter().collect(), dynamic }
        })
    })
}

fn outputs() -> impl Strategy<Value = BTreeMap<String, DerivationOutput>> {
    let method = prop::sample::select(vec![ContentAddressMethod::Flat, ContentAddressMethod::Nar]);
    let algorithm = prop::sample::select(HashAlgorithm::ALL.to_vec());
    let output = prop_oneof![
        store_path("").prop_map(|path| DerivationOutput::InputAddressed { path }),
        Just(DerivationOutput::Deferred),
        hash().prop_map(|hash| DerivationOutput::Fixed {
            ca: ContentAddress { method: ContentAddressMethod::Nar, hash }
        }),
        (method.clone(), algorithm.clone())
            .prop_map(|(method, algorithm)| DerivationOutput::Floating { method, algorithm }),
        (method, algorithm).prop_map(|(method, algorithm)| DerivationOutput::Impure { method, algorithm }),
    ];
    btree_map("[a-z]{1,8}", output, 0..4)
}

fn derivation() -> impl Strategy<Value = Derivation> {
    (
        outputs(),
        btree_set(store_path(""), 0..4),
        btree_map(store_path(".drv"), needed(), 0..4),
        bytes(),
        vec(bytes(), 0..4),
        btree_map(bytes(), bytes(), 0..6),
    )
        .prop_map(|(outputs, input_srcs, input_drvs, builder, args, env)| Derivation {
            name: "name".into(),
            outputs,
            input_srcs,
            input_drvs,
            system: "x86_64-linux".into(),
            builder,
            args,
            env: env.into_iter().collect(),
        })
}

fn tree() -> impl Strategy<Value = Tree> {
    let target = vec(1_u8.., 1..20).prop_map(|target| Tree::Symlink { target: target.into() });
    let file = (any::<bool>(), vec(any::<u8>(), 0..300))
        .prop_map(|(executable, contents)| Tree::File { executable, contents });
    let name =
        vec(1_u8.., 1..12).prop_filter("a file name", |name| !name.contains(&b'/') && name != b"." && name != b"..");
    prop_oneof![target, file].prop_recursive(5, 40, 6, move |inner| {
        btree_map(name.clone().prop_map(ByteString::from), inner, 0..6).prop_map(Tree::Directory)
    })
}

fn path_info() -> impl Strategy<Value = PathInfo> {
    let signature = ("[a-z]{1,5}", vec(any::<u8>(), 1..70)).prop_map(|(key_name, bytes)| Signature { key_name, bytes });
    (
        (store_path(""), any::<[u8; 32]>(), 1_u64..),
        btree_set(store_path(""), 0..5),
        prop::option::of(store_path(".drv")),
        btree_set(signature, 0..3),
        prop::option::of(content_address()),
        (any::<u64>(), any::<bool>()),
    )
        .prop_map(|((path, digest, size), references, deriver, signatures, ca, (time, ultimate))| {
            let mut info = PathInfo::new(path, Hash::sha256(digest), size);
            info.references = references;
            info.deriver = deriver;
            info.signatures = signatures;
            info.ca = ca;
            info.registration_time_seconds = time;
            info.ultimate = ultimate;
            info
        })
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<u64>().prop_map(Json::from),
        any::<i64>().prop_map(|number| Json::Number(number.to_string())),
        any::<f64>().prop_map(Json::from_f64),
        any::<String>().prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Json::Array),
            btree_map(any::<String>(), inner, 0..5).prop_map(Json::Object),
        ]
    })
}

proptest! {
    #[test]
    fn base32(bytes in vec(any::<u8>(), 0..80)) {
        let text = nix32::encode(&bytes);
        prop_assert_eq!(text.len(), nix32::encoded_len(bytes.len()));
        prop_assert_eq!(nix32::decode(text.as_bytes()).unwrap(), bytes);
    }

    #[test]
    fn hashes(hash in hash()) {
        for text in [hash.base16(), hash.nix32(), hash.base64()] {
            prop_assert_eq!(Hash::parse_any(&text, Some(hash.algorithm())).unwrap(), hash);
            prop_assert_eq!(format!("{}:{text}", hash.algorithm()).parse::<Hash>().unwrap(), hash);
        }
        prop_assert_eq!(Hash::parse_sri(&hash.sri()).unwrap(), hash);
    }

    #[test]
    fn store_paths(path in store_path("")) {
        let dir = StoreDir::default();
        prop_assert_eq!(dir.parse(&dir.print(&path)).unwrap(), path.clone());
        prop_assert_eq!(path.digest_digits().to_vec(), path.hash_part().into_bytes());
    }

    #[test]
    fn content_addresses(ca in content_address()) {
        prop_assert_eq!(ca.to_string().parse::<ContentAddress>().unwrap(), ca);
    }

    #[test]
    fn derivations(drv in derivation()) {
        let dir = StoreDir::default();
        let text = drv.to_aterm(&dir).unwrap();
        prop_assert_eq!(Derivation::parse_aterm(&dir, &text, "name").unwrap(), drv.clone());
        if let Ok(json) = drv.to_json() {
            prop_assert_eq!(Derivation::from_json(&dir, &json).unwrap(), drv);
        }
    }

    #[test]
    fn trees(tree in tree()) {
        let nar = tree.to_nar().unwrap();
        prop_assert_eq!(&Tree::from_nar(&mut nar.as_slice()).unwrap(), &tree);
        let listing = Listing::from_nar(&mut nar.as_slice()).unwrap();
        if let Ok(json) = listing.to_json() {
            prop_assert_eq!(Listing::from_json(&json).unwrap(), listing);
        }
    }

    #[test]
    fn path_infos(info in path_info()) {
        let dir = StoreDir::default();
        for format in [PathInfoFormat::V1, PathInfoFormat::V2] {
            let json = info.to_json(&dir, format);
            prop_assert_eq!(PathInfo::from_json(&dir, info.path.clone(), &json).unwrap(), info.clone());
        }
        let mut info = info;
        (info.registration_time_seconds, info.ultimate) = (0, false);
        let nar_info = NarInfo {
            info, url: "nar/x.nar.zst".into(), compression: Compression::Zstd, file_hash: None, file_size: Some(3),
        };
        prop_assert_eq!(NarInfo::parse(&dir, nar_info.print(&dir).as_bytes()).unwrap(), nar_info);
    }

    #[test]
    fn keys(seed in any::<[u8; 32]>(), text in vec(any::<u8>(), 0..100)) {
        let key = SecretKey::from_seed("name", &seed);
        let again: SecretKey = key.to_secret_text().parse().unwrap();
        let public: PublicKey = key.public_key().to_string().parse().unwrap();
        let signature: Signature = again.sign(&text).to_string().parse().unwrap();
        prop_assert!(public.verify(&text, &signature));
    }

    #[test]
    fn json_values(json in json()) {
        prop_assert_eq!(&Json::parse(&json.to_compact()).unwrap(), &json);
        prop_assert_eq!(&Json::parse(&json.to_pretty()).unwrap(), &json);
    }

    #[test]
    fn rewriting_there_and_back(from in store_path(""), to in store_path(""), filler in vec(any::<u8>(), 0..200), size in 1_usize..90) {
        let mut text = filler.clone();
        text.extend_from_slice(&from.digest_digits());
        text.extend_from_slice(&filler);
        let rewrite = |text: &[u8], from: &StorePath, to: &StorePath| {
            let mut rewriter = HashRewriter::new(Vec::new(), [(from.clone(), to.clone())]);
            text.chunks(size).for_each(|piece| rewriter.write_all(piece).unwrap());
            rewriter.finish().unwrap()
        };
        let there = rewrite(&text, &from, &to);
        prop_assert!(there.windows(32).any(|window| window == to.digest_digits()));
        prop_assert_eq!(rewrite(&there, &to, &from), text);
    }

    /// One byte of a valid text changed, removed or added: whatever the verdict, no panic.
    #[test]
    fn damaged_inputs_do_not_panic(drv in derivation(), tree in tree(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let dir = StoreDir::default();
        let damage = |text: &[u8]| {
            let at = place.index(text.len());
            let mut changed = text.to_vec();
            changed[at] = byte;
            let mut removed = text.to_vec();
            removed.remove(at);
            let mut added = text.to_vec();
            added.insert(at, byte);
            [changed, removed, added]
        };
        for text in damage(&drv.to_aterm(&dir).unwrap()) {
            let _ = Derivation::parse_aterm(&dir, &text, "name");
        }
        for nar in damage(&tree.to_nar().unwrap()) {
            let _ = Tree::from_nar(&mut nar.as_slice());
        }
        for text in damage(crate::data("path-info-1.json").as_bytes()) {
            let _ = Json::parse(&String::from_utf8_lossy(&text));
        }
        for text in damage(crate::data("narinfos.txt").split("\n\n").next().unwrap().as_bytes()) {
            let _ = NarInfo::parse(&dir, &text);
        }
    }

    #[test]
    fn random_texts_do_not_panic(text in any::<String>(), bytes in vec(any::<u8>(), 0..200)) {
        let dir = StoreDir::default();
        let _ = text.parse::<Hash>();
        let _ = text.parse::<StorePath>();
        let _ = text.parse::<ContentAddress>();
        let _ = text.parse::<Signature>();
        let _ = dir.split(&text);
        let _ = Json::parse(&text);
        let _ = NarInfo::parse(&dir, &bytes);
        let _ = Derivation::parse_aterm(&dir, &bytes, "x");
        let _ = Tree::from_nar(&mut bytes.as_slice());
        let _ = StorePath::from_base_name_bytes(&bytes);
    }
}
