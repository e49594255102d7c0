//! Steps one and two: what opens, what does not, and why. Each test is a way in which some verifier once failed.

use attest::bundle::{Bundle, LogEntry};
use attest::digest::DigestSet;
use attest::dsse::{Dsse, IN_TOTO, Signature};
use attest::merkle::leaf_hash;
use attest::note::{self, Checkpoint, NoteKey};
use attest::open::{LogProofError, leaf_body};
use attest::provenance::{BUILD_TYPE, Commit, Dependency, Provenance, SLSA_V1, Source};
use attest::{
    Algorithm, Artifact, Digest, Envelope, Json, Object, OpenError, Predicate, SecretKey, Signer, Statement,
    TrustRoot,
};
use jiff::Timestamp;

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn pem(key: &SecretKey) -> String {
    key.public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
}

const LOG: u8 = 90;
const WITNESS: u8 = 91;

/// A trust root with one builder; `key` is more about its key, `more` more of the root.
fn root(key: &str, more: &str) -> TrustRoot {
    let vkey =
        |name: &str, seed| NoteKey { name: name.to_owned(), key: secret(seed).public().clone() }.to_vkey();
    let text = format!(
        "version: 3\nbuilders:\n  ci:\n    ids: [\"id:ci\"]\n    keys:\n      - key: |\n{}{key}{more}logs:\n  builds: {{ key: \"{}\" }}\nwitnesses:\n  w: {{ key: \"{}\" }}\n",
        pem(&secret(1)),
        vkey("log.example", LOG),
        vkey("w.example", WITNESS),
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-22T09:00:00Z";

fn artifact() -> Artifact {
    Artifact::new("shop", Digest::sha256(b"shop").into())
}

fn dsse(keys: &[&SecretKey]) -> Dsse {
    let statement = Statement::write("shop", artifact().digests(), "https://example.com/x", Object::new());
    let signers: Vec<&dyn Signer> = keys.iter().map(|k| *k as &dyn Signer).collect();
    Dsse::sign(IN_TOTO, statement.as_bytes(), &signers).unwrap()
}

fn envelope(dsse: &Dsse) -> Envelope {
    Envelope::parse(dsse.to_json().to_string().as_bytes()).unwrap()
}

/// A bundle with a proof; `swap` may change the leaf, the entry and the cosignature before they are put together.
fn logged(
    dsse: &Dsse,
    key: &SecretKey,
    seen: Option<&str>,
    swap: impl Fn(&mut Vec<u8>, &mut LogEntry),
) -> Vec<u8> {
    let mut body = leaf_body(dsse, &Digest::sha256(dsse.to_json().to_string().as_bytes()), key.public());
    let mut entry =
        LogEntry { index: 0, size: 1, proof: Vec::new(), checkpoint: String::new(), body: Vec::new() };
    swap(&mut body, &mut entry);
    let checkpoint = Checkpoint { origin: "log.example".to_owned(), size: 1, root: leaf_hash(&body) };
    let mut text = note::sign(&checkpoint.to_text(), "log.example", &secret(LOG)).unwrap();
    if let Some(seen) = seen {
        text.push_str(&note::cosign(&checkpoint.to_text(), "w.example", at(seen), &secret(WITNESS)).unwrap());
    }
    entry.checkpoint = text;
    entry.body = body;
    Bundle::write(dsse, "", &[entry]).to_string().into_bytes()
}

fn open(root: &TrustRoot, bytes: &[u8]) -> Result<attest::Attestation, OpenError> {
    root.open(&Envelope::parse(bytes).unwrap(), at(NOW))
}

/// An envelope whose signature is over the payload alone, under a key id.
fn over_payload(hint: &str) -> Dsse {
    use attest::Signer as _;
    let mut bare = dsse(&[&secret(1)]);
    bare.signatures[0].bytes = secret(1).sign(&bare.payload).unwrap();
    bare.signatures[0].hint = Some(hint.to_owned());
    bare
}

#[test]
fn a_key_that_signs_payloads_signs_nothing_else_and_only_under_its_name() {
    let unknown = Err(OpenError::UnknownSigner);
    let open = |root: &TrustRoot, dsse: &Dsse| root.open(&envelope(dsse), at(NOW)).map(|_| ());
    let payload = root("        signs: payload\n        key-id: theirs\n", "");
    assert_eq!(open(&payload, &over_payload("theirs")), Ok(()));
    assert_eq!(open(&payload, &over_payload("another")), unknown);
    assert_eq!(open(&payload, &dsse(&[&secret(1)])), unknown, "an envelope under a key for payloads");
    let token = attest::jwt::sign(&provenance(), &Digest::sha256(b"shop"), &secret(1)).unwrap();
    let token = Envelope::parse(token.as_bytes()).unwrap();
    assert_eq!(payload.open(&token, at(NOW)).map(|_| ()), unknown, "a token under a key for payloads");
    assert_eq!(open(&root("", ""), &over_payload("theirs")), unknown, "a bare payload under a usual key");
    let named = root("        key-id: theirs\n", "");
    let mut envelope = dsse(&[&secret(1)]);
    assert_eq!(open(&named, &envelope), unknown);
    envelope.signatures[0].hint = Some("theirs".to_owned());
    assert_eq!(open(&named, &envelope), Ok(()));
}

#[test]
fn a_builder_claims_the_ids_that_stand_there_and_those_of_its_patterns() {
    let mut builder = root("", "").principal("ci").unwrap().builder.clone().unwrap();
    builder.ids = vec!["https://g.example/b.yml@refs/tags/v*".to_owned(), "id:ci".to_owned()];
    for (id, may) in [
        ("id:ci", true),
        ("id:ci2", false),
        ("https://g.example/b.yml@refs/tags/v1.2.3", true),
        ("https://g.example/b.yml@refs/tags/v1/x", false),
        ("https://g.example/b.yml@refs/heads/v1", false),
        ("x https://g.example/b.yml@refs/tags/v1", false),
    ] {
        assert_eq!(builder.may_claim(id), may, "{id}");
    }
    let everything = "version: 1\nbuilders:\n  ci:\n    ids: [\"**\"]\n    keys:\n      - key: |\n";
    let text = format!("{everything}{}", pem(&secret(1)));
    assert!(TrustRoot::parse("trust-root.yaml", &text).unwrap_err()[0].to_string().contains("everything"));
}

#[test]
fn a_signature_by_nobody_opens_nothing_and_each_signature_bit_counts() {
    let root = root("", "");
    assert!(root.open(&envelope(&dsse(&[&secret(1)])), at(NOW)).is_ok());
    assert_eq!(root.open(&envelope(&dsse(&[&secret(2)])), at(NOW)).unwrap_err(), OpenError::UnknownSigner);
    // GHSA-r2xv-vpr2-42m9: a signature over something else than the PAE "verified"
    let good = dsse(&[&secret(1)]);
    for bit in 0..512 {
        let mut bad = good.clone();
        bad.signatures[0].bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(root.open(&envelope(&bad), at(NOW)).is_err(), "bit {bit}");
    }
    let mut other_type = good.clone();
    other_type.payload_type = "application/json".to_owned();
    assert!(matches!(root.open(&envelope(&other_type), at(NOW)), Err(OpenError::PayloadType(_))));
    let bare = secret(1).sign(&good.payload).unwrap();
    let bare = Dsse { signatures: vec![Signature { hint: None, bytes: bare }], ..good };
    assert!(root.open(&envelope(&bare), at(NOW)).is_err(), "a signature over the payload alone");
}

#[test]
fn a_flipped_bit_of_a_token_or_a_bare_envelope_opens_nothing_else() {
    let root = root("", "");
    let token = attest::jwt::sign(&provenance(), &Digest::sha256(b"shop"), &secret(1)).unwrap().into_bytes();
    let bare = dsse(&[&secret(1)]).to_json().to_string().into_bytes();
    for bytes in [token, bare] {
        let meaning = |bytes: &[u8]| {
            let envelope = Envelope::parse(bytes).ok()?;
            let attestation = root.open(&envelope, at(NOW)).ok()?;
            Some(format!("{:?}{:?}", attestation.statement(), attestation.signers()))
        };
        let before = meaning(&bytes);
        assert!(before.is_some());
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                if let Some(after) = meaning(&changed) {
                    assert_eq!(Some(after), before, "byte {index} bit {bit}");
                }
            }
        }
    }
}

