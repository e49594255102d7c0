//! Digests and digest sets.
//!
//! md5 and sha1 never decide anything; git object ids do, because git gives no other name for a commit and its
//! SHA-1 detects collisions. Refuses upper-case hex and wrong lengths: one digest has one spelling.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest as hash;

use crate::json::{Json, Object, ShapeError};

/// The algorithms whose agreement means that two artifacts are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256 of the bytes.
    Sha256,
    /// SHA-384 of the bytes.
    Sha384,
    /// SHA-512 of the bytes.
    Sha512,
    /// A git commit id.
    GitCommit,
    /// A git tree id.
    GitTree,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Sha256, Self::Sha384, Self::Sha512, Self::GitCommit, Self::GitTree];

    /// The name in a digest set.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::GitCommit => "gitCommit",
            Self::GitTree => "gitTree",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    fn has_length(self, bytes: usize) -> bool {
        match self {
            Self::Sha256 => bytes == 32,
            Self::Sha384 => bytes == 48,
            Self::Sha512 => bytes == 64,
            Self::GitCommit | Self::GitTree => bytes == 20 || bytes == 32,
        }
    }
}

/// An accepted algorithm and the value under it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl Digest {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self { algorithm: Algorithm::Sha256, bytes: hash::digest(&hash::SHA256, bytes).as_ref().to_vec() }
    }

    /// Parses `sha256:HEX` and the like.
    ///
    /// # Errors
    /// [`DigestError`] for an algorithm that does not decide, or a value of the wrong length or spelling.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let (name, value) = text.split_once(':').ok_or(DigestError::NoColon)?;
        let algorithm =
            Algorithm::parse(name).ok_or_else(|| DigestError::UnknownAlgorithm(name.to_owned()))?;
        Self::from_hex(algorithm, value)
    }

    /// Parses the hex value of a known algorithm.
    ///
    /// # Errors
    /// [`DigestError`] for a value of the wrong length or spelling.
    pub fn from_hex(algorithm: Algorithm, value: &str) -> Result<Self, DigestError> {
        let bytes = parse_hex(value).ok_or(DigestError::NotLowerHex)?;
        Self::from_bytes(algorithm, bytes)
    }

    /// Takes raw bytes of a known algorithm.
    ///
    /// # Errors
    /// [`DigestError`] for the wrong length.
    pub fn from_bytes(algorithm: Algorithm, bytes: Vec<u8>) -> Result<Self, DigestError> {
        if !algorithm.has_length(bytes.len()) {
            return Err(DigestError::WrongLength { algorithm, bytes: bytes.len() });
        }
        Ok(Self { algorithm, bytes })
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The value in hex.
    #[must_use]
    pub fn hex(&self) -> String {
        to_hex(&self.bytes)
    }

    /// The value in bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first and last four digits of the value, for a line that people read.
    #[must_use]
    pub fn short(&self) -> String {
        let hex = self.hex();
        let (head, tail) = (hex.get(..4).unwrap_or_default(), hex.get(hex.len() - 4..).unwrap_or_default());
        format!("{}:{head}…{tail}", self.algorithm.name())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DigestError {
    /// No `algorithm:value`.
    NoColon,
    /// Not one of the algorithms that decide.
    UnknownAlgorithm(String),
    /// Not lower-case hex.
    NotLowerHex,
    /// Another length than the algorithm has.
    WrongLength {
        /// The algorithm named.
        algorithm: Algorithm,
        /// The bytes found.
        bytes: usize,
    },
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon => f.write_str("a digest is written algorithm:hex, as in sha256:9f3c…"),
            Self::UnknownAlgorithm(name) => write!(f, "`{name}` is no digest algorithm that decides"),
            Self::NotLowerHex => f.write_str("a digest is written in lower-case hex"),
            Self::WrongLength { algorithm, bytes } => {
                write!(f, "{} has another length than {bytes} bytes", algorithm.name())
            }
        }
    }
}

impl std::error::Error for DigestError {}

/// The digests of one thing under several algorithms.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DigestSet(BTreeMap<Algorithm, Vec<u8>>);

/// How two digest sets relate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Every algorithm that both sides have agrees, and there is at least one.
    Same,
    /// An algorithm that both sides have differs.
    Differs(Algorithm),
    /// No accepted algorithm stands on both sides.
    NothingInCommon,
}

impl DigestSet {
    /// Reads an in-toto digest set. Unknown algorithms, md5 and sha1 among them, are left out.
    ///
    /// # Errors
    /// [`ShapeError`] where an accepted algorithm has a malformed value.
    pub fn read(object: &Object) -> Result<Self, ShapeError> {
        let mut set = BTreeMap::new();
        for (name, value) in object.iter() {
            let text = value.as_str().map_err(|e| e.within(name))?;
            if let Some(algorithm) = Algorithm::parse(name) {
                let digest = Digest::from_hex(algorithm, text)
                    .map_err(|e| ShapeError::new(name, "a lower-case hex digest", &e.to_string()))?;
                set.insert(algorithm, digest.bytes);
            }
        }
        Ok(Self(set))
    }

