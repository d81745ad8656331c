//! Derivations: expectations of real Nix, round trips, and what must be refused.

use std::collections::{BTreeMap, HashMap};

use nopal_format::derivation::{
    AtermError, Derivation, DerivationError, DerivationKind, DerivationOutput, DrvHashes, OutputSpec, show_derivations,
    write_escaped,
};
use nopal_format::json::Json;
use nopal_format::store_path::{DownstreamPlaceholder, StoreDir, StorePath};
use nopal_format::{ContentAddress, ContentAddressMethod, Hash, HashAlgorithm};

use crate::data;

fn read(file: &str) -> BTreeMap<StorePath, (String, Derivation)> {
    let dir = StoreDir::default();
    let parse = |row: &str| {
        let (path, aterm) = row.split_once('\t').unwrap();
        let path: StorePath = path.parse().unwrap();
        let drv = Derivation::parse_aterm(&dir, aterm.as_bytes(), path.derivation_name().unwrap()).unwrap();
        (path, (aterm.to_owned(), drv))
    };
    data(file).lines().map(parse).collect()
}

fn both() -> [BTreeMap<StorePath, (String, Derivation)>; 2] {
    [read("derivations.txt"), read("derivations-2.8.txt")]
}

#[test]
fn prints_what_it_reads() {
    for (path, (aterm, drv)) in both().into_iter().flatten() {
        let dir = StoreDir::default();
        let printed = drv.to_aterm(&dir).unwrap();
        assert_eq!(String::from_utf8_lossy(&printed), aterm);
        assert_eq!(drv.drv_path(&dir, &printed).unwrap(), path);
    }
}

/// Forgets everything that is computed, declares the outputs again, and expects the same file at the same path.
#[test]
fn computes_output_paths_as_both_versions() {
    let dir = StoreDir::default();
    for known in both() {
        assert!(known.len() >= 28);
        let mut hashes = DrvHashes::new();
        let mut read = |path: &StorePath| Ok::<_, DerivationError>(known[path].1.clone());
        for (path, (aterm, drv)) in &known {
            let mut fresh = drv.clone();
            let specs: Vec<_> = drv.outputs.iter().map(|(name, output)| (name.clone(), spec_of(output))).collect();
            fresh.outputs.clear();
            for (name, spec) in &specs {
                fresh.env.remove(name.as_bytes());
                fresh.declare_outputs([name.as_str()], *spec).unwrap();
            }
            let made = hashes.instantiate(&dir, &mut fresh, &mut read).unwrap();
            assert_eq!(String::from_utf8_lossy(made.aterm), *aterm);
            assert_eq!(&made.path, path);
            assert_eq!(&fresh, drv);
        }
        assert_eq!(hashes.len(), known.len());
    }
}

fn spec_of(output: &DerivationOutput) -> OutputSpec {
    match output {
        DerivationOutput::InputAddressed { .. } | DerivationOutput::Deferred => OutputSpec::InputAddressed,
        DerivationOutput::Fixed { ca } => OutputSpec::Fixed(*ca),
        DerivationOutput::Floating { method, algorithm } => {
            OutputSpec::Floating { method: *method, algorithm: *algorithm }
        }
        DerivationOutput::Impure { method, algorithm } => OutputSpec::Impure { method: *method, algorithm: *algorithm },
    }
}

#[test]
fn shows_json_as_nix() {
    let known = read("derivations.txt");
    let all = known.iter().map(|(path, (_, drv))| (path, drv));
    assert_eq!(show_derivations(all).unwrap().to_compact(), data("derivations.json").trim_end());
    let structured = known.iter().filter(|(path, _)| path.name() == "structured.drv");
    let shown = show_derivations(structured.map(|(path, (_, drv))| (path, drv))).unwrap();
    assert_eq!(shown.to_pretty(), data("structured.json").trim_end());
}