#[test]
fn one_principal_counts_once_however_often_it_signs() {
    // CVE-2020-15093, GHSA-3633-5h82-39pq: the same signer under two key ids, or twice
    let second = format!("      - key: |\n{}", pem(&secret(3)));
    let root = root(&second, "");
    let attestation =
        root.open(&envelope(&dsse(&[&secret(1), &secret(1), &secret(3), &secret(9)])), at(NOW)).unwrap();
    let names: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["ci"]);
}

#[test]
fn a_hint_is_never_believed() {
    let root = root("", &format!("testers:\n  t:\n    keys:\n      - key: |\n{}", pem(&secret(2))));
    let mut lying = dsse(&[&secret(1)]);
    lying.signatures[0].hint = Some(secret(2).public().id());
    let attestation = root.open(&envelope(&lying), at(NOW)).unwrap();
    assert_eq!(attestation.signers()[0].name, "ci");
}

#[test]
fn a_key_counts_inside_its_window_to_the_second() {
    // CVE-2026-54787: the time was not compared with the key's own window
    let root = root("        from: 2026-11-22T09:00:00Z\n        until: 2026-11-22T10:00:00Z\n", "");
    let envelope = envelope(&dsse(&[&secret(1)]));
    for (time, opens) in [
        ("2026-11-22T08:59:59Z", false),
        ("2026-11-22T09:00:00Z", true),
        ("2026-11-22T10:00:00Z", true),
        ("2026-11-22T10:00:01Z", false),
    ] {
        let result = root.open(&envelope, at(time));
        assert_eq!(result.is_ok(), opens, "{time}");
        if !opens {
            assert!(matches!(result.unwrap_err(), OpenError::OutsideWindow { .. }));
        }
    }
}

