//! What a request is about: a bucket, a key, and the words behind the question mark, each read one way. What is sent on is
//! written from this, so that the store cannot read it another way.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The longest key that S3 takes.
const LONGEST_KEY: usize = 1024;
/// What some SDKs say for themselves, and sign.
const OPERATION: &str = "x-id";
/// Words of a presigned address: no part of what is asked.
const SIGNATURES: [&str; 10] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "Expires",
];

/// Where a request points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) bucket: String,
    /// Nothing where the bucket itself is meant.
    pub(super) key: String,
    /// Without signatures, and what SDKs say for themselves.
    pub(super) query: BTreeMap<String, String>,
    /// What an SDK said for itself.
    operation: Option<String>,
}

impl Address {
    /// Reads a path and a query as they came.
    pub(super) fn read(path: &str, query: &str) -> Result<Self, String> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let (bucket, key) = (decode(bucket)?, decode(key)?);
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(known)
            && !bucket.starts_with(['.', '-'])
            && !bucket.contains("..");
        if !bucket.is_empty() && !is_bucket {
            return Err(format!("{bucket:?} is no name of a bucket: 3 to 63 of a-z, 0-9, `-`, `.`, `_`"));
        }
        if bucket.is_empty() && !key.is_empty() {
            return Err("the path names a key and no bucket".to_owned());
        }
        if key.len() > LONGEST_KEY || key.chars().any(char::is_control) {
            return Err(format!("a key has at most {LONGEST_KEY} bytes, and no control characters"));
        }
        // a store that keeps objects as files would read these as other places
        let is_walk = |part: &str| matches!(part, "." | "..");
        if key.split('/').any(is_walk) || key.starts_with('/') || key.contains("//") || key.contains('\\') {
            return Err(
                "a key with `.`, `..`, nothing between two slashes, or `\\` does not go through here"
                    .to_owned(),
            );
        }
        let mut words = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (word, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (word, value) = (decode(&word.replace('+', " "))?, decode(&value.replace('+', " "))?);
            // nothing is sent of a word without a name and a value: the store would not see what was judged
            if word.is_empty() || words.insert(word.clone(), value).is_some() {
                return Err(format!("the address says {word:?} twice, or nothing before a `=`"));
            }
        }
        words.retain(|word, _| !SIGNATURES.contains(&word.as_str()));
        let operation = words.remove(OPERATION);
        Ok(Self { bucket, key, query: words, operation })
    }

    /// `BUCKET/KEY`, or `BUCKET`; each character that could be read as something else in its percent form.
    pub(super) fn name(&self) -> String {
        if self.key.is_empty() {
            self.bucket.clone()
        } else {
            format!("{}/{}", self.bucket, encode(&self.key, true))
        }
    }

    /// The one path for it.
    pub(super) fn path(&self) -> String {
        format!("/{}", self.name())
    }

    /// The same place, and nothing behind the question mark.
    pub(super) fn plain(&self) -> Self {
        Self { query: BTreeMap::new(), operation: None, ..self.clone() }
    }

    /// The words that a client signs.
    pub(super) fn signed_query(&self) -> BTreeMap<String, String> {
        let operation = self.operation.clone().map(|value| (OPERATION.to_owned(), value));
        self.query.clone().into_iter().chain(operation).collect()
    }

    /// Path and query as they are sent.
    pub(super) fn to_path_and_query(&self) -> String {
        let mut text = self.path();
        for (number, (word, value)) in self.query.iter().enumerate() {
            text.push(if number == 0 { '?' } else { '&' });
            text += &encode(word, false);
            if !value.is_empty() {
                text.push('=');
                text += &encode(value, false);
            }
        }
        text
    }
}

/// The percent form of all but letters, digits and `-._~`, and of slashes too unless they stay.
pub(super) fn encode(text: &str, keeps_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (byte == b'/' && keeps_slashes) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}

/// The text behind a percent form.
pub(super) fn decode(text: &str) -> Result<String, String> {
    let broken = || format!("{text:?} has a percent sign without two hexadecimal digits behind it");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next(), bytes.next()].map(|digit| char::from(digit.unwrap_or(b'?')).to_digit(16));
        let [Some(high), Some(low)] = digits else { return Err(broken()) };
        out.push(u8::try_from(high * 16 + low).or(Err(broken()))?);
    }
    String::from_utf8(out).or(Err(format!("{text:?} is no UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_has_one_form() {
        let read = |path, query| Address::read(path, query).map(|a| (a.name(), a.to_path_and_query()));
        let same = |text: &str| (text.to_owned(), format!("/{text}"));
        assert_eq!(read("/shop/%61/b%2Fc", ""), Ok(same("shop/a/b/c")));
        assert_eq!(read("/shop/a%3Facl", ""), Ok(same("shop/a%3Facl")));
        assert_eq!(read("/shop/a:b@sha256:c", ""), Ok(same("shop/a%3Ab%40sha256%3Ac")));
        assert_eq!(read("/shop", "X-Amz-Signature=a&acl"), Ok(("shop".into(), "/shop?acl".into())));
        assert_eq!(
            read("/shop", "prefix=a+b%2f&list-type=2").unwrap().1,
            "/shop?list-type=2&prefix=a%20b%2F"
        );
    }

    #[test]
    fn what_has_two_readings_is_no_address() {
        for (path, query) in [
            ("/shop/../other/a", ""),
            ("/shop/%2e%2e/a", ""),
            ("/shop//a", ""),
            ("/shop/a%2F%2Fb", ""),
            ("/shop/a\\b", ""),
            ("/shop/a%0d", ""),
            ("/shop/a%ff", ""),
            ("/shop/a%4", ""),
            ("/Shop%2Fa/b", ""),
            ("//a", ""),
            ("/shop/a", "acl&acl"),
            ("/shop/a", "acl&%61cl"),
            ("/shop/a", "="),
            ("/shop/a", "acl&=b"),
        ] {
            assert!(Address::read(path, query).is_err(), "{path} {query}");
        }
    }
}
