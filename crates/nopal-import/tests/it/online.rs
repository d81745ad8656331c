//! Against the archive that this machine's apt is configured with: only with `NOPAL_TEST_NETWORK=1`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nopal_fetch::{FetchConfig, Fetcher, Request};
use nopal_format::{Hash, HashAlgorithm};
use nopal_import::debian::{
    DebianSources, LoadOptions, Loader, LockRequest, PackageSpec, ResolveOptions, Universe, explain, join_trees, lock,
    mirrors, resolve, unpack_deb,
};
use nopal_report::Reporter;

fn online() -> bool {
    let online = std::env::var_os("NOPAL_TEST_NETWORK").is_some();
    if !online {
        eprintln!("SKIPPED: needs the network; set NOPAL_TEST_NETWORK=1");
    }
    online
}

fn with_machine<T>(use_it: impl FnOnce(&Loader<'_>) -> T) -> T {
    let sources = DebianSources::from_apt(Path::new("/")).unwrap();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let options = LoadOptions::at(now_s);
    let reporter = Reporter::silent();
    let fetcher = Fetcher::new(FetchConfig::default(), reporter.clone()).unwrap();
    let cache = std::env::temp_dir().join("nopal-online-test");
    use_it(&Loader { sources: &sources, fetcher: &fetcher, cache_dir: &cache, options: &options, reporter: &reporter })
}

/// `apt-get` on an empty machine, with lists of its own: those of this machine may be older than what we load.
fn apt_get(lists: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
    for option in ["Dir::State::status=/dev/null", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="] {
        command.args(["-o", option]);
    }
    command
}

/// What apt would install: the oracle of the resolver.
fn apt_says(lists: &Path, names: &[&str]) -> Option<BTreeMap<String, String>> {
    let output = apt_get(lists)
        .args(["install", "-s", "-o", "APT::Install-Recommends=0"])
        .args(names)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let installed = text.lines().filter_map(|line| line.strip_prefix("Inst "));
    let entry = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        let version = rest.split_once('(')?.1.split(' ').next()?;
        Some((name.to_owned(), version.to_owned()))
    };
    Some(installed.filter_map(entry).collect())
}

#[test]
fn apt_would_install_the_same() {
    if !online() {
        return;
    }
    with_machine(|loader| {
        let lists = tempfile::tempdir().unwrap();
        let updated = apt_get(lists.path()).arg("update").output().is_ok_and(|output| output.status.success());
        if !updated {
            eprintln!("SKIPPED: apt-get cannot load its lists");
            return;
        }
        let universe = Universe::load(loader).unwrap();
        let options = ResolveOptions { essential: false, recommends: false };
        let mut different = String::new();
        for name in ["hello", "jq", "python3", "git", "perl", "ffmpeg", "gcc-12", "emacs-nox", "imagemagick"] {
            let ours = resolve(&universe, &[PackageSpec::parse(name).unwrap()], options).unwrap();
            let ours: BTreeMap<String, String> =
                ours.packages.values().map(|package| (package.name.to_owned(), package.version.to_owned())).collect();
            // the one choice that we make otherwise: trees are merged as they are joined, no script need do it
            let names = if ours.contains_key("usr-is-merged") { vec![name, "usr-is-merged"] } else { vec![name] };
            let Some(apt) = apt_says(lists.path(), &names) else { continue };
            if ours != apt {
                let only = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
                    a.iter()
                        .filter(|(key, value)| b.get(*key) != Some(value))
                        .map(|(key, _)| key.clone())
                        .collect::<Vec<_>>()
                };
                different +=
                    &format!("{name}: only ours {:?}, only apt's {:?}\n", only(&ours, &apt), only(&apt, &ours));
            }
        }
        assert!(different.is_empty(), "{different}");
    });
}

#[test]
fn a_real_closure_is_unpacked_joined_and_explained() {
    if !online() {
        return;
    }
    with_machine(|loader| {
        let request = LockRequest { packages: vec![PackageSpec::parse("jq").unwrap()], ..LockRequest::default() };
        let lock = lock(loader, &request).unwrap();
        let config = FetchConfig { mirrors: mirrors(loader).unwrap(), ..FetchConfig::default() };
        let fetcher = Fetcher::new(config, Reporter::silent()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut unpacked = BTreeMap::new();
        for name in lock.closure(&["jq"]) {
            let package = &lock.packages[name];
            let deb = dir.path().join("deb");
            let hash = Hash::parse_unprefixed(&package.sha256, HashAlgorithm::Sha256).unwrap();
            fetcher.to_file(&Request::new(&package.url).with_hash(hash).with_size(package.size), &deb).unwrap();
            let out = dir.path().join(format!("out-{name}"));
            unpack_deb(&deb, &out).unwrap();
            unpacked.insert(name.to_owned(), out);
        }
        let tree = dir.path().join("tree");
        let inputs: Vec<_> = unpacked.values().cloned().collect();
        let report = join_trees(&inputs, &tree).unwrap();
        assert!(report.libraries > 50 && report.copies == 0, "{report:?}");
        assert_eq!(fs::read_link(tree.join("bin")).unwrap(), Path::new("usr/bin"));
        assert_eq!(fs::read_link(tree.join("etc/alternatives/awk")).unwrap(), Path::new("/usr/bin/mawk"));
        explain(&lock, "jq", &unpacked).unwrap();
        // in the tree's own root the program runs
        if let Ok(output) =
            Command::new("unshare").args(["-r", "chroot"]).arg(&tree).args(["/usr/bin/jq", "-n", "1+1"]).output()
        {
            if output.status.success() {
                assert_eq!(output.stdout, b"2\n");
            } else {
                eprintln!("SKIPPED: no user namespace: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    });
}
