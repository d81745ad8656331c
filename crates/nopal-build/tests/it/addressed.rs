//! Floating, deferred, impure and dynamic derivations.

use std::collections::BTreeSet;
use std::fs;

use nopal_build::{BuildConfig, BuildError, RealiseError, SandboxMode};
use nopal_format::derivation::{DrvHashes, OutputSpec};
use nopal_format::signature::SecretKey;
use nopal_format::store_path::{DownstreamPlaceholder, hash_placeholder};
use nopal_format::{BuiltPath, ContentAddressMethod, DrvOutput, HashAlgorithm, SingleDerivedPath, StorePath};

use crate::fixture::Site;

const FLOATING: OutputSpec =
    OutputSpec::Floating { method: ContentAddressMethod::Nar, algorithm: HashAlgorithm::Sha256 };
const TEXT: OutputSpec = OutputSpec::Floating { method: ContentAddressMethod::Text, algorithm: HashAlgorithm::Sha256 };
const IMPURE: OutputSpec = OutputSpec::Impure { method: ContentAddressMethod::Nar, algorithm: HashAlgorithm::Sha256 };

fn config() -> BuildConfig {
    let features = ["ca-derivations", "impure-derivations", "dynamic-derivations"];
    BuildConfig {
        experimental_features: features.into_iter().map(str::to_owned).collect(),
        secret_keys: vec![SecretKey::from_seed("key", &[1; 32])],
        ..BuildConfig::default()
    }
}

/// What stands for an output that is not known.
fn placeholder(drv: &StorePath, output: &str) -> String {
    DownstreamPlaceholder::unknown_ca_output(drv, output).unwrap().render()
}

/// A floating derivation; the seed is in it and not in what it makes.
fn root(site: &Site, seed: &str) -> StorePath {
    let script = "mkdir $out; echo same > $out/text; ln -s $out $out/self; ln -s $out/text $dev";
    site.add(site.recipe("root", script).env("seed", seed).outputs(&["out", "dev"]).spec(FLOATING))
}

#[test]
fn equal_content_cuts_builds_short() {
    let Some(site) = Site::new() else { return };
    let config = config();
    let first = site.realise_with(&config, &root(&site, "1")).unwrap();
    let second = site.realise_with(&config, &root(&site, "2")).unwrap();
    assert!(first.built && second.built);
    assert_eq!(first.outputs, second.outputs);
    let out = &first.outputs["out"];
    let info = site.store.path_info(out).unwrap();
    assert!(info.is_content_addressed(site.store.store_dir()) && info.references.contains(out));
    assert!(site.store.references(&first.outputs["dev"]).unwrap().contains(out));
    let own = fs::read_link(site.store.physical_path(out).join("self")).unwrap();
    assert_eq!(own.to_str().unwrap(), site.store.print(out));
    // what depends on them is the same derivation once it is resolved
    let user = |seed: &str, spec| {
        let root = root(&site, seed);
        let path = placeholder(&root, "out");
        site.add(site.recipe("user", &format!("cat {path}/text > $out")).input(&root, &["out"]).spec(spec))
    };
    for spec in [FLOATING, OutputSpec::InputAddressed] {
        let one = site.realise_with(&config, &user("1", spec)).unwrap();
        let none = BuildConfig { max_jobs: 0, ..config.clone() };
        let other = site.realise_with(&none, &user("2", spec)).unwrap();
        assert!(one.built && !other.built);
        assert_eq!(one.outputs, other.outputs);
        assert_eq!(fs::read_to_string(site.store.physical_path(&one.outputs["out"])).unwrap(), "same\n");
        // and again without looking at anything but the record
        assert!(!site.realise_with(&none, &user("2", spec)).unwrap().built);
    }
    let none = BuildConfig { max_jobs: 0, ..config };
    let error = site.realise_with(&none, &root(&site, "3")).unwrap_err().to_string();
    assert!(error.contains("local builds are disabled (max-jobs = 0)"), "{error}");
    site.assert_clean();
    assert!(
        site.store.verify(&nopal_store::VerifyOptions { contents: true, ..Default::default() }).unwrap().is_clean()
    );
}

#[test]
fn realisations_are_recorded_and_signed() {
    let Some(site) = Site::new() else { return };
    let config = config();
    let drv = root(&site, "1");
    let done = site.realise_with(&config, &drv).unwrap();
    let derivation = site.store.read_derivation(&drv).unwrap();
    let drv_hash = site.store.output_hash(&derivation, &mut DrvHashes::new()).unwrap();
    for (output, path) in &done.outputs {
        let id = DrvOutput { drv_hash, output: output.clone() };
        let found = site.store.realisation(&id).unwrap().unwrap();
        assert_eq!(found.path, *path);
        assert_eq!(found.count_valid_signatures(&[config.secret_keys[0].public_key()]), 1);
    }
    // an ordinary derivation is recorded too, but only where the feature is on
    let plain = |name: &str| site.add(site.recipe(name, "echo > $out"));
    for (name, config, recorded) in [("with", config, 1), ("without", BuildConfig::default(), 0)] {
        let done = site.realise_with(&config, &plain(name)).unwrap();
        assert_eq!(site.store.realisations_of(&done.outputs["out"]).unwrap().len(), recorded, "{name}");
    }
}

