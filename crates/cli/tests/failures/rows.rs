//! The rows that are about evidence, as cases. Each is named after its row of docs/failures.md.

use attest::claims::{RELEASE, Release};
use attest::provenance::{BUILD_TYPE, Provenance, SLSA_V1, Source};
use attest::{Json, Object, Signer as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::world::{
    Ask, CI, MET, RELEASER, STRANGER, WINDOWED, bundle, digest, entry, entry_at, secret, sign, statement,
};

const BUILT: &str = "  built-by: [ci]\n";
const SIGNED: &str = "  signed-by: [carol]\n";

pub fn ask(
    name: &str,
    require: &'static str,
    evidence: Vec<Vec<u8>>,
    rule: &'static str,
    says: &'static str,
) -> Ask {
    Ask { name: name.to_owned(), require, evidence, digest: digest(), rule, says }
}

fn provenance() -> String {
    let source = Source { repository: "https://git.example/shop".to_owned(), ..Source::default() };
    let provenance = Provenance {
        build_type: BUILD_TYPE.to_owned(),
        builder_id: "id:ci".to_owned(),
        source: Some(source),
        ..Provenance::default()
    };
    statement(SLSA_V1, provenance.to_slsa_v1())
}

fn release(version: &str) -> String {
    let release =
        Release { purl: format!("pkg:generic/shop@{version}"), environments: vec!["prod/shop".into()] };
    statement(RELEASE, release.to_json())
}

pub fn all() -> Vec<Ask> {
    [log_entries(), absence(), unreadable(), thresholds(), windows(), names(), bits(), tokens(), claims()]
        .concat_asks()
}

trait Concat {
    fn concat_asks(self) -> Vec<Ask>;
}
impl<const N: usize> Concat for [Vec<Ask>; N] {
    fn concat_asks(self) -> Vec<Ask> {
        self.into_iter().flatten().collect()
    }
}

/// Rows 1 to 3: log evidence of something else, whichever part was swapped.
fn log_entries() -> Vec<Ask> {
    let (good, other) = (sign(provenance().as_bytes(), &[CI]), sign(release("9").as_bytes(), &[STRANGER]));
    let says = "the log entry is about another signature";
    let swapped = |name: &str, from: String, to: String| {
        let entry = entry(&good, CI, |body| {
            assert!(body.contains(&from));
            body.replacen(&from, &to, 1)
        });
        ask(name, BUILT, vec![bundle(&good, &[entry])], "evidence-authentic", says)
    };
    let b64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let key = |seed: u8| b64(secret(seed).public().to_pem().as_bytes());
    vec![
        ask(
            "row-01-entry-of-another",
            BUILT,
            vec![bundle(&good, &[entry(&other, STRANGER, |b| b)])],
            "evidence-authentic",
            says,
        ),
        swapped("row-02-digest", digest_of(&good.payload), digest_of(&other.payload)),
        swapped("row-02-signature", b64(&good.signatures[0].bytes), b64(&other.signatures[0].bytes)),
        swapped("row-02-key", key(CI), key(STRANGER)),
        ask(
            "row-03-with-a-rule-that-reads-the-log",
            "  built-by: [ci]\n  logged: { log: builds, witnesses: 1 }\n",
            vec![bundle(&good, &[entry(&other, STRANGER, |b| b)])],
            "evidence-authentic",
            says,
        ),
    ]
}

fn digest_of(bytes: &[u8]) -> String {
    attest::Digest::sha256(bytes).hex()
}

/// Rows 4 and 5: nothing of the kind that is asked for is not a kind that holds.
fn absence() -> Vec<Ask> {
    let release = bundle(&sign(release("1").as_bytes(), &[RELEASER]), &[]);
    let built = bundle(&sign(provenance().as_bytes(), &[CI]), &[]);
    vec![
        ask("row-04-only-another-type", "  built-by: [ci]\n  tests: [unit]\n", vec![built], "tests", "unit"),
        ask("row-04-no-provenance", BUILT, vec![release], "built-by", "no provenance says how it was built"),
        ask("row-05-nothing", SIGNED, vec![], "signed-by", "no evidence about this artifact"),
    ]
}

/// Rows 6, 10, 21 and 49: what cannot be read is not what is absent.
fn unreadable() -> Vec<Ask> {
    let cut = |text: String| text[..text.len() - 9].to_owned();
    let as_bundle = |payload: &str| bundle(&sign(payload.as_bytes(), &[CI]), &[]);
    let as_dsse = |payload: &str| sign(payload.as_bytes(), &[CI]).to_json().to_string().into_bytes();
    let no_builder = statement(SLSA_V1, Object::new().with("buildDefinition", Object::new()));
    let empty = provenance().replacen(&digest().hex(), "", 1);
    let subject = r#"{"name":"x","digest":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}"#;
    let many = vec![subject; 5000].join(",");
    let many = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{many}],"predicateType":"https://example.com/x","predicate":{{}}}}"#
    );
    let deep = format!(r#"{{"payload":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let says = "its statement is malformed";
    let refused = |name, evidence: Vec<u8>| ask(name, BUILT, vec![evidence], "evidence-authentic", says);
    vec![
        refused("row-06-cut-in-a-bundle", as_bundle(&cut(provenance()))),
        refused("row-06-cut-in-dsse", as_dsse(&cut(provenance()))),
        refused("row-06-no-builder", as_bundle(&no_builder)),
        refused("row-06-no-digest", as_bundle(&empty)),
        refused("row-10-subjects", as_bundle(&many)),
        ask("row-21-dots", BUILT, vec![vec![b'.'; 200_000]], "evidence-readable", "JSON"),
        ask("row-49-depth", BUILT, vec![deep.into_bytes()], "evidence-readable", "deep"),
    ]
}