#[test]
fn reads_json_of_version_4() {
    let dir = StoreDir::default();
    let json = Json::parse(&data("derivations.json")).unwrap();
    let known = read("derivations.txt");
    for (path, json) in json.key("derivations").unwrap().as_object("").unwrap() {
        let drv = Derivation::from_json(&dir, json).unwrap();
        assert_eq!(drv, known[&path.parse().unwrap()].1);
    }
}

#[test]
fn reads_json_of_version_3() {
    let dir = StoreDir::default();
    let text = r#"{"name":"x","version":3,"outputs":{"out":{"path":"/nix/store/nj83liashqlzmxjq8lyfxrx21whvgpqj-simple"}},
        "inputSrcs":["/nix/store/yf4y8qw6ga6vb65cxnz2f8f6zicfipb8-notes.txt"],
        "inputDrvs":{"/nix/store/2wwpgwhlrid6ypd4f01r72hdpr4l7qgz-simple.drv":{"outputs":["out"],"dynamicOutputs":{}}},
        "system":"s","builder":"b","args":["1"],"env":{"a":"b"}}"#;
    let drv = Derivation::from_json(&dir, &Json::parse(text).unwrap()).unwrap();
    assert_eq!(drv.kind(), Ok(DerivationKind::InputAddressed));
    assert_eq!((drv.input_srcs.len(), drv.input_drvs.len(), drv.args.len(), drv.env.len()), (1, 1, 1, 1));
    let fixed = text.replace(
        r#"{"path":"/nix/store/nj83liashqlzmxjq8lyfxrx21whvgpqj-simple"}"#,
        r#"{"method":"nar","hashAlgo":"md5","hash":"d41d8cd98f00b204e9800998ecf8427e"}"#,
    );
    assert!(Derivation::from_json(&dir, &Json::parse(&fixed).unwrap()).unwrap().is_fixed());
    for (from, to) in [("\"version\":3", "\"version\":2"), ("\"path\":", "\"pfad\":"), ("\"args\":[\"1\"],", "")] {
        let wrong = text.replace(from, to);
        assert!(Derivation::from_json(&dir, &Json::parse(&wrong).unwrap()).is_err(), "{to}");
    }
}

#[test]
fn downstream_placeholders_stand_in_the_environment() {
    let known = read("derivations.txt");
    let find = |name: &str| known.iter().find(|(path, _)| path.name() == name).unwrap();
    let env = |name: &str, variable: &str| find(name).1.1.env_value(variable).unwrap().to_string();
    let of = |name: &str, output| DownstreamPlaceholder::unknown_ca_output(find(name).0, output).unwrap();
    assert_eq!(env("over-floating.drv", "a"), of("floating.drv", "out").render());
    assert_eq!(env("over-floating.drv", "b"), of("floating.drv", "doc").render());
    let produced = of("producing.drv.drv", "out");
    assert_eq!(env("dynamic.drv", "a"), produced.unknown_derivation("out").render());
    let deep = produced.unknown_derivation("out").unknown_derivation("bin");
    assert_eq!(env("dynamic-deep.drv", "a"), deep.render());
}

