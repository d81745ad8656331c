//! Signatures, hashes, validity, the cache, apt's configuration.

use std::fs;

use nopal_import::debian::signature::SignatureError;
use nopal_import::debian::{
    DebianSources, Keys, LoadOptions, LockRequest, PackageSpec, Refresh, RepositoryError, Universe, lock, mirrors,
};
use pgp::composed::ArmorOptions;

use crate::repository::{NOW_S, TestRepository, new_key, options, public_key, sign, with_loader};

const HELLO: &str = "Package: hello\nVersion: 1.0\nArchitecture: amd64\nFilename: pool/h/hello_1.0_amd64.deb\nSize: 5\n\
                     SHA256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n";

fn load(repository: &TestRepository, options: &LoadOptions) -> Result<Universe, RepositoryError> {
    let sources = repository.sources(&repository.keyring());
    with_loader(&sources, &repository.cache(), options, Universe::load)
}

fn signature_error(result: Result<Universe, RepositoryError>) -> SignatureError {
    match result {
        Err(RepositoryError::Signature { source, .. }) => *source,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

#[test]
fn a_good_signature_is_accepted_binary_or_armored() {
    let repository = TestRepository::new(HELLO);
    let universe = load(&repository, &options()).unwrap();
    assert_eq!(universe.names().collect::<Vec<_>>(), ["hello"]);
    let other = public_key(&new_key()).to_armored_string(ArmorOptions::default()).unwrap();
    let armored = public_key(&repository.key).to_armored_string(ArmorOptions::default()).unwrap();
    fs::write(repository.keyring(), format!("{other}\n{armored}")).unwrap();
    load(&repository, &options()).unwrap();
}

#[test]
fn altered_text_is_a_bad_signature() {
    let repository = TestRepository::new(HELLO);
    let file = repository.suite_dir().join("InRelease");
    let text = fs::read_to_string(&file).unwrap().replace("Suite: stable", "Suite: stablE");
    fs::write(&file, text).unwrap();
    assert!(matches!(signature_error(load(&repository, &options())), SignatureError::Bad { .. }));
}

#[test]
fn text_outside_the_signature_is_refused() {
    let repository = TestRepository::new(HELLO);
    let file = repository.suite_dir().join("InRelease");
    let signed = fs::read_to_string(&file).unwrap();
    for text in [
        format!("{signed}\nSuite: other\n"),
        format!("Suite: other\n{signed}"),
        signed.replace("\n\nOrigin", "\nOther: x\n\nOrigin"),
    ] {
        fs::write(&file, text).unwrap();
        let err = signature_error(load(&repository, &options()));
        assert!(matches!(err, SignatureError::Malformed { .. } | SignatureError::NotSigned), "{err}");
    }
    fs::write(&file, repository.release_text("")).unwrap();
    assert!(matches!(signature_error(load(&repository, &options())), SignatureError::NotSigned));
}

#[test]
fn unknown_keys_and_expired_signatures_do_not_count() {
    let repository = TestRepository::new(HELLO);
    let file = repository.suite_dir().join("InRelease");
    fs::write(&file, sign(&new_key(), &repository.release_text(""), None)).unwrap();
    let err = load(&repository, &options()).unwrap_err();
    assert!(err.hint().unwrap().contains("--keyring"));
    assert!(matches!(signature_error(Err(err)), SignatureError::UnknownKey { .. }));
    repository.release("", Some(60));
    assert!(matches!(signature_error(load(&repository, &options())), SignatureError::Unusable { .. }));
}

#[test]
fn an_expired_release_is_refused_unless_told_otherwise() {
    let repository = TestRepository::new(HELLO);
    repository.release("Valid-Until: Wed, 31 Dec 2025 23:30:00 UTC\n", None);
    assert!(matches!(load(&repository, &options()), Err(RepositoryError::Expired { seconds: 1800, .. })));
    load(&repository, &LoadOptions { check_valid_until: false, ..options() }).unwrap();
    load(&repository, &LoadOptions { now_s: NOW_S - 3600, ..options() }).unwrap();
}

#[test]
fn an_altered_index_is_found_out() {
    let repository = TestRepository::new(HELLO);
    let altered = HELLO.replace("2cf24", "00000");
    fs::write(repository.index_file(), altered).unwrap();
    let err = load(&repository, &options()).unwrap_err();
    assert!(err.to_string().contains("hash mismatch"), "{err}");
}

#[test]
fn a_missing_suite_is_named() {
    let repository = TestRepository::new(HELLO);
    fs::remove_file(repository.suite_dir().join("InRelease")).unwrap();
    let err = load(&repository, &options()).unwrap_err();
    let err = err.to_string();
    assert!(err.contains("stable") && err.contains("Could not open file"), "{err}");
}

#[test]
fn the_cache_is_enough_offline_and_heals() {
    let repository = TestRepository::new(HELLO);
    let offline = LoadOptions { refresh: Refresh::Never, ..options() };
    assert!(matches!(load(&repository, &offline), Err(RepositoryError::Offline { .. })));
    load(&repository, &options()).unwrap();
    fs::remove_dir_all(repository.suite_dir()).unwrap();
    load(&repository, &offline).unwrap();
    // an index in the cache that was damaged is not believed
    for entry in fs::read_dir(repository.cache().join("index")).unwrap() {
        fs::write(entry.unwrap().path(), "Package: evil\n").unwrap();
    }
    assert!(matches!(load(&repository, &offline), Err(RepositoryError::Offline { .. })));
}

#[test]
fn the_same_request_gives_the_same_bytes_without_host_names() {
    let repository = TestRepository::new(HELLO);
    let sources = repository.sources(&repository.keyring());
    let request = LockRequest { packages: vec![PackageSpec::parse("hello").unwrap()], ..LockRequest::default() };
    let make = |options: &LoadOptions| {
        with_loader(&sources, &repository.cache(), options, |loader| lock(loader, &request).unwrap().to_json().unwrap())
    };
    let first = make(&options());
    let expected = r#"{
  "version": 1,
  "architecture": "amd64",
  "requested": [
    "hello"
  ],
  "suites": [
    {
      "mirror": "test-archive",
      "suite": "stable",
      "date": "Wed, 31 Dec 2025 23:00:00 UTC"
    }
  ],
  "essential": [],
  "chosen": {},
  "packages": {
    "hello": {
      "version": "1.0",
      "architecture": "amd64",
      "url": "mirror://test-archive/pool/h/hello_1.0_amd64.deb",
      "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
      "size": 5,
      "depends": []
    }
  }
}
"#;
    assert_eq!(first, expected);
    // now without any index: the lock itself is remembered
    fs::remove_dir_all(repository.cache().join("index")).unwrap();
    assert_eq!(make(&LoadOptions { refresh: Refresh::Never, ..options() }), first);
    let found = with_loader(&sources, &repository.cache(), &options(), |loader| mirrors(loader).unwrap());
    assert_eq!(found["test-archive"], [sources.repositories[0].uri.clone()]);
}

#[test]
fn both_forms_of_apts_configuration_are_read() {
    let root = tempfile::tempdir().unwrap();
    let parts = root.path().join("etc/apt/sources.list.d");
    fs::create_dir_all(&parts).unwrap();
    fs::create_dir_all(root.path().join("etc/apt/trusted.gpg.d")).unwrap();
    fs::write(root.path().join("etc/apt/trusted.gpg.d/a.gpg"), "").unwrap();
    let list = "# comment\n\ndeb [arch=amd64,arm64 signed-by=/usr/share/k.gpg] http://one.invalid/debian/ stable main contrib # x\n\
                deb-src http://one.invalid/debian stable main\ndeb [trusted=yes check-valid-until=no] http://flat.invalid/ ./\n";
    fs::write(root.path().join("etc/apt/sources.list"), list).unwrap();
    let sources = "# comment\nTypes: deb deb-src\nURIs: http://two.invalid/debian\nSuites: a a-updates\nComponents: main\n\
                   Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n\n\
                   Types: deb\nURIs: http://off.invalid\nSuites: x\nComponents: main\nEnabled: no\n";
    fs::write(parts.join("two.sources"), sources).unwrap();
    fs::write(parts.join("ignored.disabled"), "garbage").unwrap();
    fs::write(
        parts.join("other.list"),
        "deb [arch=none] http://no.invalid/ stable main\ndeb http://three.invalid s main\n",
    )
    .unwrap();
    let found = DebianSources::from_apt(root.path()).unwrap().repositories;
    let short: Vec<_> = found.iter().map(|r| (r.uri.as_str(), r.suite.as_str(), r.components.join(" "))).collect();
    let expected = [
        ("http://one.invalid/debian", "stable", "main contrib"),
        ("http://flat.invalid", "./", ""),
        ("http://three.invalid", "s", "main"),
        ("http://two.invalid/debian", "a", "main"),
        ("http://two.invalid/debian", "a-updates", "main"),
    ];
    assert_eq!(short, expected.map(|(uri, suite, components)| (uri, suite, components.to_owned())));
    assert_eq!(found[0].keys, Keys::Files(vec![root.path().join("usr/share/k.gpg")]));
    assert!(found[1].trusted && !found[1].check_valid_until && !found[0].trusted);
    assert_eq!(found[2].keys, Keys::Files(vec![root.path().join("etc/apt/trusted.gpg.d/a.gpg")]));
    assert!(matches!(&found[3].keys, Keys::Inline(text) if text.contains("\n\nabc\n")));
}

#[test]
fn configuration_errors_name_file_and_line() {
    let root = tempfile::tempdir().unwrap();
    let err = DebianSources::from_apt(root.path()).unwrap_err();
    assert!(err.to_string().contains("no Debian mirror") && err.hint().unwrap().contains("--mirror"));
    fs::create_dir_all(root.path().join("etc/apt")).unwrap();
    fs::write(root.path().join("etc/apt/sources.list"), "\nrpm http://x.invalid s main\n").unwrap();
    let err = DebianSources::from_apt(root.path()).unwrap_err();
    assert!(err.to_string().contains("sources.list:2:"), "{err}");
}