#[test]
fn a_stolen_key_signs_nothing_after_its_revocation() {
    let revoked = "        revoked: { from: 2026-06-01T00:00:00Z, reason: stolen }\n";
    let root = root(revoked, "");
    let (key, envelope_of) = (secret(1), dsse(&[&secret(1)]));
    let opens = |seen: Option<&str>| open(&root, &logged(&envelope_of, &key, seen, |_, _| {}));
    assert!(
        matches!(root.open(&envelope(&envelope_of), at(NOW)), Err(OpenError::Revoked { .. })),
        "no time at all"
    );
    assert!(matches!(opens(None), Err(OpenError::Revoked { time: None, .. })), "logged, and nobody saw when");
    assert!(opens(Some("2026-05-31T23:59:59Z")).is_ok(), "a witness saw it before");
    for late in ["2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"] {
        assert!(matches!(opens(Some(late)), Err(OpenError::Revoked { time: Some(_), .. })), "{late}");
    }
    // the thief backdates what the provenance says of itself: that is no time
    let claims = Provenance { finished: Some(at("2026-01-01T00:00:00Z")), ..provenance() };
    let statement = Statement::write("shop", artifact().digests(), SLSA_V1, claims.to_slsa_v1());
    let backdated = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&secret(1)]).unwrap();
    assert!(matches!(root.open(&envelope(&backdated), at(NOW)), Err(OpenError::Revoked { .. })));
}

#[test]
fn a_revocation_can_be_a_position_in_the_log() {
    let revoked = |size: u64| {
        format!(
            "        revoked: {{ from: 2026-06-01T00:00:00Z, reason: stolen, log: builds, size: {size} }}\n"
        )
    };
    let bytes = logged(&dsse(&[&secret(1)]), &secret(1), None, |_, _| {});
    assert!(open(&root(&revoked(1), ""), &bytes).is_ok(), "the leaf at 0 was there before the log had 1");
    assert!(open(&root(&revoked(0), ""), &bytes).is_err());
}