    /// Whether no accepted algorithm is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digest under one algorithm.
    #[must_use]
    pub fn get(&self, algorithm: Algorithm) -> Option<Digest> {
        self.0.get(&algorithm).map(|bytes| Digest { algorithm, bytes: bytes.clone() })
    }

    /// The digest to show a person: the first in the order of [`Algorithm`].
    #[must_use]
    pub fn first(&self) -> Option<Digest> {
        self.iter().next()
    }

    /// All digests.
    pub fn iter(&self) -> impl Iterator<Item = Digest> {
        self.0.iter().map(|(algorithm, bytes)| Digest { algorithm: *algorithm, bytes: bytes.clone() })
    }

    /// Whether the two sets name the same thing. *All* accepted algorithms on both sides must agree: with "any",
    /// `{sha256: right, sha512: wrong}` would match.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> Agreement {
        let mut common = false;
        for (algorithm, bytes) in &self.0 {
            match other.0.get(algorithm) {
                Some(theirs) if theirs == bytes => common = true,
                Some(_) => return Agreement::Differs(*algorithm),
                None => {}
            }
        }
        if common { Agreement::Same } else { Agreement::NothingInCommon }
    }

    /// The in-toto form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::Object(self.iter().map(|d| (d.algorithm.name().to_owned(), Json::String(d.hex()))).collect())
    }
}

impl FromIterator<Digest> for DigestSet {
    fn from_iter<T: IntoIterator<Item = Digest>>(digests: T) -> Self {
        Self(digests.into_iter().map(|d| (d.algorithm, d.bytes)).collect())
    }
}

impl From<Digest> for DigestSet {
    fn from(digest: Digest) -> Self {
        std::iter::once(digest).collect()
    }
}

/// A running hash over bytes that arrive in pieces, under every algorithm asked for.
pub struct Hasher(Vec<(Algorithm, hash::Context)>);

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// A hash that yields SHA-256, and the SHA-2 algorithms asked for beside it.
    #[must_use]
    pub fn new(also: &[Algorithm]) -> Self {
        let mut contexts = vec![(Algorithm::Sha256, hash::Context::new(&hash::SHA256))];
        for algorithm in also {
            match algorithm {
                Algorithm::Sha384 => contexts.push((*algorithm, hash::Context::new(&hash::SHA384))),
                Algorithm::Sha512 => contexts.push((*algorithm, hash::Context::new(&hash::SHA512))),
                Algorithm::Sha256 | Algorithm::GitCommit | Algorithm::GitTree => {}
            }
        }
        Self(contexts)
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        for (_, context) in &mut self.0 {
            context.update(bytes);
        }
    }

    /// The digests of everything taken.
    #[must_use]
    pub fn finish(self) -> DigestSet {
        let done = |(algorithm, context): (Algorithm, hash::Context)| Digest {
            algorithm,
            bytes: context.finish().as_ref().to_vec(),
        };
        self.0.into_iter().map(done).collect()
    }
}

/// Lower-case hex of `bytes`.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' - 10 + n });
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        hex.push(digit(byte >> 4));
        hex.push(digit(byte & 15));
    }
    hex
}

/// The bytes of lower-case hex; nothing for any other text.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    // a list that is collected behind an `Option` does not know how long it will be, and grows step by step
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.as_bytes().chunks_exact(2) {
        bytes.push(digit(*pair.first()?)? << 4 | digit(*pair.last()?)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> DigestSet {
        let object = pairs.iter().map(|(k, v)| ((*k).to_owned(), Json::from(*v))).collect();
        DigestSet::read(&object).unwrap()
    }

    #[test]
    fn every_common_algorithm_must_agree() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let (a512, b512) = ("a".repeat(128), "b".repeat(128));
        let ours = set(&[("sha256", &a), ("sha512", &a512)]);
        assert_eq!(ours.agrees(&set(&[("sha256", &a)])), Agreement::Same);
        assert_eq!(
            ours.agrees(&set(&[("sha256", &a), ("sha512", &b512)])),
            Agreement::Differs(Algorithm::Sha512)
        );
        assert_eq!(ours.agrees(&set(&[("sha256", &b)])), Agreement::Differs(Algorithm::Sha256));
    }

    #[test]
    fn md5_and_sha1_never_decide() {
        let weak = set(&[("md5", &"a".repeat(32)), ("sha1", &"a".repeat(40))]);
        assert!(weak.is_empty());
        assert_eq!(weak.agrees(&weak.clone()), Agreement::NothingInCommon);
    }

    #[test]
    fn one_digest_has_one_spelling() {
        assert!(Digest::parse(&format!("sha256:{}", "a".repeat(64))).is_ok());
        for bad in ["A", "a"] {
            let length = if bad == "A" { 64 } else { 63 };
            assert!(Digest::parse(&format!("sha256:{}", bad.repeat(length))).is_err());
        }
        assert!(matches!(Digest::parse("md5:aa"), Err(DigestError::UnknownAlgorithm(_))));
    }
}
