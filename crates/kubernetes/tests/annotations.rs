//! Evidence in annotations: bounded, typed, routed, and never believed.

use std::io::Write as _;

use attest::{Digest, DigestSet, Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubernetes::evidence::{
    Attached, BREAKGLASS, EVIDENCE, EVIDENCE_DIGEST, EvidenceErrorKind, MAX_UNPACKED, encode, route,
};
use policy::Submitted;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn read(key: &str, value: impl Into<Json>) -> Result<Attached, EvidenceErrorKind> {
    let metadata =
        Object::new().with("annotations", Object::new().with("other.example/x", 7_i64).with(key, value));
    let mut attached = Attached::read(Some(&metadata), "metadata");
    let Some(e) = attached.unreadable.pop() else { return Ok(attached) };
    assert!(
        e.annotation == key
            && !e.fix().is_empty()
            && e.to_string().starts_with(&format!("the annotation {key} "))
    );
    assert!(attached.is_empty());
    Err(e.kind)
}

#[test]
fn what_is_attached_is_read_back() {
    let envelopes = [
        br#"{"payload":"e30=","n":1}"#.to_vec(),
        b"eyJhbGciOiJub25lIn0.e30.x".to_vec(),
        b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nFormat: 1.0".to_vec(),
    ];
    let text = encode(&envelopes).unwrap();
    assert_eq!(text, encode(&envelopes).unwrap());
    let found = read(EVIDENCE, text).unwrap().envelopes;
    assert_eq!(found.iter().map(|e| e.bytes.clone()).collect::<Vec<_>>(), envelopes);
    assert_eq!(found[1].name, "metadata.annotations[portcullis.dev/evidence][1]");
    let hex = |c: &str| format!("sha256:{}", c.repeat(64));
    let digests = read(EVIDENCE_DIGEST, format!("{}, {}", hex("a"), hex("b"))).unwrap().digests;
    assert_eq!(digests.iter().map(ToString::to_string).collect::<Vec<_>>(), [hex("a"), hex("b")]);
    assert_eq!(read(BREAKGLASS, hex("c")).unwrap().breakglass.unwrap().to_string(), hex("c"));
    assert!(Attached::read(None, "").is_empty());
}

#[test]
fn what_cannot_be_read_is_a_typed_error() {
    let pack = |text: &[u8]| STANDARD.encode(gzip(text));
    type IsWanted = fn(&EvidenceErrorKind) -> bool;
    let kinds: Vec<(Json, IsWanted)> = vec![
        (Json::Int(1), |e| matches!(e, EvidenceErrorKind::NoText("a number"))),
        ("x".repeat((256 << 10) + 1).into(), |e| matches!(e, EvidenceErrorKind::TooLong(_))),
        ("!".into(), |e| *e == EvidenceErrorKind::NotBase64),
        (format!("{}\n", pack(b"[]")).into(), |e| *e == EvidenceErrorKind::NotBase64),
        (STANDARD.encode(b"[]").into(), |e| matches!(e, EvidenceErrorKind::NotGzip("it does not unpack"))),
        (STANDARD.encode(&gzip(b"[]")[..10]).into(), |e| {
            matches!(e, EvidenceErrorKind::NotGzip("it does not unpack"))
        }),
        (STANDARD.encode([gzip(b"[]"), b"x".to_vec()].concat()).into(), |e| {
            matches!(e, EvidenceErrorKind::NotGzip("data after its end"))
        }),
        (STANDARD.encode([gzip(b"["), gzip(b"]")].concat()).into(), |e| {
            matches!(e, EvidenceErrorKind::NotGzip("data after its end"))
        }),
        (pack(&vec![b' '; MAX_UNPACKED + 1]).into(), |e| *e == EvidenceErrorKind::Bomb),
        (pack(&vec![b' '; 64 << 20]).into(), |e| *e == EvidenceErrorKind::Bomb),
        (pack(b"[{}] x").into(), |e| matches!(e, EvidenceErrorKind::NotJson(_))),
        (pack(br#"[{"a":1,"a":2}]"#).into(), |e| matches!(e, EvidenceErrorKind::NotJson(_))),
        (pack(b"[1.5]").into(), |e| matches!(e, EvidenceErrorKind::NotJson(_))),
        (pack(b"{}").into(), |e| *e == EvidenceErrorKind::NoArray("an object")),
        (pack(b"[{},7]").into(), |e| *e == EvidenceErrorKind::NoEnvelope(1, "a number")),
        (pack(br#"["x"]"#).into(), |e| *e == EvidenceErrorKind::NoEnvelope(0, "a string")),
        (pack(format!("[{}{{}}]", "{},".repeat(64)).as_bytes()).into(), |e| {
            *e == EvidenceErrorKind::TooMany(65)
        }),
        (pack(b"[{},{}]").into(), |e| *e == EvidenceErrorKind::Twice(1)),
    ];
    for (index, (value, is_wanted)) in kinds.into_iter().enumerate() {
        let found = read(EVIDENCE, value).unwrap_err();
        assert!(is_wanted(&found), "{index}: {found:?}");
    }
    let hex = format!("sha256:{}", "a".repeat(64));
    assert_eq!(read(EVIDENCE_DIGEST, format!("{hex},{hex}")), Err(EvidenceErrorKind::Twice(1)));
    assert_eq!(read(EVIDENCE_DIGEST, vec![hex.as_str(); 65].join(",")), Err(EvidenceErrorKind::TooMany(65)));
    assert_eq!(read(EVIDENCE_DIGEST, "sha1:aa"), Err(EvidenceErrorKind::NoDigest("sha1:aa".to_owned())));
    assert_eq!(read(BREAKGLASS, "true"), Err(EvidenceErrorKind::NoDigest("true".to_owned())));
    assert_eq!(read("portcullis.dev/break-glass", "x"), Err(EvidenceErrorKind::Unknown(Some(BREAKGLASS))));
    let lists = Object::new().with("annotations", Json::Array(vec![]));
    assert_eq!(
        Attached::read(Some(&lists), "metadata").unreadable[0].kind,
        EvidenceErrorKind::NoText("a list")
    );
    // a grant counts beside evidence that cannot be read: at night nobody looks for a misspelt annotation
    let many: Object = (0..20).map(|n| (format!("portcullis.dev/x{n}"), Json::from("x"))).collect();
    let both = Object::new().with("annotations", many.with(BREAKGLASS, hex.as_str()));
    let attached = Attached::read(Some(&both), "metadata");
    assert_eq!((attached.unreadable.len(), attached.breakglass.unwrap().to_string()), (8, hex));
}

#[test]
fn an_envelope_goes_where_it_says_and_none_is_lost() {
    let digest = |c: &str| Digest::parse(&format!("sha256:{}", c.repeat(64))).unwrap();
    let envelope = |name: &str, algorithm: &str, value: String| {
        let statement = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"{algorithm}":"{value}"}}}}],"predicateType":"https://example.com/x"}}"#
        );
        let text = format!(
            r#"{{"payload":"{}","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"AA=="}}]}}"#,
            STANDARD.encode(statement)
        );
        Submitted { name: name.to_owned(), bytes: text.into_bytes() }
    };
    let all = [
        envelope("a", "sha256", "a".repeat(64)),
        envelope("b", "sha256", "b".repeat(64)),
        envelope("commit", "gitCommit", "c".repeat(40)),
        envelope("stray", "sha256", "d".repeat(64)),
        Submitted { name: "noise".to_owned(), bytes: b"noise".to_vec() },
    ];
    let artifacts = [DigestSet::from(digest("a")), DigestSet::from(digest("b")), DigestSet::default()];
    let names: Vec<String> = route(&all, &artifacts)
        .iter()
        .map(|list| list.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(names, ["a commit noise", "b commit", "commit stray"]);
}