#[test]
fn a_proof_for_something_else_is_refused_whatever_was_swapped() {
    // CVE-2022-23649, CVE-2022-36056, CVE-2026-22703: each of payload hash, signature and key swapped alone
    let root = root("", "");
    let (key, good, other) = (secret(1), dsse(&[&secret(1)]), dsse(&[&secret(2)]));
    let swapped = |from: &str, to: &str| {
        let result = open(
            &root,
            &logged(&good, &key, None, |body, _| {
                let text = String::from_utf8(body.clone()).unwrap();
                assert!(text.contains(from), "{from} in {text}");
                *body = text.replacen(from, to, 1).into_bytes();
            }),
        );
        result.map(|_| ()).unwrap_err()
    };
    let b64 = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let refused = OpenError::LogProof(LogProofError::OtherSignature);
    let hash = Digest::sha256(&good.payload).hex();
    assert_eq!(swapped(&hash, &Digest::sha256(b"other").hex()), refused);
    assert_eq!(swapped(&b64(&good.signatures[0].bytes), &b64(&other.signatures[0].bytes)), refused);
    assert_eq!(
        swapped(&b64(key.public().to_pem().as_bytes()), &b64(secret(2).public().to_pem().as_bytes())),
        refused
    );
    assert!(matches!(
        swapped("\"kind\":\"dsse\"", "\"kind\":\"other\""),
        OpenError::LogProof(LogProofError::Leaf)
    ));
}

#[test]
fn a_proof_that_does_not_hold_is_refused_and_one_for_an_unknown_log_proves_nothing() {
    let root = root("", "");
    let (key, good) = (secret(1), dsse(&[&secret(1)]));
    for change in [
        (|_: &mut Vec<u8>, e: &mut LogEntry| e.index = 1) as fn(&mut Vec<u8>, &mut LogEntry),
        |_, e| e.size = 2,
        |_, e| e.proof.push([0; 32]),
    ] {
        let result = open(&root, &logged(&good, &key, None, change));
        assert_eq!(result.map(|_| ()).unwrap_err(), OpenError::LogProof(LogProofError::Inclusion));
    }
    // a checkpoint under the log's name that somebody else signed
    let forged = |origin: &str, signer: u8| {
        let body = leaf_body(&good, &Digest::sha256(b""), key.public());
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: 1, root: leaf_hash(&body) };
        let checkpoint = note::sign(&checkpoint.to_text(), origin, &secret(signer)).unwrap();
        let entry = LogEntry { index: 0, size: 1, proof: Vec::new(), checkpoint, body };
        Bundle::write(&good, "", &[entry]).to_string().into_bytes()
    };
    let result = open(&root, &forged("log.example", 55));
    assert!(matches!(result, Err(OpenError::LogProof(LogProofError::CheckpointSignature(_)))));
    let elsewhere = open(&root, &forged("elsewhere.example", 55)).unwrap();
    assert!(elsewhere.logged().is_empty() && elsewhere.time().is_none());
}

#[test]
fn a_stolen_key_cannot_borrow_the_time_of_another_signature() {
    let revoked = "        revoked: { from: 2026-06-01T00:00:00Z, reason: stolen, log: builds, size: 9 }\n";
    let root = root(revoked, &format!("testers:\n  t:\n    keys:\n      - key: |\n{}", pem(&secret(2))));
    // the tester's signature was logged and seen in time; the stolen builder key signs the same payload later
    let mut both = dsse(&[&secret(2)]);
    let stolen = dsse(&[&secret(1)]).signatures.remove(0);
    let bytes = logged(&both, &secret(2), Some("2026-05-01T00:00:00Z"), |_, _| {});
    both.signatures.push(stolen);
    let text = String::from_utf8(bytes).unwrap();
    let mut object = attest::json::parse(text.as_bytes()).unwrap().as_object().unwrap().clone();
    object.set("dsseEnvelope", both.to_json());
    let attestation = open(&root, object.to_string().as_bytes()).unwrap();
    let names: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["t"], "only the signature that was logged counts");
}

