//! Several processes on one store, and processes that are killed.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nopal_build::{BuildConfig, CancelToken, Wanted, realise};
use nopal_format::StorePath;
use nopal_store::VerifyOptions;

use crate::child;
use crate::fixture::Site;

/// Kills in the loop below; with `NOPAL_LONG` set, many.
const KILLS: u64 = 12;
const KILLS_LONG: u64 = 500;

fn start(name: &str, site: &Site, drvs: &[StorePath]) -> Child {
    let names: Vec<String> = drvs.iter().map(StorePath::base_name).collect();
    let argument = format!("{} {}", site.root().display(), names.join(" "));
    child::command(name, &argument).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// In the other process: builds what the argument names.
pub(crate) fn build_argument(argument: &str) {
    let mut words = argument.split(' ');
    let site = Site::at(Path::new(words.next().unwrap()), "/nix/store").unwrap();
    let wanted: Vec<Wanted> = words.map(|word| Wanted::all(StorePath::from_base_name(word).unwrap())).collect();
    let config = BuildConfig { max_jobs: 3, ..BuildConfig::default() };
    realise(&site.store, &config, &wanted, &CancelToken::never()).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn two_processes_build_the_same() {
    let Some(site) = Site::new() else { return };
    // built twice, it would leave two names in the log of the builder outside; the lock lets one build
    let drv = site.add(site.recipe("shared", "sleep 0.5; od -N 8 -An -x /dev/urandom > $out"));
    let children: Vec<Child> = (0..3).map(|_| start("builds", &site, std::slice::from_ref(&drv))).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!site.realise(&drv).unwrap().built);
    assert!(site.store.verify(&VerifyOptions::default()).unwrap().is_clean());
    // any build sweeps what the killed ones left
    site.build(site.recipe("sweep", "touch $out"));
    site.assert_clean();
}

#[test]
fn killed_at_any_moment() {
    let Some(site) = Site::new() else { return };
    let kills = if std::env::var_os("NOPAL_LONG").is_some() { KILLS_LONG } else { KILLS };
    let mut built = 0;
    for round in 0..kills {
        let drvs: Vec<StorePath> = (0..4)
            .map(|number| {
                let script = format!(
                    "echo {round} > $out; mkdir $dev; for i in 1 2 3; do echo $out > $dev/$i; done; sleep 0.01"
                );
                site.add(site.recipe(&format!("k{round}-{number}"), &script).outputs(&["out", "dev"]))
            })
            .collect();
        let mut child = start("builds", &site, &drvs);
        // from before the first system call to after the last build
        std::thread::sleep(Duration::from_millis(5 + (round * 37) % 160));
        child.kill().unwrap();
        child.wait().unwrap();
        let info = |drv: &StorePath| site.store.valid_outputs(drv).unwrap().len();
        built += drvs.iter().filter(|drv| info(drv) == 2).count();
        assert!(drvs.iter().all(|drv| matches!(info(drv), 0 | 2)), "outputs become valid together");
        if round % 10 == 9 {
            let report = site.store.verify(&VerifyOptions::default()).unwrap();
            assert!(report.is_clean(), "after {round} kills: {report:?}");
        }
        // what was half-way is built now
        let wanted: Vec<Wanted> = drvs.into_iter().take(1).map(Wanted::all).collect();
        realise(&site.store, &BuildConfig::default(), &wanted, &CancelToken::never()).unwrap();
    }
    println!("{kills} kills, {built} derivations built before");
    assert!(site.store.verify(&VerifyOptions::default()).unwrap().is_clean());
    // any build sweeps what the killed ones left
    site.build(site.recipe("sweep", "touch $out"));
    site.assert_clean();
}
