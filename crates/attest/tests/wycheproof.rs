//! Project Wycheproof: no false accept, no crash, and no false reject but the documented ones.

mod data;

use attest::jwt::Jws;
use attest::key::PublicKey;
use attest::{Object, Scheme};
use data::{data, hex, json, jwk};

/// Runs one file of signatures; gives (accepted, rejected).
fn signatures(file: &str, scheme: Option<Scheme>) -> Option<(usize, usize)> {
    let doc = json(&data("wycheproof")?.join(file));
    let (mut accepted, mut rejected) = (0, 0);
    for group in doc.as_object().unwrap().array("testGroups").unwrap() {
        let group = group.as_object().unwrap();
        let key = PublicKey::from_spki(&hex(group.string("publicKeyDer").unwrap())).unwrap();
        let key = scheme.map_or(key.clone(), |s| key.with_scheme(s).unwrap());
        for test in group.array("tests").unwrap() {
            let test = test.as_object().unwrap();
            let text = |name| hex(test.string(name).unwrap());
            let is_ok = key.verify_der(&text("msg"), &text("sig")).is_ok();
            let id = test.int("tcId").unwrap();
            match test.string("result").unwrap() {
                "valid" => assert!(is_ok, "{file} {id}: a false reject"),
                "invalid" => assert!(!is_ok, "{file} {id}: a FALSE ACCEPT"),
                "acceptable" => {}
                other => panic!("{other}"),
            }
            if is_ok { accepted += 1 } else { rejected += 1 }
        }
    }
    Some((accepted, rejected))
}

#[test]
fn signatures_of_every_algorithm_are_judged_as_wycheproof_says() {
    for (file, scheme, expected) in [
        ("ecdsa_secp256r1_sha256_test.json", None, (87, 155)),
        ("ecdsa_secp384r1_sha384_test.json", None, (0, 0)),
        ("ed25519_test.json", None, (44, 32)),
        ("rsa_pss_2048_sha256_mgf1_32_test.json", None, (31, 23)),
        ("rsa_signature_2048_sha256_test.json", Some(Scheme::RsaPkcs1), (4, 125)),
        ("rsa_signature_3072_sha256_test.json", Some(Scheme::RsaPkcs1), (0, 0)),
        ("rsa_signature_4096_sha256_test.json", Some(Scheme::RsaPkcs1), (0, 0)),
    ] {
        let Some(counts) = signatures(file, scheme) else { return };
        assert!(counts.0 > 0 && counts.1 > 0, "{file} was really run");
        if expected != (0, 0) {
            assert_eq!(counts, expected, "{file}");
        }
    }
}

/// Why a valid token of the suite is not accepted, where it is not.
fn documented(key: &Object) -> Option<&'static str> {
    match key.string("kty").unwrap() {
        "oct" => Some("HMAC: a verifier that holds the key could forge"),
        _ => match key.optional_string("alg").unwrap() {
            Some("RS384" | "RS512" | "PS384" | "PS512" | "ES512") => Some("an algorithm outside of our list"),
            _ => None,
        },
    }
}

#[test]
fn tokens_are_judged_as_wycheproof_says() {
    let Some(dir) = data("wycheproof") else { return };
    let doc = json(&dir.join("json_web_signature_test.json"));
    let (mut accepted, mut rejected, mut left_out) = (0, 0, 0);
    for group in doc.as_object().unwrap().array("testGroups").unwrap() {
        let group = group.as_object().unwrap();
        let jwk_object =
            group.optional_object("public").unwrap().or(group.optional_object("private").unwrap()).unwrap();
        let key = jwk(jwk_object).map(|k| match jwk_object.optional_string("alg").unwrap() {
            Some("RS256") => k.with_scheme(Scheme::RsaPkcs1).unwrap(),
            _ => k,
        });
        // a JWK's `use` and `key_ops` have no counterpart: keys come from a reviewed trust root, as PEM
        let only_a_jwk_can_say =
            jwk_object.optional_string("use").unwrap() == Some("enc") || jwk_object.get("key_ops").is_some();
        for test in group.array("tests").unwrap() {
            let test = test.as_object().unwrap();
            let token = test.string("jws").unwrap();
            let is_ok = match (&key, Jws::parse(token)) {
                (Some(key), Some(jws)) => jws.verify(key).is_some(),
                _ => false,
            };
            let id = test.int("tcId").unwrap();
            match test.string("result").unwrap() {
                "valid" if documented(jwk_object).is_some() => {
                    assert!(!is_ok, "{id}");
                    left_out += 1;
                }
                "valid" => {
                    assert!(is_ok, "{id}: a false reject");
                    accepted += 1;
                }
                _ if only_a_jwk_can_say => left_out += 1,
                _ => {
                    assert!(!is_ok, "{id} {}: a FALSE ACCEPT", test.string("comment").unwrap());
                    rejected += 1;
                }
            }
        }
    }
    assert!(accepted >= 8 && rejected >= 150 && left_out <= 20, "{accepted} {rejected} {left_out}");
}