#[test]
fn one_log_with_many_entries_is_one_log() {
    // CVE-2026-49834: N logs satisfied by one log with N entries
    let root = root("", "");
    let good = dsse(&[&secret(1)]);
    let bytes = logged(&good, &secret(1), Some("2026-11-01T00:00:00Z"), |_, _| {});
    let json = attest::json::parse(&bytes).unwrap();
    let mut object = json.as_object().unwrap().clone();
    let mut material = object.object("verificationMaterial").unwrap().clone();
    let entry = material.array("tlogEntries").unwrap()[0].clone();
    material.set("tlogEntries", Json::Array(vec![entry.clone(), entry.clone(), entry]));
    object.set("verificationMaterial", material);
    let attestation = open(&root, object.to_string().as_bytes()).unwrap();
    assert_eq!(attestation.logged().len(), 1);
    assert_eq!(attestation.logged()[0].witnesses, ["w"]);
}

#[test]
fn evidence_is_about_what_its_digests_say_and_all_must_agree() {
    let root = root("", "");
    let about = |digest: &str, artifact: &Artifact| {
        let subject = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"shop","digest":{digest}}}],"predicateType":"x","predicate":{{}}}}"#
        );
        let dsse = Dsse::sign(IN_TOTO, subject.as_bytes(), &[&secret(1)]).unwrap();
        root.open(&envelope(&dsse), at(NOW)).unwrap().about(artifact).is_ok()
    };
    let sha256 = Digest::sha256(b"shop").hex();
    let sha512 = "a".repeat(128);
    let both: DigestSet = [Digest::sha256(b"shop"), Digest::from_hex(Algorithm::Sha512, &sha512).unwrap()]
        .into_iter()
        .collect();
    let both = Artifact::new("shop", both);
    assert!(about(&format!(r#"{{"sha256":"{sha256}"}}"#), &artifact()));
    assert!(about(&format!(r#"{{"sha256":"{sha256}","sha512":"{sha512}"}}"#), &both));
    assert!(
        !about(&format!(r#"{{"sha256":"{sha256}","sha512":"{}"}}"#, "b".repeat(128)), &both),
        "one right, one wrong"
    );
    assert!(!about(r#"{"md5":"d41d8cd98f00b204e9800998ecf8427e"}"#, &artifact()));
    assert!(!about(r"{}", &artifact()), "nothing in common is not the same");
}

#[test]
fn statements_that_say_less_than_they_must_do_not_open() {
    let root = root("", "");
    for (payload, word) in [
        (r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}"#, "subject"),
        (
            r#"{"_type":"https://example.com/Statement","subject":[{"digest":{}}],"predicateType":"x"}"#,
            "_type",
        ),
        (r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{}}]}"#, "predicateType"),
        (
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"AA"}}],"predicateType":"x"}"#,
            "sha256",
        ),
        (
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{}}"#,
            "buildDefinition",
        ),
        // CVE-2026-39395: a predicate that cannot be read became "verified"
        (
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{}}],"predicateType":"https://in-toto.io/attestation/vulns/v0.2","predicate":{"scanner":{"uri":"s"},"metadata":{"scanFinishedOn":"2026-01-01T00:00:00Z"}}}"#,
            "result",
        ),
        (r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{}}],"predicateType":"x"} "#, ""),
        ("{", "ends too early"),
    ] {
        let dsse = Dsse::sign(IN_TOTO, payload.as_bytes(), &[&secret(1)]).unwrap();
        match root.open(&envelope(&dsse), at(NOW)) {
            Err(OpenError::Statement(e)) => assert!(e.to_string().contains(word), "{payload}: {e}"),
            Ok(_) => assert_eq!(word, "", "{payload}"),
            Err(e) => panic!("{payload}: {e}"),
        }
    }
}

