//! A repository in a directory, signed with a key of its own, reached by `file://`.

use std::fs;
use std::path::{Path, PathBuf};

use nopal_fetch::{FetchConfig, Fetcher};
use nopal_format::hash::sha256;
use nopal_import::debian::{DebianSources, LoadOptions, Loader, Refresh, SourceFlags};
use nopal_report::Reporter;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
};
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, Password, Timestamp};

/// The time at which everything happens: 2026-01-01 00:00:00 UTC.
pub(crate) const NOW_S: u64 = 1_767_225_600;

pub(crate) fn new_key() -> SignedSecretKey {
    let params = SecretKeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .created_at(Timestamp::from_secs(NOW_S as u32 - 1000))
        .primary_user_id("Test archive <test@example.invalid>".into())
        .build()
        .unwrap();
    params.generate(rand::thread_rng()).unwrap()
}

/// Signs as an archive does. `lifetime_s` makes the signature expire.
pub(crate) fn sign(key: &SignedSecretKey, text: &str, lifetime_s: Option<u32>) -> String {
    let mut config = SignatureConfig::from_key(rand::thread_rng(), &key.primary_key, SignatureType::Text).unwrap();
    let mut packets = vec![
        SubpacketData::SignatureCreationTime(Timestamp::from_secs(NOW_S as u32 - 500)),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
    ];
    if let Some(seconds) = lifetime_s {
        packets.push(SubpacketData::SignatureExpirationTime(pgp::types::Duration::from_secs(seconds)));
    }
    config.hashed_subpackets = packets.into_iter().map(|data| Subpacket::regular(data).unwrap()).collect();
    let message = CleartextSignedMessage::new(text, config, &key.primary_key, &Password::empty()).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

pub(crate) fn public_key(key: &SignedSecretKey) -> SignedPublicKey {
    SignedPublicKey::from(key.clone())
}

pub(crate) struct TestRepository {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) key: SignedSecretKey,
}

impl TestRepository {
    /// A repository with one suite `stable`, component `main`, for amd64.
    pub(crate) fn new(packages: &str) -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap(), key: new_key() };
        fs::create_dir_all(repository.suite_dir().join("main/binary-amd64")).unwrap();
        fs::write(repository.index_file(), packages).unwrap();
        let mut ring = Vec::new();
        public_key(&repository.key).to_writer(&mut ring).unwrap();
        fs::write(repository.keyring(), ring).unwrap();
        repository.release("", None);
        repository
    }

    pub(crate) fn suite_dir(&self) -> PathBuf {
        self.dir.path().join("archive/dists/stable")
    }

    pub(crate) fn index_file(&self) -> PathBuf {
        self.suite_dir().join("main/binary-amd64/Packages")
    }

    pub(crate) fn keyring(&self) -> PathBuf {
        self.dir.path().join("ring.gpg")
    }

    pub(crate) fn release_text(&self, extra: &str) -> String {
        let index = fs::read(self.index_file()).unwrap();
        format!(
            "Origin: Test\nLabel: Test Archive\nSuite: stable\nDate: Wed, 31 Dec 2025 23:00:00 UTC\n{extra}\
             Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            sha256(&index).base16(),
            index.len()
        )
    }

    /// Writes InRelease over the index as it is now.
    pub(crate) fn release(&self, extra: &str, lifetime_s: Option<u32>) {
        let text = self.release_text(extra);
        fs::write(self.suite_dir().join("InRelease"), sign(&self.key, &text, lifetime_s)).unwrap();
    }

    pub(crate) fn sources(&self, keyring: &Path) -> DebianSources {
        DebianSources::from_flags(&SourceFlags {
            mirrors: vec![format!("file://{}/archive", self.dir.path().display())],
            suites: vec!["stable".to_owned()],
            keyrings: vec![keyring.to_owned()],
            architecture: Some("amd64".to_owned()),
            ..SourceFlags::default()
        })
        .unwrap()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }
}

pub(crate) fn options() -> LoadOptions {
    LoadOptions { refresh: Refresh::Always, now_s: NOW_S, check_valid_until: true }
}

/// Calls `use_it` with a loader for the sources.
pub(crate) fn with_loader<T>(
    sources: &DebianSources,
    cache: &Path,
    options: &LoadOptions,
    use_it: impl FnOnce(&Loader<'_>) -> T,
) -> T {
    let reporter = Reporter::silent();
    let fetcher = Fetcher::new(FetchConfig::default(), reporter.clone()).unwrap();
    use_it(&Loader { sources, fetcher: &fetcher, cache_dir: cache, options, reporter: &reporter })
}
