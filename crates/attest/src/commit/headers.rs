//! The headers of a git object: `name value`, where a line that begins with a space goes on with the value before.

use super::CommitError;

/// One header and the lines that it is made of.
pub(super) struct Header<'a> {
    pub(super) name: &'a str,
    /// The value; its lines joined by a line feed.
    pub(super) value: String,
    /// All its lines, with the line feeds that end them.
    pub(super) lines: &'a str,
}

/// The text of an object, or why it is none.
pub(super) fn text(bytes: &[u8]) -> Result<&str, CommitError> {
    if bytes.len() > super::MAX_BYTES {
        return Err(CommitError::TooLarge(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("wanted UTF-8"))?;
    if text.contains('\0') { Err(malformed("a NUL is in it")) } else { Ok(text) }
}

/// The headers, and the message after the empty line.
pub(super) fn split(text: &str) -> Result<(Vec<Header<'_>>, &str), CommitError> {
    let (head, message) =
        text.split_once("\n\n").ok_or_else(|| malformed("wanted an empty line after the headers"))?;
    // the line feed that ends the last header is the first of the two
    let head = text.get(..=head.len()).unwrap_or(head);
    let mut headers = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        let (header, after) = next(rest)?;
        if header.name != "mergetag"
            && headers.iter().any(|h: &Header<'_>| h.name == header.name && h.name != "parent")
        {
            return Err(malformed(&format!("the header `{}` is there twice", header.name)));
        }
        headers.push(header);
        rest = after;
    }
    Ok((headers, message))
}

fn next(text: &str) -> Result<(Header<'_>, &str), CommitError> {
    let mut end = text.find('\n').map_or(text.len(), |at| at + 1);
    while let Some(more) = text.get(end..).filter(|more| more.starts_with(' ')) {
        end += more.find('\n').map_or(more.len(), |at| at + 1);
    }
    let (lines, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let body = lines.strip_suffix('\n').unwrap_or(lines);
    let (name, value) =
        body.split_once(' ').ok_or_else(|| malformed("wanted `name value` in every header"))?;
    let is_name = |b: u8| b.is_ascii_graphic() && b != b':';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(malformed("a header without a name"));
    }
    Ok((Header { name, value: value.replace("\n ", "\n"), lines }, rest))
}

pub(super) fn malformed(why: &str) -> CommitError {
    CommitError::Malformed(why.to_owned())
}
