//! Text that is signed and stays readable. What is given out is exactly what is hashed: without the dashes that protect
//! lines, and without white space at the ends of lines, which the signature does not cover.

use super::signature::{Kind, Signature};
use super::{OpenPgpError, SIGNED_MESSAGE};
use crate::key::PublicKey;

const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
/// The largest text that is read, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// The longest line, in bytes: others cut longer ones, and then read something else.
const MAX_LINE: usize = 16 << 10;

/// A clear-signed text, parsed. It proves nothing until a key verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearSigned {
    /// Lines joined by line feeds, the last without one.
    text: String,
    signature: Signature,
}

impl ClearSigned {
    /// Parses one text with one signature, and nothing around them.
    ///
    /// # Errors
    /// [`OpenPgpError`] for anything else, and for what is refused by name.
    pub fn parse(bytes: &[u8]) -> Result<Self, OpenPgpError> {
        let wanted = OpenPgpError::Malformed;
        if bytes.len() > MAX_BYTES {
            return Err(wanted("a clear-signed text of 4 MiB at most"));
        }
        let all = std::str::from_utf8(bytes).map_err(|_| wanted("UTF-8 in a clear-signed text"))?;
        let (signed, rest) = all.split_once('\n').ok_or(wanted("lines"))?;
        if without_return(signed) != SIGNED_MESSAGE {
            return Err(wanted("the line that begins a clear-signed text first"));
        }
        let (hash, mut rest) = read_header(rest)?;
        let mut lines = Vec::new();
        let armored = loop {
            if rest.starts_with(SIGNATURE) {
                break rest;
            }
            let (line, after) = rest.split_once('\n').ok_or(wanted("a signature after the text"))?;
            lines.push(canonical(line)?);
            rest = after;
        };
        if lines.is_empty() {
            return Err(wanted("a text"));
        }
        let signature = Signature::from_armor(armored)?;
        if hash != signature.hash().name() {
            return Err(wanted("the hash of the signature in the header `Hash`"));
        }
        Ok(Self { text: lines.join("\n"), signature })
    }

    /// Parses one whose signature does not end: what is kept with a case must open like the first time.
    ///
    /// # Errors
    /// [`OpenPgpError`] as [`Self::parse`], and [`OpenPgpError::Expired`] for a signature that ends at some time.
    pub fn parse_lasting(bytes: &[u8]) -> Result<Self, OpenPgpError> {
        let text = Self::parse(bytes)?;
        match text.signature.expires() {
            Some(until) => Err(OpenPgpError::Expired(until)),
            None => Ok(text),
        }
    }

    /// The text as it is signed: lines end with a line feed, the last one with none.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Verifies it under a key.
    ///
    /// # Errors
    /// [`OpenPgpError`] where it is not this key's signature over this text.
    pub fn verify(&self, key: &PublicKey) -> Result<(), OpenPgpError> {
        self.signature.verify(key, Kind::Text, &[self.text.replace('\n', "\r\n").as_bytes()])
    }
}

/// A text as it is signed, and as it stands before its signature. Only what can be read back whole is signed: white space at
/// ends of lines is in no signature, and neither is the last line's end.
pub(super) fn write(bytes: &[u8], hash: &str) -> Result<(Vec<u8>, String), &'static str> {
    if bytes.len() > MAX_BYTES {
        return Err("a text of 4 MiB at most");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "UTF-8")?;
    let body = text.strip_suffix('\n').ok_or("a text whose last line ends")?;
    let mut shown = format!("{SIGNED_MESSAGE}\nHash: {hash}\n\n");
    for line in body.split('\n') {
        let bare = line.trim_end_matches([' ', '\t', '\r']);
        if bare != line || line.len() > MAX_LINE || line.contains(['\r', '\0']) {
            return Err("lines of 16 KiB at most without NUL, carriage return, or white space at their ends");
        }
        if line.starts_with('-') {
            shown.push_str("- ");
        }
        shown.push_str(line);
        shown.push('\n');
    }
    Ok((body.replace('\n', "\r\n").into_bytes(), shown))
}

/// The hash that the one header names, and what comes after it. Another header is not signed and means nothing.
fn read_header(text: &str) -> Result<(&str, &str), OpenPgpError> {
    let header = || {
        let (line, rest) = text.split_once('\n')?;
        let hash = without_return(line).strip_prefix("Hash: ")?;
        let (empty, rest) = rest.split_once('\n')?;
        without_return(empty).is_empty().then_some((hash, rest))
    };
    header().ok_or(OpenPgpError::Malformed("one header `Hash` and an empty line before a clear-signed text"))
}

/// A line as it is hashed.
fn canonical(line: &str) -> Result<&str, OpenPgpError> {
    let line = match line.strip_prefix("- ") {
        Some(unescaped) => unescaped,
        None if line.starts_with('-') => {
            return Err(OpenPgpError::Malformed("lines that begin with a dash to be protected by another"));
        }
        None => line,
    };
    let line = line.trim_end_matches([' ', '\t', '\r']);
    if line.len() > MAX_LINE || line.contains(['\r', '\0']) {
        return Err(OpenPgpError::Malformed("lines of 16 KiB at most, without NUL or carriage return"));
    }
    Ok(line)
}

fn without_return(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}
