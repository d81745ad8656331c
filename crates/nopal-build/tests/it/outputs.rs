//! What builders leave, and what the store takes of it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nopal_build::{BuildConfig, BuildError, BuildMode};
use nopal_format::derivation::OutputSpec;
use nopal_format::{ContentAddress, ContentAddressMethod, Hash, HashAlgorithm};
use nopal_store::VerifyOptions;

use crate::fixture::{Recipe, Site};

fn fixed(recipe: Recipe, method: ContentAddressMethod, hash: Hash) -> Recipe {
    recipe.spec(OutputSpec::Fixed(ContentAddress { method, hash }))
}

#[test]
fn metadata_is_canonical() {
    let Some(site) = Site::new() else { return };
    let script = "mkdir -p $out/d; echo x > $out/f; echo y > $out/x; chmod 0711 $out/x; chmod 0600 $out/f; chmod 0700 $out/d; \
                  touch -d '2020-01-01 00:00:00' $out/f; ln -s f $out/l; ln $out/f $out/hard; touch $out/d/.hidden";
    let out = site.build(site.recipe("meta", script));
    let mode = |name: &str| std::fs::symlink_metadata(out.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("f"), mode("x"), mode("d"), mode("")), (0o444, 0o555, 0o555, 0o555));
    for name in ["f", "x", "d", "l", "", "d/.hidden", "hard"] {
        assert_eq!(std::fs::symlink_metadata(out.join(name)).unwrap().mtime(), 1, "{name}");
    }
    assert!(site.store.verify(&VerifyOptions::default()).unwrap().is_clean());
}

#[test]
fn outputs_of_every_kind() {
    let Some(site) = Site::new() else { return };
    let drv = site
        .add(site.recipe("kinds", "echo f > $out; mkdir $dir; ln -s target $link").outputs(&["out", "dir", "link"]));
    let realised = site.realise(&drv).unwrap();
    assert!(realised.built);
    let path = |name: &str| site.store.physical_path(&realised.outputs[name]);
    assert!(path("out").is_file() && path("dir").is_dir());
    assert_eq!(std::fs::read_link(path("link")).unwrap().to_str(), Some("target"));
    assert!(!site.realise(&drv).unwrap().built);
}

#[test]
fn references_between_outputs() {
    let Some(site) = Site::new() else { return };
    let script = "mkdir $out $dev $doc; echo $out > $out/self; echo $out > $dev/to-out; echo $doc > $out/to-doc; echo $PATH > $doc/x";
    let drv = site.add(site.recipe("three", script).outputs(&["out", "dev", "doc"]));
    let outputs = site.realise(&drv).unwrap().outputs;
    let references = |name: &str| site.store.path_info(&outputs[name]).unwrap().references;
    assert_eq!(references("out"), [outputs["out"].clone(), outputs["doc"].clone()].into());
    assert_eq!(references("dev"), [outputs["out"].clone()].into());
    assert_eq!(references("doc"), [site.shell.clone()].into());
    assert_eq!(site.store.path_info(&outputs["out"]).unwrap().deriver, Some(drv));
    let cycle = site.recipe("cycle", "echo $b > $a; echo $a > $b").outputs(&["a", "b"]);
    let (error, _) = site.fail(cycle);
    assert!(matches!(error, BuildError::OutputCycle { .. }), "{error}");
}

#[test]
fn a_missing_output() {
    let Some(site) = Site::new() else { return };
    let (error, text) = site.fail(site.recipe("half", "touch $out").outputs(&["out", "dev"]));
    assert!(matches!(&error, BuildError::OutputMissing { output, .. } if output == "dev"), "{text}");
    let (_, text) = site.fail(site.recipe("none", "true"));
    assert!(text.contains("failed to produce output path for output 'out' at '/nix/store/"), "{text}");
    site.assert_clean();
}

#[test]
fn what_a_store_cannot_hold() {
    let Some(site) = Site::new() else { return };
    let cases = [
        ("fifo", "mkdir $out; mkfifo $out/f", "fifo"),
        ("root-fifo", "mkfifo $out", "fifo"),
        ("group-writable", "touch $out; chmod 0664 $out", "suspicious ownership or permission"),
        ("world-writable", "mkdir $out; chmod 0777 $out", "suspicious ownership or permission"),
    ];
    for (name, script, reason) in cases {
        let (error, text) = site.fail(site.recipe(name, script));
        assert!(matches!(error, BuildError::OutputRejected { .. }), "{name}: {text}");
        assert!(text.contains(reason), "{name}: {text}");
    }
    site.assert_clean();
}

#[test]
fn links_lead_nowhere() {
    let Some(site) = Site::new() else { return };
    // links out of the output stay links: nothing behind them is touched, hashed or copied
    let script = "ln -s /build/secret $out; mkdir /build/secret; echo x > /build/secret/y";
    let out = site.build(site.recipe("link", script));
    assert_eq!(std::fs::read_link(&out).unwrap().to_str(), Some("/build/secret"));
    let target = tempfile::tempdir().unwrap();
    let file = target.path().join("precious");
    std::fs::write(&file, "keep").unwrap();
    let before = std::fs::metadata(&file).unwrap();
    let script = format!("mkdir $out; ln -s {} $out/dir; ln -s {} $out/file", target.path().display(), file.display());
    site.build(site.recipe("outside", &script));
    let after = std::fs::metadata(&file).unwrap();
    assert_eq!((before.mode(), before.mtime()), (after.mode(), after.mtime()));
    // a fixed output that is a link must not be hashed as what it points to
    let recipe = site.recipe("fixed-link", &format!("ln -s {} $out", file.display()));
    let hash = Hash::of(HashAlgorithm::Sha256, b"keep");
    let (error, _) = site.fail(fixed(recipe, ContentAddressMethod::Flat, hash));
    assert!(matches!(error, BuildError::OutputRejected { .. }), "{error}");
}