fn provenance() -> Provenance {
    let commit = |c: char| Digest::from_hex(Algorithm::GitCommit, &c.to_string().repeat(40)).unwrap();
    Provenance {
        format: "1.0".to_owned(),
        build_type: BUILD_TYPE.to_owned(),
        builder_id: "id:ci".to_owned(),
        builder_version: Some("1.2.3".to_owned()),
        source: Some(Source {
            repository: "https://git.example/shop".to_owned(),
            reference: Some("refs/heads/main".to_owned()),
            digests: commit('a').into(),
            committed: Some(at("2026-11-20T08:00:00Z")),
            history: vec![Commit {
                id: "a".repeat(40),
                parents: vec!["b".repeat(40)],
                people: vec!["alice@x".to_owned()],
            }],
            tagged_branch: None,
            kept_until: Some(at("2027-11-20T09:00:00Z")),
        }),
        target: Some("shop".to_owned()),
        parameters: [("flavour".to_owned(), Json::from("release"))].into_iter().collect(),
        dependencies: vec![Dependency {
            uri: "toolchain:gcc".to_owned(),
            digests: Digest::sha256(b"gcc").into(),
            is_tool: true,
            name: Some("gcc".to_owned()),
            provenance: Some(Digest::sha256(b"bundle")),
        }],
        command: Some(vec!["make".to_owned(), "CC=gcc".to_owned()]),
        environment: [("TZ".to_owned(), "UTC".to_owned())].into_iter().collect(),
        hermetic: true,
        isolation: Some(attest::provenance::Isolation {
            tier: "bubblewrap".to_owned(),
            profile: Some(Digest::sha256(b"profile")),
            held: vec!["network".to_owned()],
            missing: vec!["limits".to_owned()],
        }),
        cached_from: Some(Digest::sha256(b"earlier")),
        trigger: None,
        runner: None,
        invocation: Some("run-7".to_owned()),
        started: Some(at("2026-11-20T09:00:00Z")),
        finished: Some(at("2026-11-20T09:01:00Z")),
    }
}

#[test]
fn slsa_and_the_chapters_jwt_are_one_record() {
    let record = provenance();
    assert_eq!(Provenance::from_slsa_v1(&record.to_slsa_v1()).unwrap(), record);
    let root = root("", "");
    let token = attest::jwt::sign(&record, &Digest::sha256(b"shop"), &secret(1)).unwrap();
    let attestation = open(&root, token.as_bytes()).unwrap();
    let evidence = attestation.about(&artifact()).unwrap();
    let Predicate::Provenance(read) = evidence.predicate() else { panic!() };
    assert_eq!(**read, record);
    assert!(attestation.about(&Artifact::new("shop", Digest::sha256(b"other").into())).is_err());
    let statement = Statement::write("shop", artifact().digests(), SLSA_V1, record.to_slsa_v1());
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&secret(1)]).unwrap();
    let from_slsa = root.open(&envelope(&dsse), at(NOW)).unwrap();
    let Predicate::Provenance(other) = &from_slsa.statement().predicate else { panic!() };
    assert_eq!(read, other, "the same record, whichever envelope it came in");
}

