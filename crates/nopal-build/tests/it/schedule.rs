//! Graphs of derivations.

use std::collections::BTreeSet;
use std::sync::Arc;

use nopal_build::builtin::{self, BuiltinContext, BuiltinError};
use nopal_build::{
    BuildConfig, BuildError, BuiltinBuilders, CancelToken, OutputsWanted, RealiseError, SandboxMode, Wanted, plan,
    realise,
};
use nopal_fetch::{FetchConfig, Fetcher};
use nopal_format::derivation::OutputSpec;
use nopal_format::{ContentAddress, ContentAddressMethod, Hash, HashAlgorithm, StorePath};
use nopal_report::Reporter;
use nopal_store::{Store, StoreConfig};

use crate::fixture::Site;

/// A diamond of derivations, and what its parts are.
fn diamond(site: &Site, middle: &str) -> (StorePath, Vec<StorePath>) {
    let path = |drv: &StorePath| {
        let text = std::fs::read(site.store.physical_path(drv)).unwrap();
        let name = drv.derivation_name().unwrap();
        let derivation = nopal_format::Derivation::parse_aterm(site.store.store_dir(), &text, name).unwrap();
        derivation.env_value("out").unwrap().to_string_lossy().into_owned()
    };
    let low = site.add(site.recipe("low", "echo low > $out"));
    let left = site.add(site.recipe("left", &format!("cat {} > $out; {middle}", path(&low))).input(&low, &["out"]));
    let right =
        site.add(site.recipe("right", &format!("cat {} > $out; echo r >> $out", path(&low))).input(&low, &["out"]));
    let script = format!("cat {} {} > $out", path(&left), path(&right));
    let top = site.add(site.recipe("top", &script).input(&left, &["out"]).input(&right, &["out"]));
    (top, vec![low, left, right])
}

#[test]
fn inputs_come_first_and_once() {
    let Some(site) = Site::new() else { return };
    let (top, parts) = diamond(&site, "true");
    let config = BuildConfig { max_jobs: 4, ..BuildConfig::default() };
    let wanted = [Wanted::all(top.clone()), Wanted::all(parts[1].clone()), Wanted::all(top.clone())];
    let planned = plan(&site.store, &config, &wanted).unwrap().will_build;
    assert_eq!(planned.len(), 4);
    assert_eq!((planned.first(), planned.last()), (Some(&parts[0]), Some(&top)));
    let realised = realise(&site.store, &config, &wanted, &CancelToken::never()).unwrap();
    assert_eq!(realised.len(), 3);
    let text = std::fs::read_to_string(site.store.physical_path(&realised[0].outputs["out"])).unwrap();
    assert_eq!(text, "low\nlow\nr\n");
    assert!(plan(&site.store, &config, &wanted).unwrap().will_build.is_empty());
    assert!(realise(&site.store, &config, &wanted, &CancelToken::never()).unwrap().iter().all(|one| !one.built));
}

#[test]
fn failures_are_passed_on() {
    let Some(site) = Site::new() else { return };
    let (top, parts) = diamond(&site, "echo broken; exit 1");
    let config = BuildConfig { keep_going: true, ..BuildConfig::default() };
    let Err(RealiseError::Failed { failures }) = site.realise_with(&config, &top) else { panic!("it fails") };
    let failed: Vec<&str> = failures.iter().map(|failure| failure.drv_path.as_str()).collect();
    assert_eq!(failed, [site.store.print(&parts[1]), site.store.print(&top)]);
    assert!(matches!(failures[1].error, BuildError::Dependencies { count: 1 }));
    assert!(failures[1].to_string().contains("reason: 1 dependency failed"), "{}", failures[1]);
    // with --keep-going the other half was built
    assert!(!site.realise(&parts[2]).unwrap().built);
}

#[test]
fn one_failure_stops_the_rest() {
    let Some(site) = Site::new() else { return };
    let config = BuildConfig { max_jobs: 2, ..BuildConfig::default() };
    let quick = site.add(site.recipe("quick", "sleep 0.3; exit 1"));
    let slow = site.add(site.recipe("slow", "sleep 600; touch $out"));
    let wanted = [Wanted::all(quick), Wanted::all(slow)];
    let Err(RealiseError::Failed { failures }) = realise(&site.store, &config, &wanted, &CancelToken::never()) else {
        panic!("it fails")
    };
    assert_eq!(failures.len(), 1, "{failures:?}");
}

