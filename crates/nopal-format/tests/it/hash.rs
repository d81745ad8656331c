use nopal_format::hash::{Hash, HashAlgorithm, HashEncoding, HashError, Hasher, sha256};
use nopal_format::nix32;

use crate::data;

/// Every row is a text that Nix was asked to convert, and what came out.
#[test]
fn reads_and_prints_hashes_as_nix() {
    let mut failures = Vec::new();
    for row in data("hashes.tsv").lines() {
        let columns: Vec<&str> = row.split('\t').collect();
        let expected = (columns[1] != "-").then(|| columns[1].parse().unwrap());
        let found = Hash::parse_any(columns[0], expected);
        match (&found, &columns[2..]) {
            (Err(_), ["reject"]) => {}
            (Ok(hash), [base16, nix32, base64, sri])
                if [hash.base16(), hash.nix32(), hash.base64(), hash.sri()]
                    == [*base16, *nix32, *base64, *sri].map(String::from) => {}
            _ => failures.push(format!("{row}: {found:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn names_what_is_wrong_with_a_hash() {
    let zeros = "0".repeat(52);
    assert_eq!(Hash::parse_any(&zeros, None), Err(HashError::NoAlgorithm { text: zeros.clone() }));
    let text = format!("md5:{zeros}");
    let error = Hash::parse_any(&text, Some(HashAlgorithm::Sha256)).unwrap_err();
    assert_eq!(error.to_string(), format!("hash '{text}' should have type 'sha256'"));
    let error = "sha3:00".parse::<Hash>().unwrap_err().to_string();
    assert_eq!(error, "unknown hash algorithm 'sha3', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'");
    let error = Hash::parse_any("sha256:00", None).unwrap_err().to_string();
    assert_eq!(error, "hash '00' has wrong length for hash algorithm 'sha256'");
    assert!("".parse::<Hash>().is_err());
    assert!("base32".parse::<HashEncoding>().is_ok());
    assert!("base33".parse::<HashEncoding>().is_err());
}

#[test]
fn hashes_in_pieces_as_at_once() {
    let data: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    for algorithm in HashAlgorithm::ALL {
        let mut hasher = Hasher::new(algorithm);
        for piece in data.chunks(77) {
            hasher.update(piece);
        }
        assert_eq!(hasher.length(), 10_000);
        assert_eq!(hasher.finish(), Hash::of(algorithm, &data));
    }
    assert_eq!(sha256(b"abc").base16(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(
        Hash::of(HashAlgorithm::Blake3, b"").base16(),
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
}

#[test]
fn base32_refuses_padding_bits_and_foreign_digits() {
    assert_eq!(nix32::decode(b"0z"), Ok(vec![0x1f]));
    assert_eq!(nix32::decode(b"8z"), Err(nix32::Nix32Error::Padding));
    assert_eq!(nix32::decode(b"0e"), Err(nix32::Nix32Error::Digit { character: b'e', position: 1 }));
    assert!(matches!(nix32::decode(b"0"), Err(nix32::Nix32Error::Length { .. })));
    assert_eq!(nix32::decode(b""), Ok(Vec::new()));
}
