//! Signature version 4, of the proxy's own requests and of what clients send.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use attest::Digest;
use attest::digest::to_hex;
use aws_lc_rs::hmac;

use crate::proxy::s3::address::encode;

/// A key pair of an account.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
}

/// What is signed.
#[derive(Debug)]
pub(super) struct Canonical<'a> {
    pub(super) method: &'a str,
    /// In its percent form.
    pub(super) path: &'a str,
    pub(super) query: &'a BTreeMap<String, String>,
    /// Lower-case names.
    pub(super) headers: &'a BTreeMap<String, String>,
    /// The SHA-256 of the body, or what stands for it.
    pub(super) payload: &'a str,
}

/// For when and where a signature counts.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// As in `20130524T000000Z`.
    pub(super) time: &'a str,
    pub(super) region: &'a str,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.id)
    }
}

impl Scope<'_> {
    fn day(&self) -> &str {
        self.time.split('T').next().unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.day(), self.region)
    }
}

impl Canonical<'_> {
    /// The value of `Authorization`.
    pub(super) fn authorization(&self, keys: &Keys, scope: &Scope<'_>) -> String {
        let names: Vec<&str> = self.headers.keys().map(String::as_str).collect();
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={}",
            keys.id,
            scope.text(),
            names.join(";"),
            to_hex(self.signature(keys, scope).as_ref()),
        )
    }

    /// Whether this is the signature.
    pub(super) fn is_signed(&self, keys: &Keys, scope: &Scope<'_>, signature: &[u8]) -> bool {
        let key = signing_key(keys, scope);
        hmac::verify(&key, self.to_sign(scope).as_bytes(), signature).is_ok()
    }

    fn signature(&self, keys: &Keys, scope: &Scope<'_>) -> hmac::Tag {
        hmac::sign(&signing_key(keys, scope), self.to_sign(scope).as_bytes())
    }

    fn to_sign(&self, scope: &Scope<'_>) -> String {
        let hash = Digest::sha256(self.text().as_bytes()).hex();
        format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", scope.time, scope.text())
    }

    fn text(&self) -> String {
        let pair =
            |(word, value): (&String, &String)| format!("{}={}", encode(word, false), encode(value, false));
        let mut query: Vec<String> = self.query.iter().map(pair).collect();
        query.sort();
        let mut text = format!("{}\n{}\n{}\n", self.method, self.path, query.join("&"));
        for (name, value) in self.headers {
            let value: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
            writeln!(text, "{name}:{}", value.join(" ")).ok();
        }
        let names: Vec<&str> = self.headers.keys().map(String::as_str).collect();
        text + "\n" + &names.join(";") + "\n" + self.payload
    }
}

fn signing_key(keys: &Keys, scope: &Scope<'_>) -> hmac::Key {
    let first = format!("AWS4{}", keys.secret).into_bytes();
    let steps = [scope.day(), scope.region, "s3", "aws4_request"];
    let key = steps.iter().fold(first, |key, step| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes()).as_ref().to_vec()
    });
    hmac::Key::new(hmac::HMAC_SHA256, &key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Canonical, Keys, Scope};

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// The examples of Amazon's "Authenticating Requests: Using the Authorization Header".
    #[test]
    fn amazons_own_examples_have_their_signatures() {
        let keys = Keys {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        let scope = Scope { time: "20130524T000000Z", region: "us-east-1" };
        let always = [("host", "examplebucket.s3.amazonaws.com"), ("x-amz-date", "20130524T000000Z")];
        let put = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let put_headers =
            [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        let examples: [(&str, &str, &[(&str, &str)], &[(&str, &str)], &str, &str); 4] = [
            (
                "GET",
                "/test.txt",
                &[],
                &[("range", "bytes=0-9")],
                EMPTY,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT",
                "/test%24file.text",
                &[],
                &put_headers,
                put,
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET",
                "/",
                &[("lifecycle", "")],
                &[],
                EMPTY,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "/",
                &[("max-keys", "2"), ("prefix", "J")],
                &[],
                EMPTY,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (method, path, query, more, payload, signature) in examples {
            let mut headers = map(&always);
            headers.extend(map(more));
            headers.extend(map(&[("x-amz-content-sha256", payload)]));
            let query = map(query);
            let canonical = Canonical { method, path, query: &query, headers: &headers, payload };
            assert!(
                canonical.authorization(&keys, &scope).ends_with(&format!("Signature={signature}")),
                "{path}"
            );
            assert!(canonical.is_signed(&keys, &scope, &attest::digest::parse_hex(signature).unwrap()));
            let other = Canonical { method: "DELETE", ..canonical };
            assert!(!other.is_signed(&keys, &scope, &attest::digest::parse_hex(signature).unwrap()));
        }
    }
}
