//! Builders that do not end, say too much, or leave something behind.

use std::time::{Duration, Instant};

use nopal_build::{BuildConfig, BuildError, BuildLimits, CancelToken, RealiseError, Wanted, realise};
use nopal_report::Reporter;
use nopal_test::OrdinaryUser;

use crate::fixture::{Events, Site};

fn limited(limits: BuildLimits) -> BuildConfig {
    BuildConfig { limits, ..BuildConfig::default() }
}

/// Whether a process with this text in its arguments is there.
fn is_running(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
    })
}

#[test]
fn a_build_takes_too_long() {
    let Some(site) = Site::new() else { return };
    let start = Instant::now();
    let config = limited(BuildLimits { timeout: Some(Duration::from_millis(300)), ..BuildLimits::default() });
    let script = "while true; do echo tick; sleep 0.05; done";
    let (error, text) = site.fail_with(&config, site.recipe("slow", script));
    assert!(matches!(error, BuildError::TimedOut { .. }), "{error}");
    assert!(text.contains("> tick"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(20));
    site.assert_clean();
}

#[test]
fn a_build_is_silent_for_too_long() {
    let Some(site) = Site::new() else { return };
    let config = limited(BuildLimits { silence: Some(Duration::from_millis(700)), ..BuildLimits::default() });
    // noise keeps it alive for longer than the limit, then silence ends it
    let script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done; echo now; sleep 4711";
    let (error, text) = site.fail_with(&config, site.recipe("silent", script));
    assert!(matches!(error, BuildError::Silent { .. }), "{error}");
    assert!(text.contains("> now"), "{text}");
}

#[test]
fn an_endless_log() {
    let Some(site) = Site::new() else { return };
    let config = limited(BuildLimits { log_size_bytes: Some(1 << 20), ..BuildLimits::default() });
    let (error, _) = site.fail_with(&config, site.recipe("flood", "yes"));
    assert!(matches!(error, BuildError::LogLimit { limit_bytes: 1_048_576 }), "{error}");
    let (error, _) = site.fail_with(&config, site.recipe("one-line", "tr '\\0' x < /dev/zero"));
    assert!(matches!(error, BuildError::LogLimit { .. }), "{error}");
    let log = site.root().join("var/log/drvs");
    for drv in std::fs::read_dir(log).unwrap() {
        for log in std::fs::read_dir(drv.unwrap().path()).unwrap() {
            assert!(log.unwrap().metadata().unwrap().len() < 2 << 20);
        }
    }
}

#[test]
fn orphans_die_with_the_builder() {
    let Some(site) = Site::new() else { return };
    let script = "setsid nohup sleep 987654 > /dev/null 2>&1 < /dev/null &\n(setsid sleep 987653 &) \n echo ok > $out";
    site.build(site.recipe("daemon", script));
    assert!(!is_running("987654") && !is_running("987653"));
    // one that keeps the builder's output open does not keep the build from ending
    site.build(site.recipe("holder", "setsid sleep 987652 & echo ok > $out"));
    assert!(!is_running("987652"));
}

#[test]
fn a_fork_bomb() {
    if OrdinaryUser::rerun("limits::a_fork_bomb") {
        return;
    }
    let Some(site) = Site::new() else { return };
    let config =
        limited(BuildLimits { timeout: Some(Duration::from_secs(2)), processes: Some(60), ..BuildLimits::default() });
    let script = "bomb() { bomb 5544332211 & bomb 5544332211 & }; bomb; sleep 60";
    let (error, text) = site.fail_with(&config, site.recipe("bomb", script));
    assert!(matches!(error, BuildError::TimedOut { .. } | BuildError::Builder { .. }), "{error}");
    assert!(text.contains("can't fork") || matches!(error, BuildError::TimedOut { .. }), "{text}");
    // other builds of the same user are not concerned
    site.build(site.recipe("after", "echo ok > $out"));
}

#[test]
fn interrupted() {
    let Some(site) = Site::new() else { return };
    let cancel = CancelToken::new().unwrap();
    let drv = site.add(site.recipe("long", "sleep 87654321"));
    let wanted = [Wanted::all(drv)];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            cancel.cancel();
        });
        let outcome = realise(&site.store, &BuildConfig::default(), &wanted, &cancel);
        assert!(matches!(outcome, Err(RealiseError::Cancelled)), "{outcome:?}");
    });
    assert!(!is_running("87654321"));
    site.assert_clean();
}

#[test]
fn the_log_is_streamed_and_kept() {
    let Some(site) = Site::new() else { return };
    let (events, reporter) = Events::reporter();
    let config = BuildConfig { reporter, ..BuildConfig::default() };
    let drv = site.add(site.recipe("chatty", "echo one; echo two >&2; printf three; touch $out"));
    site.realise_with(&config, &drv).unwrap();
    assert_eq!(events.log_lines(), ["one", "two", "three"]);
    let log = nopal_build::log_path(&site.root().join("var/log"), &drv);
    assert_eq!(std::fs::read_to_string(log).unwrap(), "one\ntwo\nthree");
    drop(Reporter::silent());
}

#[test]
fn a_failed_build_directory_is_kept() {
    let Some(site) = Site::new() else { return };
    let config = BuildConfig { keep_failed: true, ..BuildConfig::default() };
    let drv = site.add(site.recipe("keep", "echo hi > note; exit 7"));
    let Err(RealiseError::Failed { failures }) = site.realise_with(&config, &drv) else { panic!("it fails") };
    let failure = &failures[0];
    assert_eq!(std::fs::read_to_string(failure.kept_dir.as_ref().unwrap().join("note")).unwrap(), "hi\n");
    assert!(failure.to_string().contains("builder failed with exit code 7"), "{failure}");
    assert_eq!(RealiseError::Failed { failures }.exit_code(), 100);
    // a second call sweeps what killed builds left, but not what was kept
    let error = site.realise_with(&BuildConfig::default(), &drv).unwrap_err();
    assert_eq!(error.exit_code(), 100);
    assert_eq!(std::fs::read_dir(site.root().join("var/builds")).unwrap().count(), 1);
}

#[test]
fn how_builders_end() {
    let Some(site) = Site::new() else { return };
    let (_, text) = site.fail(site.recipe("exit", "echo last words; exit 3"));
    assert!(text.contains("reason: builder failed with exit code 3\noutput paths:\n  /nix/store/"), "{text}");
    assert!(text.contains("\n> last words\n"), "{text}");
    let (_, text) = site.fail(site.recipe("signal", "sh -c 'kill -SEGV $$'; exit $?"));
    assert!(text.contains("builder failed with exit code 139"), "{text}");
    let mut recipe = site.recipe("missing", "");
    recipe.derivation.builder = "/bin/sh".into();
    let (error, text) = site.fail(recipe);
    assert!(text.contains("executing '/bin/sh': No such file or directory"), "{text}");
    assert!(error.hints()[0].contains("nothing of this machine"), "{:?}", error.hints());
    let mut recipe = site.recipe("other", "");
    recipe.derivation.system = "riscv64-linux".into();
    let (_, text) = site.fail(recipe);
    assert!(text.contains("platform mismatch\nRequired system: 'riscv64-linux'"), "{text}");
    let (_, text) = site.fail(site.recipe("features", "").env("requiredSystemFeatures", "warp-drive"));
    assert!(text.contains("Required features: {warp-drive}"), "{text}");
    let (_, text) = site.fail(site.recipe("unsandboxed", "").env("__noChroot", "1"));
    assert!(text.contains("'__noChroot' set"), "{text}");
}