#[test]
fn the_chapters_own_token_is_read() {
    // chapter 14, "Implementing policy decisions": sub and input.source_uri, and nothing else
    use base64::Engine as _;
    let b64 = |t: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(t);
    let sub = attest::ni::write(&Digest::sha256(b"shop")).unwrap();
    let claims =
        format!(r#"{{"sub":"{sub}","input":{{"source_uri":"https://github.com/mysql/mysql-server"}}}}"#);
    let signed = format!("{}.{}", b64(r#"{"alg":"EdDSA","typ":"provenance+jwt"}"#), b64(&claims));
    let signature = secret(1).sign(signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature));
    let attestation = open(&root("", ""), token.as_bytes()).unwrap();
    let Predicate::Provenance(read) = &attestation.statement().predicate else { panic!() };
    assert_eq!(read.source.as_ref().unwrap().repository, "https://github.com/mysql/mysql-server");
    // a time of another type is an error, and never "absent" (CVE-2026-25537)
    let claims = format!(r#"{{"sub":"{sub}","iat":"9999999999","input":{{}}}}"#);
    let signed = format!("{}.{}", b64(r#"{"alg":"EdDSA","typ":"provenance+jwt"}"#), b64(&claims));
    let signature = secret(1).sign(signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature));
    assert!(matches!(open(&root("", ""), token.as_bytes()), Err(OpenError::Statement(_))));
}

#[test]
fn an_older_trust_root_is_refused() {
    let root = root("", "");
    assert!(root.check_not_older(3).is_ok());
    let error = root.check_not_older(4).unwrap_err();
    assert_eq!(error.to_string(), "trust root version 3 is older than version 4, which was in force");
}

#[test]
fn a_trust_root_that_could_be_read_two_ways_does_not_load() {
    let key = |seed| format!("    keys:\n      - key: |\n{}", pem(&secret(seed)));
    let small_order = "-----BEGIN PUBLIC KEY-----\n          MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n          -----END PUBLIC KEY-----";
    for (text, word) in [
        ("version: 1\n".to_owned(), "trusts nobody"),
        (format!("signers:\n  a:\n{}", key(1)), "`version`"),
        (format!("version: 0\nsigners:\n  a:\n{}", key(1)), "from 1 to"),
        (format!("version: 1\nsigners:\n  a:\n{}  b:\n{}", key(1), key(1)), "one key belongs to two names"),
        (format!("version: 1\nsingers:\n  a:\n{}", key(1)), "unknown key `singers`"),
        ("version: 1\nsigners:\n  a:\n    keys: []\n".to_owned(), "at least one key"),
        (
            format!("version: 1\nsigners:\n  a:\n    keys:\n      - key: |\n          {small_order}\n"),
            "small order",
        ),
        (format!("version: 1\nbuilders:\n  a:\n{}", key(1)), "`ids`"),
        (
            format!(
                "version: 1\nsigners:\n  a:\n{}        from: 2026-02-01\n        until: 2026-01-01\n",
                key(1)
            ),
            "ends before it begins",
        ),
        (
            format!(
                "version: 1\nsigners:\n  a:\n{}people:\n  p: {{ identities: [x@y] }}\n  q: {{ identities: [X@Y] }}\n",
                key(1)
            ),
            "belongs to two people",
        ),
        (format!("version: 1\nsigners:\n  a:\n{}groups:\n  g: [nobody]\n", key(1)), "nobody is called"),
    ] {
        let errors = TrustRoot::parse("trust-root.yaml", &text).unwrap_err();
        assert!(errors.iter().any(|e| e.message.contains(word)), "{word}: {errors:?}");
    }
}

#[test]
fn whose_grant_it_is_is_known_of_a_key_that_was_revoked_and_of_a_proof_that_does_not_hold_and_of_no_stranger()
{
    let grant = attest::breakglass::Grant {
        id: "inc-1".to_owned(),
        environment: "prod/shop".to_owned(),
        artifact: None,
        requester: None,
        reason: "checkout is down".to_owned(),
        ticket: "INC-1".to_owned(),
        issued: at(NOW),
        expires: at("2026-11-22T11:00:00Z"),
    };
    let read = |root: &TrustRoot, bytes: &[u8]| root.signed_grant(&Envelope::parse(bytes).unwrap());
    let signed = |seed| grant.sign(&secret(seed)).unwrap().to_string().into_bytes();
    let revoked = root("        revoked: { from: 2026-06-01T00:00:00Z, reason: stolen }\n", "");
    assert!(matches!(open(&revoked, &signed(1)), Err(OpenError::Revoked { .. })));
    let known = read(&revoked, &signed(1)).unwrap();
    assert_eq!((known.grant, known.signers), (grant.clone(), vec!["ci".to_owned()]));
    assert_eq!(read(&revoked, &signed(2)), None, "a stranger's");
    // whoever has a grant may put beside it what he likes: a proof about something else hides nobody
    let bundle = attest::json::parse(&signed(1)).unwrap();
    let dsse = Dsse::read(bundle.as_object().unwrap().object("dsseEnvelope").unwrap()).unwrap();
    let forged = logged(&dsse, &secret(1), None, |_, entry| entry.index = 1);
    let root = root("", "");
    assert!(matches!(open(&root, &forged), Err(OpenError::LogProof(_))));
    assert_eq!(read(&root, &forged).unwrap().signers, ["ci"]);
    let other = logged(&self::dsse(&[&secret(1)]), &secret(1), None, |_, _| {});
    assert_eq!(read(&root, &other), None, "no grant");
}