#[test]
fn fixed_outputs() {
    let Some(site) = Site::new() else { return };
    let right = Hash::of(HashAlgorithm::Sha256, b"right");
    let out = site.build(fixed(site.recipe("flat", "printf right > $out"), ContentAddressMethod::Flat, right));
    assert_eq!(std::fs::read_to_string(out).unwrap(), "right");
    let got = Hash::of(HashAlgorithm::Sha256, b"wrong");
    let recipe = fixed(site.recipe("mismatch", "printf wrong > $out"), ContentAddressMethod::Flat, right);
    let drv = site.add(recipe);
    let error = site.realise(&drv).unwrap_err();
    let expected = format!(
        "hash mismatch in fixed-output derivation '{}':\n  specified: {}\n     got:    {}",
        site.store.print(&drv),
        right.sri(),
        got.sri()
    );
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!(error.exit_code(), 102);
    let executable = site.recipe("executable", "printf right > $out; chmod +x $out");
    let (error, _) = site.fail(fixed(executable, ContentAddressMethod::Flat, right));
    assert!(error.to_string().contains("non-executable regular file"), "{error}");
    // a recursive hash, once wrong to learn it and once right
    let script = "mkdir $out; echo hi > $out/hi";
    let (error, _) = site.fail(fixed(site.recipe("tree", script), ContentAddressMethod::Nar, right));
    let BuildError::HashMismatch { got, .. } = error else { panic!("{error}") };
    let learnt = Hash::parse_sri(&got).unwrap();
    let drv = site.add(fixed(site.recipe("tree", script), ContentAddressMethod::Nar, learnt));
    let out = &site.realise(&drv).unwrap().outputs["out"];
    assert_eq!(site.store.path_info(out).unwrap().ca.unwrap().hash, learnt);
    let referring = site.recipe("refers", "printf %s $PATH > $out");
    let text = format!("{}/bin", site.store.print(&site.shell));
    let (error, _) =
        site.fail(fixed(referring, ContentAddressMethod::Flat, Hash::of(HashAlgorithm::Sha256, text.as_bytes())));
    let expected = "fixed output derivation 'refers' is not allowed to refer to other store paths.";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn references_that_are_not_allowed() {
    let Some(site) = Site::new() else { return };
    let shell = site.store.print(&site.shell);
    let script = "echo $PATH > $out";
    let refused = format!("is not allowed to refer to the following paths:\n  {shell}");
    for (name, value) in [
        ("allowedReferences", ""),
        ("disallowedReferences", shell.as_str()),
        ("allowedRequisites", "out"),
        ("disallowedRequisites", &shell),
    ] {
        let (error, text) = site.fail(site.recipe("forbidden", script).env(name, value));
        assert!(matches!(error, BuildError::ForbiddenReferences { .. }) && text.contains(&refused), "{name}: {text}");
    }
    site.build(site.recipe("allowed", "echo $PATH $out > $out").env("allowedReferences", &format!("out {shell}")));
    let (_, text) = site.fail(site.recipe("self", "echo $out > $out").env("allowedReferences", ""));
    assert!(text.contains("is not allowed to refer"), "{text}");
    let (_, text) = site.fail(site.recipe("name", script).env("allowedReferences", "nonsense"));
    assert!(text.contains("contains output name 'nonsense'"), "{text}");
    let checks = r#"{"name":"c","outputChecks":{"out":{"maxSize":100,"disallowedReferences":["out"]}}}"#;
    let with_out = "out=$(sed 's/.*\"outputs\":{\"out\":\"\\([^\"]*\\)\".*/\\1/' .attrs.json)\n";
    let big = site.recipe("c", &format!("{with_out} seq 100 > $out")).structured(checks);
    let (error, _) = site.fail(big);
    assert!(matches!(error, BuildError::OutputTooLarge { limit_bytes: 100, .. }), "{error}");
}

#[test]
fn built_again_and_compared() {
    let Some(site) = Site::new() else { return };
    let check = |keep_difference| BuildConfig { mode: BuildMode::Check { keep_difference }, ..BuildConfig::default() };
    let same = site.add(site.recipe("same", "echo $out > $out"));
    let error = site.realise_with(&check(false), &same).unwrap_err();
    assert!(error.to_string().contains("checking is not possible"), "{error}");
    site.realise(&same).unwrap();
    assert!(site.realise_with(&check(false), &same).unwrap().built);
    let random = site.add(site.recipe("random", "mkdir $out; od -N 8 -An -x /dev/urandom > $out/x"));
    let out = site.realise(&random).unwrap().outputs["out"].clone();
    let physical = site.store.physical_path(&out);
    let before = std::fs::read(physical.join("x")).unwrap();
    let error = site.realise_with(&check(false), &random).unwrap_err();
    let expected = format!(
        "derivation '{}' may not be deterministic: output '{}' differs",
        site.store.print(&random),
        site.store.print(&out)
    );
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!(error.exit_code(), 104);
    assert_eq!(std::fs::read(physical.join("x")).unwrap(), before);
    let error = site.realise_with(&check(true), &random).unwrap_err();
    let kept = physical.with_file_name(format!("{}.check", out.base_name()));
    assert!(error.to_string().contains(&format!("differs from '{}'", kept.display())), "{error}");
    assert_ne!(std::fs::read(kept.join("x")).unwrap(), before);
}