#[test]
fn only_what_is_wanted() {
    let Some(site) = Site::new() else { return };
    let drv = site.add(site.recipe("two", "touch $out $dev").outputs(&["out", "dev"]));
    let names = OutputsWanted::Names(BTreeSet::from(["dev".to_owned()]));
    let wanted = [Wanted { drv_path: drv.clone(), outputs: names }];
    let realised = realise(&site.store, &BuildConfig::default(), &wanted, &CancelToken::never()).unwrap();
    assert_eq!(realised[0].outputs.keys().collect::<Vec<_>>(), ["dev"]);
    let wanted = [Wanted { drv_path: drv, outputs: OutputsWanted::Names(BTreeSet::from(["lib".to_owned()])) }];
    let error = realise(&site.store, &BuildConfig::default(), &wanted, &CancelToken::never()).unwrap_err();
    assert!(matches!(&error, RealiseError::NoSuchOutput { output, .. } if output == "lib"), "{error}");
    let missing = StorePath::from_base_name("00000000000000000000000000000000-x.drv").unwrap();
    let error = site.realise(&missing).unwrap_err();
    assert!(matches!(error, RealiseError::ReadDerivation { .. }), "{error}");
}

#[test]
fn builders_of_our_own() {
    let Some(site) = Site::new() else { return };
    let make = |context: &BuiltinContext<'_>| -> Result<(), BuiltinError> {
        let text = context.attribute("text")?;
        context.log("making");
        let shell = context.physical_input(context.attribute("shell")?)?;
        assert!(shell.join("bin/busybox").is_file());
        nopal_fs::write(context.output("out")?, text.as_bytes()).map_err(BuiltinError::caused)
    };
    let config = BuildConfig { builtins: BuiltinBuilders::new().with("make", make), ..BuildConfig::default() };
    let recipe = |name: &str, builder: &str| {
        let mut recipe = site.recipe(name, "").env("text", "hello").env("shell", &site.store.print(&site.shell));
        recipe.derivation.builder = builder.into();
        recipe.derivation.system = "builtin".into();
        recipe
    };
    let realised = site.realise_with(&config, &site.add(recipe("made", "builtin:make"))).unwrap();
    let text = std::fs::read_to_string(site.store.physical_path(&realised.outputs["out"])).unwrap();
    assert_eq!(text, "hello");
    let (_, text) = site.fail_with(&config, recipe("unknown", "builtin:nothing"));
    assert!(text.contains("unsupported builtin builder 'builtin:nothing'"), "{text}");
    let mut lacking = recipe("lacking", "builtin:make");
    lacking.derivation.env.remove("text".as_bytes());
    let (_, text) = site.fail_with(&config, lacking);
    assert!(text.contains("attribute 'text' missing"), "{text}");
}

#[test]
fn downloads() {
    let Some(site) = Site::new() else { return };
    let served = tempfile::tempdir().unwrap();
    std::fs::write(served.path().join("file"), "served").unwrap();
    let base = format!("file://{}", served.path().display());
    let fetch = FetchConfig { mirrors: [("here".to_owned(), vec![base.clone()])].into(), ..FetchConfig::default() };
    let fetcher = Arc::new(Fetcher::new(fetch, Reporter::silent()).unwrap());
    let config = BuildConfig { builtins: builtin::standard(fetcher), ..BuildConfig::default() };
    let recipe = |name: &str, url: &str, content: &[u8]| {
        let hash = Hash::of(HashAlgorithm::Sha256, content);
        let ca = ContentAddress { method: ContentAddressMethod::Flat, hash };
        let mut recipe = site.recipe(name, "").env("url", url).spec(OutputSpec::Fixed(ca));
        recipe.derivation.builder = "builtin:fetchurl".into();
        recipe.derivation.system = "builtin".into();
        recipe
    };
    for (name, url) in [("plain", format!("{base}/file")), ("mirrored", "mirror://here/file".to_owned())] {
        let realised = site.realise_with(&config, &site.add(recipe(name, &url, b"served"))).unwrap();
        let text = std::fs::read_to_string(site.store.physical_path(&realised.outputs["out"])).unwrap();
        assert_eq!(text, "served");
    }
    let (error, _) = site.fail_with(&config, recipe("changed", &format!("{base}/file"), b"expected"));
    assert!(matches!(error, BuildError::HashMismatch { .. }), "{error}");
    let (error, text) = site.fail_with(&config, recipe("absent", &format!("{base}/nothing"), b"expected"));
    assert!(matches!(error, BuildError::Builtin { .. }) && text.contains("nothing"), "{text}");
}

