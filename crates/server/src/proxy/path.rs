//! One spelling for each path. Two spellings of one thing would be two names for the rules, and one for the upstream.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::proxy::head::{Unclear, unclear};

const LONGEST: usize = 4096;

/// The one spelling of a path, and its text. `slash` lets `%2F` stand inside of a segment, also in the text: there it is
/// no separator.
pub(crate) fn canonical(path: &str, slash: bool) -> Result<(String, String), Unclear> {
    let Some(inner) = path.strip_prefix('/') else { return Err(unclear("its path does not begin with /")) };
    if path.len() > LONGEST {
        return Err(unclear(format!("its path is longer than {LONGEST} bytes")));
    }
    let (mut spelled, mut text) = (String::new(), String::new());
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(unclear("`//` in its path"));
        }
        let segment = decode(segment, slash)?;
        spelled.push('/');
        text.push('/');
        spell(&segment, slash, &mut spelled);
        text.push_str(&segment);
    }
    Ok((spelled, text))
}

/// One segment without percent signs, where it can be read in one way.
fn decode(segment: &str, slash: bool) -> Result<String, Unclear> {
    let mut bytes = Vec::new();
    let mut left = segment.as_bytes();
    while let Some((first, rest)) = left.split_first() {
        let byte = match (first, rest) {
            (b'%', [high, low, further @ ..]) => {
                left = further;
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
                let (high, low) = (digit(high), digit(low));
                let byte = high.zip(low).map(|(high, low)| high << 4 | low);
                byte.ok_or_else(|| unclear("a `%` in its path without two digits behind it"))?
            }
            (b'%', _) => return Err(unclear("a `%` in its path without two digits behind it")),
            (b'\\', _) => return Err(unclear("a backslash in its path")),
            (byte, _) => {
                left = rest;
                bytes.push(*byte);
                continue;
            }
        };
        match byte {
            b'/' if slash => bytes.extend_from_slice(b"%2F"),
            b'/' | b'\\' => return Err(unclear("an encoded separator in its path")),
            // `%252F` would be text that looks like the `%2F` that may stand here
            b'%' if slash => return Err(unclear("what is encoded twice in its path")),
            byte => bytes.push(byte),
        }
    }
    let text = String::from_utf8(bytes).or(Err(unclear("its path is no UTF-8")))?;
    if text.chars().any(char::is_control) {
        return Err(unclear("a control character in its path"));
    }
    // for who decodes it all the same, each piece is a segment
    let mut pieces = text.split("%2F");
    // what stands behind `;` is a parameter for some servers, and taken off
    if pieces.any(|piece| matches!(piece.split(';').next(), Some("." | ".."))) {
        return Err(unclear("`.` or `..` in its path"));
    }
    if text.starts_with("%2F") || text.ends_with("%2F") || text.contains("%2F%2F") {
        return Err(unclear("`//` in its path"));
    }
    if is_encoded_twice(&text, slash) {
        return Err(unclear("what is encoded twice in its path"));
    }
    Ok(text)
}

/// Whether somebody who decodes once more would read something else.
fn is_encoded_twice(text: &str, slash: bool) -> bool {
    let windows = text.as_bytes().windows(3);
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
    windows.into_iter().any(|three| match three {
        [b'%', b'2', b'F'] if slash => false,
        [b'%', high, low] => is_hex(high) && is_hex(low),
        _ => false,
    })
}

/// `+` and `;` are spelled out: for some the one is a space, and what stands behind the other no part of the name.
fn spell(segment: &str, slash: bool, out: &mut String) {
    let mut rest = segment;
    if slash {
        while let Some((before, after)) = rest.split_once("%2F") {
            spell_plain(before, out);
            out.push_str("%2F");
            rest = after;
        }
    }
    spell_plain(rest, out);
}

fn spell_plain(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*,=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // writing to a string does not fail
            write!(out, "%{byte:02X}").ok();
        }
    }
}

/// A query that has one meaning: no name twice, and no separator but `&`.
pub(crate) fn query(query: Option<&str>) -> Result<(), Unclear> {
    let Some(query) = query else { return Ok(()) };
    if query.len() > LONGEST {
        return Err(unclear(format!("its query is longer than {LONGEST} bytes")));
    }
    if query.bytes().any(|byte| byte == b';' || !byte.is_ascii_graphic()) {
        return Err(unclear("a `;`, or what is no printable ASCII, in its query"));
    }
    let mut names = BTreeSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if [&name, &value].iter().any(|text| text.chars().any(|c| c.is_control() || c == '\u{fffd}')) {
            return Err(unclear("what is no text in its query"));
        }
        if !names.insert(name.into_owned()) {
            return Err(unclear("a parameter stands twice in its query"));
        }
    }
    let percents = query.split('%').skip(1);
    for behind in percents {
        if !behind.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)) {
            return Err(unclear("a `%` in its query without two digits behind it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_has_one_spelling() {
        for (path, spelled, text) in [
            ("/", "/", "/"),
            ("/a/b", "/a/b", "/a/b"),
            ("/%61/%7e", "/a/~", "/a/~"),
            ("/a+b", "/a%2Bb", "/a+b"),
            ("/a%2bb", "/a%2Bb", "/a+b"),
            ("/a%20b/", "/a%20b/", "/a b/"),
            ("/sha256:aa/@x", "/sha256:aa/@x", "/sha256:aa/@x"),
            ("/%C3%A9", "/%C3%A9", "/é"),
            ("/é", "/%C3%A9", "/é"),
            ("/a...b/...", "/a...b/...", "/a...b/..."),
            ("/100%25", "/100%25", "/100%"),
        ] {
            assert_eq!(canonical(path, false), Ok((spelled.to_owned(), text.to_owned())), "{path}");
            assert_eq!(canonical(spelled, false).unwrap().0, spelled);
        }
        let npm = ("/@acme%2Fshop".to_owned(), "/@acme%2Fshop".to_owned());
        assert_eq!(canonical("/@acme%2fshop", true), Ok(npm));
    }

    #[test]
    fn what_has_two_meanings_has_none() {
        for path in [
            "",
            "*",
            "a",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/%2e%2e/b",
            "/.%2E/b",
            "/..;/b",
            "/..;a=b/c",
            "/.;/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0ab",
            "/a%7f",
            "/%",
            "/%4",
            "/%zz",
            "/%252e%252e/a",
            "/a%252fb",
            "/%ff",
            "/%c0%ae",
            "/a%C2%85b",
        ] {
            assert!(canonical(path, false).is_err(), "{path}");
        }
        for path in ["/..%2Fa/%2E%2E/b", "/a%252Fb/..", "/@a%2Fb//c", "/%2F%5c"] {
            assert!(canonical(path, true).is_err(), "{path}");
        }
        for text in ["a=1&a=2", "a=1&%61=2", "a;b", "a=%", "a=%0a", "a=%ff", "a=é", "a&a"] {
            assert!(query(Some(text)).is_err(), "{text}");
        }
        for text in ["", "a", "a=1&b=2", "digest=sha256:aa", "digest=sha256%3Aaa&x=a+b"] {
            assert!(query(Some(text)).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_slash_in_a_segment_does_not_hide_dots() {
        for path in ["/..%2Fa", "/a%2F..", "/a%2F..%2Fb", "/%2F", "/a%2F%2Fb", "/a%2F.", "/a%252Fb"] {
            assert!(canonical(path, true).is_err(), "{path}");
        }
    }
}
