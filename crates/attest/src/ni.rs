//! RFC 6920 names: `ni:///sha-256;…`, the subject of the chapter's JWT.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest::{Algorithm, Digest};

/// The digest that a name carries. The authority and the query are no part of the comparison (RFC 6920, section 2);
/// truncated suites (`sha-256-128` and shorter) are refused: they name too many things.
#[must_use]
pub fn parse(uri: &str) -> Option<Digest> {
    let rest = uri.strip_prefix("ni://")?;
    let (_authority, path) = rest.split_once('/')?;
    let path = path.split('?').next()?;
    let (suite, value) = path.split_once(';')?;
    let algorithm = match suite {
        "sha-256" => Algorithm::Sha256,
        "sha-384" => Algorithm::Sha384,
        "sha-512" => Algorithm::Sha512,
        _ => return None,
    };
    Digest::from_bytes(algorithm, URL_SAFE_NO_PAD.decode(value).ok()?).ok()
}

/// The name of a SHA-2 digest; nothing for git ids.
#[must_use]
pub fn write(digest: &Digest) -> Option<String> {
    let suite = match digest.algorithm() {
        Algorithm::Sha256 => "sha-256",
        Algorithm::Sha384 => "sha-384",
        Algorithm::Sha512 => "sha-512",
        Algorithm::GitCommit | Algorithm::GitTree => return None,
    };
    Some(format!("ni:///{suite};{}", URL_SAFE_NO_PAD.encode(digest.bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_rfc_6920_section_8_1() {
        let hello = Digest::sha256(b"Hello World!");
        let name = "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk";
        assert_eq!(parse(name), Some(hello.clone()));
        assert_eq!(write(&hello).as_deref(), Some(name));
        assert_eq!(
            parse("ni://example.com/sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk?ct=text/plain"),
            Some(hello)
        );
    }

    #[test]
    fn short_and_padded_and_unknown_names_are_refused() {
        for bad in [
            "ni:///sha-256-32;f4OxZQ",
            "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk=",
            "ni:///sha-256;f4OxZX",
            "nih:sha-256;7f83b165",
            "ni:sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