/// Rows 11, 13 and 35: what counts, and how often.
fn thresholds() -> Vec<Ask> {
    let good = sign(provenance().as_bytes(), &[CI]);
    let seen = entry(&good, CI, |body| body);
    let thrice = bundle(&good, &[seen.clone(), seen.clone(), seen]);
    let payload = release("1.0.0");
    let mut twice = sign(payload.as_bytes(), &[RELEASER]);
    let again = sign(payload.as_bytes(), &[RELEASER]).signatures.remove(0);
    twice.signatures.push(again);
    let quorum = "  signed-by: { at-least: 2, of: [carol, ci] }\n";
    vec![
        ask(
            "row-11-one-log-thrice",
            "  built-by: [ci]\n  logged: { log: builds, witnesses: 2 }\n",
            vec![thrice],
            "logged",
            "witness",
        ),
        ask("row-13-one-key-twice", quorum, vec![bundle(&twice, &[])], "signed-by", "signed by 1 of the 2"),
        ask(
            "row-35-old-version",
            "  built-by: [ci]\n  released-for: prod/shop\n  version: \">=2.0.0\"\n",
            vec![bundle(&good, &[]), bundle(&sign(payload.as_bytes(), &[RELEASER]), &[])],
            "version",
            "1.0.0",
        ),
    ]
}

/// Row 12: the time of a signature against both ends of its key's window, to the second.
fn windows() -> Vec<Ask> {
    let signed = sign(release("1.0.0").as_bytes(), &[WINDOWED]);
    let seen = |name: &str, seen: &str, rule: &'static str| {
        let evidence = bundle(&signed, &[entry_at(&signed, WINDOWED, seen, |body| body)]);
        ask(name, "  signed-by: [windowed]\n", vec![evidence], rule, "the key counts from")
    };
    vec![
        seen("row-12-second-before", "2025-12-31T23:59:59Z", "evidence-authentic"),
        seen("row-12-first-second", "2026-01-01T00:00:00Z", MET),
        seen("row-12-last-second", "2026-06-01T00:00:00Z", MET),
        seen("row-12-second-after", "2026-06-01T00:00:01Z", "evidence-authentic"),
    ]
}

/// Rows 30 and 33: good evidence that says somebody else made it, or is about something else.
fn names() -> Vec<Ask> {
    let made = |from: &str, to: &str| {
        let payload = provenance().replacen(from, to, 1);
        assert_ne!(payload, provenance());
        vec![bundle(&sign(payload.as_bytes(), &[CI]), &[])]
    };
    let other = attest::Digest::sha256(b"another").hex();
    vec![
        ask(
            "row-30-the-name-of-its-own",
            BUILT,
            vec![bundle(&sign(provenance().as_bytes(), &[CI]), &[])],
            MET,
            "",
        ),
        ask("row-30-the-name-of-another-builder", BUILT, made("id:ci", "id:other"), "built-by", "id:other"),
        ask(
            "row-33-another-digest",
            BUILT,
            made(&digest().hex(), &other),
            "evidence-applies",
            "applies to another artifact",
        ),
    ]
}

/// Row 31: a flipped bit anywhere in a signature, and each field of what was signed.
fn bits() -> Vec<Ask> {
    let says = "no signature on it verifies";
    let built = sign(provenance().as_bytes(), &[CI]);
    let edited = |(number, (from, to)): (usize, (&str, &str))| {
        let mut bad = built.clone();
        let text = String::from_utf8(bad.payload.clone()).unwrap();
        bad.payload = text.replacen(from, to, 1).into_bytes();
        assert_ne!(bad.payload, built.payload, "{from}");
        ask(&format!("row-31-field-{number}"), BUILT, vec![bundle(&bad, &[])], "evidence-authentic", says)
    };
    let fields = [("git.example", "evil.example"), ("id:ci", "id:CI"), ("v1", "v2"), ("shop", "shoq")];
    let fields = fields.into_iter().enumerate().map(edited).collect::<Vec<_>>();
    let good = sign(release("1").as_bytes(), &[RELEASER]);
    let flipped = |bit: usize| {
        let mut bad = good.clone();
        bad.signatures[0].bytes[bit / 8] ^= 1 << (bit % 8);
        ask(&format!("row-31-bit-{bit}"), SIGNED, vec![bundle(&bad, &[])], "evidence-authentic", says)
    };
    [0, 7, 63, 255, 256, 300, 504, 511].map(flipped).into_iter().chain(fields).collect()
}

