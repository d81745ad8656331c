//! Realisations, their text that is signed, and what is refused.

use nopal_format::json::Json;
use nopal_format::realisation::RealisationError;
use nopal_format::signature::SecretKey;
use nopal_format::{DrvOutput, Realisation};

const ID: &str = "sha256:15e3c560894cbb27085cf65b5a2ecb18488c999497f4531b6907a7581ce6d527!out";
const PATH: &str = "g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo";

#[test]
fn there_and_back() {
    let mut realisation = Realisation::new(ID.parse().unwrap(), PATH.parse().unwrap());
    let unsigned = format!(r#"{{"dependentRealisations":{{}},"id":"{ID}","outPath":"{PATH}"}}"#);
    assert_eq!(realisation.fingerprint(), unsigned);
    let key = SecretKey::from_seed("key", &[3; 32]);
    realisation.sign(&key);
    // signatures are not signed
    assert_eq!(realisation.fingerprint(), unsigned);
    assert_eq!(realisation.count_valid_signatures(&[key.public_key()]), 1);
    let other = SecretKey::from_seed("key", &[4; 32]).public_key();
    assert_eq!(realisation.count_valid_signatures(&[other]), 0);
    let json = realisation.to_json();
    assert_eq!(Realisation::from_json(&Json::parse(&json.to_compact()).unwrap()).unwrap(), realisation);
}

#[test]
fn what_is_none_is_refused() {
    assert_eq!("sha256".parse::<DrvOutput>(), Err(RealisationError::Id { id: "sha256".to_owned() }));
    for id in ["!out", "sha256:0!out", "sha257:15e3!out"] {
        assert!(matches!(id.parse::<DrvOutput>(), Err(RealisationError::Hash { .. })), "{id}");
    }
    for json in [
        "{}".to_owned(),
        format!(r#"{{"id":"{ID}"}}"#),
        format!(r#"{{"id":"{ID}","outPath":"/nix/store/{PATH}"}}"#),
        format!(r#"{{"id":"{ID}","outPath":"{PATH}","signatures":["x"]}}"#),
    ] {
        assert!(Realisation::from_json(&Json::parse(&json).unwrap()).is_err(), "{json}");
    }
}
