//! ASCII armor: one block and nothing around it. Its checksum is compared where there is one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::OpenPgpError;

/// What headers of armor are called. Others have no meaning that anybody could have agreed on.
const HEADERS: [&str; 5] = ["Version", "Comment", "MessageID", "Hash", "Charset"];
/// The most characters on one line.
const LINE: usize = 256;
/// The characters on a line that is written.
const WRITTEN: usize = 64;

/// The bytes of the one block of this kind that `text` consists of.
pub(super) fn decode(text: &str, kind: &str) -> Result<Vec<u8>, OpenPgpError> {
    let wanted = OpenPgpError::Malformed;
    let mut lines =
        text.trim_end_matches(['\n', '\r']).split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
    if lines.next() != Some(&format!("-----BEGIN PGP {kind}-----")) {
        return Err(wanted("the line that begins the armor first"));
    }
    loop {
        match lines.next() {
            Some("") => break,
            Some(line) if is_header(line) => {}
            _ => return Err(wanted("known headers and an empty line in the armor")),
        }
    }
    let (mut body, mut checksum) = (String::new(), None);
    let last = format!("-----END PGP {kind}-----");
    for line in lines.by_ref() {
        if line == last {
            break;
        }
        if checksum.is_some() || line.is_empty() || line.len() > LINE || !line.is_ascii() {
            return Err(wanted("short lines of base64, then one checksum, then the end of the armor"));
        }
        match line.strip_prefix('=') {
            Some(sum) => checksum = Some(sum),
            None => body.push_str(line),
        }
    }
    if lines.next().is_some() || !text.trim_end_matches(['\n', '\r']).ends_with(&last) {
        return Err(wanted("nothing after the end of the armor"));
    }
    let bytes = STANDARD.decode(body).map_err(|_| wanted("base64 in the armor"))?;
    match checksum {
        Some(sum) if STANDARD.decode(sum).ok().as_deref() != Some(&crc24(&bytes)) => {
            Err(wanted("the checksum of the armor's bytes"))
        }
        _ => Ok(bytes),
    }
}

fn is_header(line: &str) -> bool {
    let known = |(name, value): (&str, &str)| HEADERS.contains(&name) && !value.contains(char::is_control);
    line.len() <= LINE && line.split_once(": ").is_some_and(known)
}

/// The one block of this kind with these bytes, and its checksum.
pub(super) fn encode(bytes: &[u8], kind: &str) -> String {
    let mut out = format!("-----BEGIN PGP {kind}-----\n\n");
    for line in STANDARD.encode(bytes).as_bytes().chunks(WRITTEN) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("={}\n-----END PGP {kind}-----\n", STANDARD.encode(crc24(bytes))));
    out
}

/// RFC 4880, section 6.1.
fn crc24(bytes: &[u8]) -> [u8; 3] {
    let mut crc = 0x00b7_04ce_u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    let [_, a, b, c] = crc.to_be_bytes();
    [a, b, c]
}