/// Row 60: tokens that say how they want to be checked.
fn tokens() -> Vec<Ask> {
    let token = |header: &str, mac: Option<&[u8]>| {
        let claims = format!(
            r#"{{"sub":"ni:///sha-256;{}","iss":"id:ci"}}"#,
            URL_SAFE_NO_PAD.encode(digest().bytes())
        );
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = mac.map(|key| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
            URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref())
        });
        format!("{signed}.{}", signature.unwrap_or_default()).into_bytes()
    };
    let pem = secret(CI).public().to_pem();
    let refused =
        |name, token| ask(name, BUILT, vec![token], "evidence-authentic", "no signature on it verifies");
    vec![
        refused("row-60-alg-none", token(r#"{"alg":"none","typ":"provenance+jwt"}"#, None)),
        refused(
            "row-60-hmac-with-the-public-key",
            token(r#"{"alg":"HS256","typ":"provenance+jwt"}"#, Some(pem.as_bytes())),
        ),
        refused(
            "row-60-hmac-with-the-public-der",
            token(r#"{"alg":"HS256","typ":"provenance+jwt"}"#, Some(secret(CI).public().spki())),
        ),
        ask(
            "row-60-critical",
            BUILT,
            vec![token(r#"{"alg":"EdDSA","typ":"provenance+jwt","crit":["b64"],"b64":false}"#, None)],
            "evidence-readable",
            "crit",
        ),
        refused("row-60-embedded-key", token(&embedded_key(), None)),
    ]
}

fn embedded_key() -> String {
    let key = Object::new()
        .with("kty", "OKP")
        .with("crv", "Ed25519")
        .with("x", URL_SAFE_NO_PAD.encode(secret(STRANGER).public().raw()));
    Json::from(Object::new().with("alg", "EdDSA").with("typ", "provenance+jwt").with("jwk", key)).to_string()
}

/// A token of the builder that is signed well, with one claim set.
fn claim(name: &str, value: &str) -> String {
    let mut claims = vec![
        ("sub", format!(r#""ni:///sha-256;{}""#, URL_SAFE_NO_PAD.encode(digest().bytes()))),
        ("iss", r#""id:ci""#.to_owned()),
        ("hermetic", "true".to_owned()),
        ("input", r#"{"source_uri":"https://git.example/shop"}"#.to_owned()),
        ("iat", "1795000000".to_owned()),
    ];
    claims.retain(|(known, _)| *known != name);
    claims.push((name, value.to_owned()));
    let claims: Vec<String> = claims.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"provenance+jwt"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(format!("{{{}}}", claims.join(","))));
    let signature = secret(CI).sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Rows 59 and 61: claims of the wrong type are wrong and not absent, what is not compared is refused, and who forges
/// hears that first.
fn claims() -> Vec<Ask> {
    let says = "its statement is malformed";
    let refused = |name: String, token: String, says| {
        ask(&name, BUILT, vec![token.into_bytes()], "evidence-authentic", says)
    };
    let mut asks = vec![ask("row-59-good", BUILT, vec![claim("iat", "1795000001").into_bytes()], MET, "")];
    for name in ["iat", "started", "exp", "nbf", "iss", "sub", "hermetic", "input"] {
        for (kind, value) in [("text", r#""x""#), ("null", "null"), ("list", "[]"), ("number", "1.5")] {
            // another name is read well, and a `null` here says nothing: the rules refuse what was not said
            if matches!((name, kind), ("iss", "text" | "null") | ("hermetic", "null")) {
                continue;
            }
            asks.push(refused(format!("row-59-{name}-{kind}"), claim(name, value), says));
        }
    }
    for (kind, value) in [("text", r#""us""#), ("list", r#"["us"]"#), ("empty", "[]"), ("null", "null")] {
        asks.push(refused(format!("row-61-audience-{kind}"), claim("aud", value), says));
    }
    let ended = claim("exp", "1000000000");
    let mut forged = ended.clone().into_bytes();
    let at = forged.len() - 20;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    asks.push(refused("row-61-expired".to_owned(), ended, says));
    asks.push(refused("row-61-expired-and-forged".to_owned(), forged, "no signature on it verifies"));
    asks
}
