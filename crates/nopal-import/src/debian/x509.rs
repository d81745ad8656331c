//! Just enough of X.509 to name certificates as OpenSSL looks them up: the hash of the subject.
//!
//! Facts: OpenSSL's `X509_NAME_hash`: SHA-1 over the canonical form of the subject, first four bytes as a little-endian
//! number. Canonical form: for each relative distinguished name its DER encoding with every text value as a UTF8String
//! in lower case (ASCII letters only), without white space at its ends and with runs of it as one space; the outer
//! SEQUENCE's own header is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nopal_format::{Hash, HashAlgorithm};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const BMP_STRING: u8 = 0x1e;
const UNIVERSAL_STRING: u8 = 0x1c;
const EXPLICIT_VERSION: u8 = 0xa0;

/// The DER bytes of the first certificate in a PEM text.
pub fn pem_certificate(pem: &str) -> Option<Vec<u8>> {
    let start = pem.find("-----BEGIN CERTIFICATE-----")? + "-----BEGIN CERTIFICATE-----".len();
    let end = start + pem[start..].find("-----END CERTIFICATE-----")?;
    let text: String = pem[start..end].chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(text).ok()
}

/// The hash of a certificate's subject, as in the names of the links in `/etc/ssl/certs`.
pub fn subject_hash(certificate: &[u8]) -> Option<u32> {
    let canonical = canonical_name(subject(certificate)?)?;
    let digest = Hash::of(HashAlgorithm::Sha1, &canonical);
    Some(u32::from_le_bytes(digest.bytes().get(..4)?.try_into().ok()?))
}

/// The contents of the subject's SEQUENCE.
fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let (tag, outer, _) = element(certificate)?;
    let (tag_inner, mut body, _) = element(outer)?;
    if tag != SEQUENCE || tag_inner != SEQUENCE {
        return None;
    }
    if body.first() == Some(&EXPLICIT_VERSION) {
        body = element(body)?.2;
    }
    // serial number, signature algorithm, issuer, validity, then the subject
    for _ in 0..4 {
        body = element(body)?.2;
    }
    let (tag, name, _) = element(body)?;
    (tag == SEQUENCE).then_some(name)
}

fn canonical_name(mut name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while !name.is_empty() {
        let (tag, mut set, rest) = element(name)?;
        if tag != SET {
            return None;
        }
        let mut attributes = Vec::new();
        while !set.is_empty() {
            let (tag, attribute, set_rest) = element(set)?;
            let (_, _, value) = element(attribute)?;
            let kind = &attribute[..attribute.len() - value.len()];
            let (value_tag, contents, _) = element(value)?;
            if tag != SEQUENCE {
                return None;
            }
            let canonical = match text(value_tag, contents) {
                Some(text) => wrap(UTF8_STRING, canonical_text(&text).as_bytes()),
                None => value.to_vec(),
            };
            attributes.push(wrap(SEQUENCE, &[kind, &canonical].concat()));
            set = set_rest;
        }
        // DER orders the members of a SET
        attributes.sort();
        out.extend_from_slice(&wrap(SET, &attributes.concat()));
        name = rest;
    }
    Some(out)
}

/// A value that is text, as Unicode.
fn text(tag: u8, contents: &[u8]) -> Option<String> {
    /// PrintableString, T61String, IA5String, VisibleString: one byte per character.
    const BYTE_STRINGS: [u8; 4] = [0x13, 0x14, 0x16, 0x1a];
    match tag {
        UTF8_STRING => String::from_utf8(contents.to_vec()).ok(),
        BMP_STRING => {
            let units = contents.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        UNIVERSAL_STRING => contents
            .chunks_exact(4)
            .map(|four| char::from_u32(u32::from_be_bytes([four[0], four[1], four[2], four[3]])))
            .collect(),
        tag if BYTE_STRINGS.contains(&tag) => Some(contents.iter().map(|byte| char::from(*byte)).collect()),
        _ => None,
    }
}

fn canonical_text(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_ascii_whitespace() || c == '\u{b}').filter(|word| !word.is_empty()).collect();
    words.join(" ").to_ascii_lowercase()
}

/// One DER element: tag, contents, what follows. Only single-byte tags occur here.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let count = length & 0x7f;
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, after) = rest.split_at_checked(count)?;
        length = digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit));
        rest = after;
    }
    let (contents, after) = rest.split_at_checked(length)?;
    Some((*tag, contents, after))
}

fn wrap(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match contents.len() {
        length @ 0..0x80 => out.push(length as u8),
        length => {
            let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(&digits);
        }
    }
    out.extend_from_slice(contents);
    out
}
