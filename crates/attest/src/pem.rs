//! PEM (RFC 7468): a label and base64 between two lines. Refuses anything but one block.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The label and the bytes of the one block in `text`; nothing where there is none, or more.
#[must_use]
pub fn decode(text: &str) -> Option<(&str, Vec<u8>)> {
    let body = text.trim().strip_prefix("-----BEGIN ")?;
    let (label, body) = body.split_once("-----")?;
    let (body, rest) = body.split_once("-----END ")?;
    let tail = rest.strip_prefix(label)?.strip_prefix("-----")?;
    if !tail.trim().is_empty() {
        return None;
    }
    let joined: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    Some((label, STANDARD.decode(joined).ok()?))
}

/// The PEM text of `bytes`.
#[must_use]
pub fn encode(label: &str, bytes: &[u8]) -> String {
    let base64 = STANDARD.encode(bytes);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