#[test]
fn without_a_sandbox_only_in_place() {
    let Some(site) = Site::new() else { return };
    let config = BuildConfig { sandbox: SandboxMode::Disabled, ..BuildConfig::default() };
    let (error, text) = site.fail_with(&config, site.recipe("diverted", "touch $out"));
    assert!(text.contains("is physically at"), "{error}");
    // a store whose logical directory is the physical one
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let Some(site) = Site::at(&root, root.join("store").to_str().unwrap()) else { return };
    let drv = site.add(site.recipe(
        "plain",
        "echo $out $NIX_BUILD_TOP > $out; chmod 4755 $NIX_BUILD_TOP 2>/dev/null && echo setuid >> $out || true",
    ));
    let realised = site.realise_with(&config, &drv).unwrap_or_else(|error| panic!("{error}"));
    let out = site.store.physical_path(&realised.outputs["out"]);
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with(&format!("{} {}/var/builds/", out.display(), root.display())), "{text}");
    assert!(!text.contains("setuid"), "the filter holds without a sandbox too: {text}");
    let check = BuildConfig { mode: nopal_build::BuildMode::Check { keep_difference: false }, ..config };
    let same = site.add(site.recipe("same", "echo $out > $out"));
    site.realise_with(&BuildConfig { mode: nopal_build::BuildMode::Normal, ..check.clone() }, &same).unwrap();
    site.realise_with(&check, &same).unwrap_or_else(|error| panic!("{error}"));
    site.assert_clean();
}

#[test]
fn a_store_that_cannot_be_written() {
    let Some(site) = Site::new() else { return };
    let drv = site.add(site.recipe("late", "touch $out"));
    let built = site.add(site.recipe("early", "touch $out"));
    site.realise(&built).unwrap();
    let mut config = StoreConfig::at(site.root(), site.store.store_dir().clone());
    config.read_only = true;
    let store = Store::open(config, Reporter::silent()).unwrap();
    let never = CancelToken::never();
    assert!(!realise(&store, &BuildConfig::default(), &[Wanted::all(built)], &never).unwrap()[0].built);
    let error = realise(&store, &BuildConfig::default(), &[Wanted::all(drv)], &never).unwrap_err();
    assert!(error.to_string().contains("read"), "{error}");
}

/// CPU time of this process and its ended children, in milliseconds.
fn cpu_ms() -> f64 {
    let of = |who| {
        // SAFETY: all-zero bytes are a valid `rusage`, which the kernel fills in.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut usage);
            usage
        };
        let ms = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
        ms(usage.ru_utime) + ms(usage.ru_stime)
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}

/// Run with `--ignored --nocapture` and a release build; the goal is 8 ms each, registration with `fsync` included,
/// whatever the number.
#[test]
#[ignore = "a measurement"]
fn trivial_builds() {
    for count in [40, 200, 1000] {
        let Some(site) = Site::new() else { return };
        let mut config = StoreConfig::at(site.root(), site.store.store_dir().clone());
        config.durability = nopal_store::Durability::FULL;
        let store = Store::open(config, Reporter::silent()).unwrap();
        let wanted: Vec<Wanted> = (0..count)
            .map(|number| {
                let mut recipe = site.recipe(&format!("trivial-{number}"), "");
                recipe.derivation.args[1] = "echo $out > $out".into();
                Wanted::all(site.add(recipe))
            })
            .collect();
        let (start, before) = (std::time::Instant::now(), cpu_ms());
        realise(&store, &BuildConfig::default(), &wanted, &CancelToken::never()).unwrap();
        println!(
            "{count} builds: {:.2} ms CPU, {:.2} ms wall each",
            (cpu_ms() - before) / count as f64,
            start.elapsed().as_secs_f64() * 1e3 / count as f64
        );
    }
}