#[test]
fn refuses_what_is_no_derivation() {
    let dir = StoreDir::default();
    let parse = |text: &str| Derivation::parse_aterm(&dir, text.as_bytes(), "x");
    let good = r#"Derive([("out","","","")],[],[],"s","b",[],[("a","b")])"#;
    assert!(parse(good).is_ok());
    for end in 0..good.len() {
        assert!(parse(&good[..end]).is_err(), "{}", &good[..end]);
    }
    let simple = "/nix/store/2wwpgwhlrid6ypd4f01r72hdpr4l7qgz-simple.drv";
    let cases: [(&str, &str); 16] = [
        (r#"],[],[],"s""#, r#"],[(,)],[],"s""#),
        (r#"[("a","b")])"#, r#"[("a","b")])x"#),
        (r#"[("a","b")])"#, r#"[("a","b"),("a","c")])"#),
        (r#"[("a","b")])"#, r#"[,("a","b")])"#),
        (r#"[("a","b")])"#, r#"[("a","b")("c","d")])"#),
        (r#"[("a","b")])"#, r#"[("a","b"),])"#),
        (r#"("out","","","")"#, r#"("out","","",""),("out","","","")"#),
        (r#"("out","","","")"#, r#"("out","relative","","")"#),
        (r#"("out","","","")"#, r#"("out","/elsewhere","","")"#),
        (r#"("out","","","")"#, r#"("out","","sha999","")"#),
        (r#"("out","","","")"#, r#"("out","/nix/store/x","sha256","00")"#),
        (r#"("out","","","")"#, r#"("out","/x","r:sha256","")"#),
        (r#"("out","","","")"#, r#"("out","/x","r:sha256","impure")"#),
        ("Derive(", "DrvWithVersion(\"other\","),
        ("Derive(", "derive("),
        (r#"],[],[],"s""#, r#"],[("SIMPLE",(["out"],[("x",[])]))],[],"s""#),
    ];
    for (from, to) in cases {
        let wrong = good.replacen(from, &to.replace("SIMPLE", simple), 1);
        assert_ne!(wrong, good);
        assert!(parse(&wrong).is_err(), "{wrong}");
    }
    let dynamic = good.replacen("Derive(", "DrvWithVersion(\"xp-dyn-drv\",", 1);
    let nested = format!("[(\"{simple}\",{}[\"a\"]{})]", "([],[(\"o\",".repeat(90), ")])".repeat(90));
    assert_eq!(parse(&dynamic.replacen("],[],[]", &format!("],{nested},[]"), 1)), Err(AtermError::TooDeep));
    assert!(matches!(parse("Derive([(\"\\"), Err(AtermError::Unterminated { .. })));
}

#[test]
fn refuses_outputs_that_do_not_go_together() {
    let dir = StoreDir::default();
    let parse = |outputs: &str| {
        let text = format!(r#"Derive([{outputs}],[],[],"s","b",[],[])"#);
        Derivation::parse_aterm(&dir, text.as_bytes(), "x").unwrap().kind()
    };
    let path = "/nix/store/nj83liashqlzmxjq8lyfxrx21whvgpqj-simple";
    let zeros = "0".repeat(64);
    assert_eq!(parse(""), Err(DerivationError::NoOutputs));
    assert_eq!(parse(&format!(r#"("a","","",""),("b","{path}","","")"#)), Err(DerivationError::MixedOutputs));
    assert_eq!(parse(&format!(r#"("a","{path}","sha256","{zeros}")"#)), Err(DerivationError::FixedName));
    assert_eq!(
        parse(&format!(r#"("out","{path}","sha256","{zeros}"),("x","{path}","sha256","{zeros}")"#)),
        Err(DerivationError::SeveralFixed)
    );
    assert_eq!(parse(r#"("a","","sha256",""),("b","","sha512","")"#), Err(DerivationError::FloatingAlgorithms));
    assert_eq!(parse(r#"("a","","r:sha256","impure")"#), Ok(DerivationKind::Impure));
}

#[test]
fn finds_wrong_paths_missing_outputs_and_circles() {
    let dir = StoreDir::default();
    let known = read("derivations.txt");
    let mut by_name: HashMap<&str, (&StorePath, &Derivation)> = HashMap::new();
    for (path, (_, drv)) in &known {
        by_name.insert(path.name(), (path, drv));
    }
    let mut read = |path: &StorePath| Ok::<_, DerivationError>(known[path].1.clone());
    let mut hashes = DrvHashes::new();
    let mut wrong = by_name["input.drv"].1.clone();
    wrong.args.push("changed".into());
    let error = hashes.instantiate(&dir, &mut wrong, &mut read).unwrap_err();
    assert!(matches!(error, DerivationError::WrongOutput { .. }), "{error}");
    let mut missing = by_name["input.drv"].1.clone();
    missing.input_drvs.values_mut().for_each(|needed| needed.outputs.extend(["absent".to_owned()]));
    let error = hashes.instantiate(&dir, &mut missing, &mut read).unwrap_err();
    assert!(matches!(error, DerivationError::NoHash { .. }), "{error}");
    let (simple, drv) = by_name["simple.drv"];
    let mut circle = drv.clone();
    circle.input_drvs.insert(simple.clone(), ["out"].into_iter().collect());
    let mut read = |_: &StorePath| Ok::<_, DerivationError>(circle.clone());
    let error = DrvHashes::new().get(&dir, simple, &mut read).unwrap_err();
    assert!(matches!(error, DerivationError::Cycle { .. }), "{error}");
}

#[test]
fn what_is_described_twice_is_told_from_what_is_hashed_alike() {
    let dir = StoreDir::default();
    let mut hashes = DrvHashes::new();
    let mut read = |_: &StorePath| -> Result<Derivation, DerivationError> { unreachable!("all are known") };
    let content = OutputSpec::Fixed(ContentAddress {
        method: ContentAddressMethod::Flat,
        hash: Hash::of(HashAlgorithm::Sha256, b"content"),
    });
    let sources = ["here", "there"].map(|url| {
        let mut drv = Derivation { name: "source".to_owned(), ..Derivation::default() };
        drv.env.insert("url", url);
        drv.declare_outputs(["out"], content).unwrap();
        hashes.instantiate(&dir, &mut drv, &mut read).unwrap().path
    });
    assert_ne!(sources[0], sources[1]);
    let mut made = Vec::new();
    for _ in 0..2 {
        for (source, name) in [(0, "one"), (1, "one"), (0, "two")] {
            let mut drv = Derivation { name: name.to_owned(), ..Derivation::default() };
            drv.input_drvs.insert(sources[source].clone(), ["out"].into_iter().collect());
            drv.declare_outputs(["out"], OutputSpec::InputAddressed).unwrap();
            let path = hashes.instantiate(&dir, &mut drv, &mut read).unwrap().path;
            let text = drv.to_aterm(&dir).unwrap();
            assert_eq!(path, drv.drv_path(&dir, &text).unwrap());
            made.push((path, drv.outputs));
        }
    }
    assert_eq!(made[..3], made[3..]);
    let [first, elsewhere, other_name] = [0, 1, 2].map(|index| &made[index]);
    assert_ne!(first.0, elsewhere.0);
    // what is built does not depend on where the source is from
    assert_eq!(first.1, elsewhere.1);
    assert_ne!(first.0, other_name.0);
}

#[test]
fn deep_graphs_take_no_stack() {
    let dir = StoreDir::default();
    let mut known: HashMap<StorePath, Derivation> = HashMap::new();
    let mut hashes = DrvHashes::new();
    let mut last: Option<StorePath> = None;
    for number in 0..20_000 {
        let mut drv = Derivation { name: format!("n{number}"), ..Derivation::default() };
        drv.input_drvs = last.iter().map(|path| (path.clone(), ["out"].into_iter().collect())).collect();
        drv.declare_outputs(["out"], OutputSpec::InputAddressed).unwrap();
        let mut read = |path: &StorePath| Ok::<_, DerivationError>(known[path].clone());
        let made = hashes.instantiate(&dir, &mut drv, &mut read).unwrap();
        known.insert(made.path.clone(), drv);
        last = Some(made.path);
    }
    let last = last.unwrap();
    let mut read = |path: &StorePath| Ok::<_, DerivationError>(known[path].clone());
    let again = DrvHashes::new().get(&dir, &last, &mut read).unwrap();
    assert_eq!(again, hashes.get(&dir, &last, &mut read).unwrap());
}

#[test]
fn strings_need_not_be_utf8() {
    let dir = StoreDir::default();
    let mut drv = Derivation { name: "x".into(), ..Derivation::default() };
    drv.env.insert([0xff, b'"', 0], [0xfe, b'\n']);
    drv.declare_outputs(["out"], OutputSpec::InputAddressed).unwrap();
    let text = drv.to_aterm(&dir).unwrap();
    assert_eq!(Derivation::parse_aterm(&dir, &text, "x").unwrap(), drv);
    assert!(drv.to_json().is_err());
    let mut out = Vec::new();
    write_escaped(&[b'a'; 200], &mut out);
    assert_eq!(out.len(), 202);
}