#[test]
fn outputs_take_their_paths_wherever_they_were_made() {
    let Some(site) = Site::new() else { return };
    let done = site.realise_with(&config(), &root(&site, "1")).unwrap();
    let again = BuildConfig { mode: nopal_build::BuildMode::Check { keep_difference: false }, ..config() };
    assert_eq!(site.realise_with(&again, &root(&site, "1")).unwrap().outputs, done.outputs);
    // without a sandbox the store must lie where its paths say
    let dir = tempfile::tempdir().unwrap();
    let root_dir = dir.path().canonicalize().unwrap();
    let logical = root_dir.join("store");
    let Some(site) = Site::at(&root_dir, logical.to_str().unwrap()) else { return };
    let bare = BuildConfig { sandbox: SandboxMode::Disabled, ..config() };
    let without = site.realise_with(&bare, &root(&site, "1")).unwrap();
    let other = site.realise_with(&bare, &root(&site, "2")).unwrap();
    assert!(other.built);
    assert_eq!(without.outputs, other.outputs);
    // nothing is left under the names they were made at
    let left = fs::read_dir(&logical).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.contains("-root") && !name.ends_with(".drv")
    });
    assert_eq!(left.count(), 2);
}

#[test]
fn impure_derivations_are_built_each_time() {
    let Some(site) = Site::new() else { return };
    let config = config();
    let impure = site.add(site.recipe("impure", "cat /proc/sys/kernel/random/uuid > $out").spec(IMPURE));
    let path = placeholder(&impure, "out");
    let script = format!("cat {path} > $out; echo $out >> $out");
    let user = site.add(site.recipe("user", &script).input(&impure, &["out"]).spec(IMPURE));
    let done: Vec<StorePath> =
        (0..2).map(|_| site.realise_with(&config, &user).unwrap().outputs["out"].clone()).collect();
    assert_ne!(done[0], done[1]);
    for path in &done {
        assert!(site.store.path_info(path).unwrap().is_content_addressed(site.store.store_dir()));
        let text = fs::read_to_string(site.store.physical_path(path)).unwrap();
        assert_eq!(text.lines().last(), Some(site.store.print(path).as_str()));
        assert!(site.store.realisations_of(path).unwrap().is_empty());
    }
    let pure = site.add(site.recipe("pure", &format!("cat {path} > $out")).input(&impure, &["out"]));
    let error = site.realise_with(&config, &pure).unwrap_err().to_string();
    let expected = format!(
        "pure derivation '{}' depends on impure derivation '{}'",
        site.store.print(&pure),
        site.store.print(&impure)
    );
    assert_eq!(error, expected);
}

#[test]
fn derivations_are_built_by_derivations() {
    let Some(site) = Site::new() else { return };
    let config = config();
    let inner = site.add(site.recipe("inner", "echo inner > $out").spec(FLOATING));
    let text = fs::read_to_string(site.store.physical_path(&inner)).unwrap();
    assert!(text.contains(&hash_placeholder("out")));
    let script = format!("cat {} > $out", site.store.print(&inner));
    let outer = site.add(site.recipe("inner.drv", &script).source(&inner).spec(TEXT));
    let made = BuiltPath { drv: SingleDerivedPath::built(outer.clone(), "out"), output: "out".into() };
    let user = |script: &str| {
        let path = made.placeholder().unwrap().render();
        let mut recipe = site.recipe("user", &script.replace("@", &path));
        recipe.derivation.add_input(&made);
        site.add(recipe)
    };
    let done = site.realise_with(&config, &user("cat @ > $out")).unwrap();
    assert_eq!(fs::read_to_string(site.store.physical_path(&done.outputs["out"])).unwrap(), "inner\n");
    // what the outer one made is the derivation itself
    assert_eq!(site.realise_with(&config, &outer).unwrap().outputs["out"], inner);
    assert!(!site.realise_with(&config, &inner).unwrap().built);
    let Err(RealiseError::Failed { failures }) = site.realise_with(&config, &user("cat @; exit 3")) else {
        panic!("it fails")
    };
    let kinds: Vec<bool> =
        failures.iter().map(|failure| matches!(failure.error, BuildError::Resolved { .. })).collect();
    assert_eq!(kinds, [false, true]);
}

#[test]
fn what_is_experimental_is_refused() {
    let Some(site) = Site::new() else { return };
    let impure = site.add(site.recipe("impure", "echo > $out").spec(IMPURE));
    for (drv, on, missing) in
        [(root(&site, "1"), vec![], "ca-derivations"), (impure, vec!["ca-derivations"], "impure-derivations")]
    {
        let on: BTreeSet<String> = on.into_iter().map(str::to_owned).collect();
        let config = BuildConfig { experimental_features: on, ..BuildConfig::default() };
        let error = site.realise_with(&config, &drv).unwrap_err().to_string();
        let expected = format!(
            "experimental Nix feature '{missing}' is disabled; add '--extra-experimental-features {missing}' to enable it"
        );
        assert_eq!(error, expected);
    }
}
