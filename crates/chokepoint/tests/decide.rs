//! The choke point: what it records, what a replay gives, and what happens when its log fails.

use std::path::Path;

use attest::{Artifact, Digest, DigestSet, Json, Object, SecretKey, TrustRoot};
use chokepoint::{Answer, Basis, Chokepoint, DecideError, Entry, Record, Replay, replay};
use policy::{Book, Consulted, DeploymentRequest, Guardrails, Outage, SourceFile, Standing, Submitted};
use tlog::{Blobs, Files, Log, Reader, Storage as _};

fn signer() -> Box<SecretKey> {
    Box::new(SecretKey::from_ed25519_seed(&[9; 32]).unwrap())
}

fn root() -> TrustRoot {
    let key = SecretKey::from_ed25519_seed(&[1; 32]).unwrap();
    let pem: String =
        attest::Signer::public(&key).to_pem().lines().map(|l| format!("          {l}\n")).collect();
    let text = format!("version: 4\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}");
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

fn book(mode: &str) -> Book {
    let text =
        format!("environment: prod/shop\nartifact: shop\nmode: {mode}\nrequire: {{ signed-by: [vendor] }}\n");
    Book::load(vec![SourceFile { name: "book/shop.yaml".to_owned(), text }], &Guardrails::none()).unwrap()
}

fn envelope() -> Submitted {
    let key = SecretKey::from_ed25519_seed(&[1; 32]).unwrap();
    let statement = attest::Statement::write("shop", &digests(), "https://example.com/x", Object::new());
    let dsse = attest::dsse::Dsse::sign(attest::dsse::IN_TOTO, statement.as_bytes(), &[&key]).unwrap();
    Submitted { name: "shop.json".to_owned(), bytes: dsse.to_json().to_string().into_bytes() }
}

fn digests() -> DigestSet {
    Digest::sha256(b"shop").into()
}

fn request(envelopes: Vec<Submitted>) -> DeploymentRequest {
    let mut request = DeploymentRequest::new(Artifact::new("shop", digests()), "prod/shop", "test");
    request.envelopes = envelopes;
    request
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn chokepoint(dir: &Path, mode: &str) -> Chokepoint<Files> {
    let files = Files::new(dir);
    let log = Log::open(files.clone(), "test.example", signer())
        .or_else(|_| Log::create(files, "test.example", signer()))
        .unwrap();
    Chokepoint::open(book(mode), root(), log).unwrap()
}

fn records(dir: &Path) -> Vec<Record> {
    let files = Files::new(dir);
    let log = Log::open(files.clone(), "test.example", signer()).unwrap();
    let reader = Reader::new(&files, log.size());
    let entries = (0..log.size()).map(|i| Entry::parse(&reader.entry(i).unwrap()).unwrap());
    entries.filter_map(|entry| entry.decision().cloned()).collect()
}

#[test]
fn decisions_are_recorded_whole_and_replay_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let point = chokepoint(dir.path(), "enforce");
    let met = point.decide(request(vec![envelope()]), at(0)).unwrap();
    assert!(met.is_admitted() && met.decision().basis() == Basis::Policy);
    let refused = point.decide(request(Vec::new()), at(1)).unwrap();
    assert_eq!(refused.decision().answer(), Answer::Reject);
    assert_eq!(refused.decision().verdict().findings()[0].rule, "signed-by");
    let mut elsewhere = request(vec![envelope()]);
    elsewhere.environment = "prod/other".to_owned();
    let unclaimed = point.decide(elsewhere, at(2)).unwrap();
    assert_eq!(unclaimed.decision().verdict().findings()[0].rule, "policy-missing");
    let late = point.decide(request(vec![envelope()]), at(-100)).unwrap();
    assert_eq!(
        (late.decision().word(), late.is_admitted()),
        ("cannot-decide", false),
        "a clock that went back"
    );

    let blobs = Blobs::new(Files::new(dir.path()));
    let records = records(dir.path());
    assert_eq!(
        records.iter().map(|r| r.decision.as_str()).collect::<Vec<_>>(),
        ["admit", "reject", "reject", "cannot-decide"]
    );
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.position.sequence, index as u64 + 2, "after who writes, and what is in force");
        assert_eq!(replay(record, &blobs).unwrap(), Replay::Same, "record {index}");
    }
}

#[test]
fn what_a_request_says_beside_evidence_is_on_record_and_replays() {
    let dir = tempfile::tempdir().unwrap();
    let point = chokepoint(dir.path(), "enforce");
    let standing = Standing::Recreated {
        owner: "ReplicaSet/shop/web/uid-1".to_owned(),
        template: Digest::sha256(b"template"),
        decided: 0,
        at: at(-10),
    };
    let secret = Object::new().with("kind", "Secret").with("data", Object::new().with("a", "hunter2"));
    let consulted = Consulted { name: "Secret shop/db".to_owned(), object: secret.into() };
    let grant = Submitted { name: "grant".to_owned(), bytes: b"no grant, and kept all the same".to_vec() };
    let asked = [
        DeploymentRequest { standing: Some(standing), ..request(Vec::new()) },
        DeploymentRequest { outage: Some(Outage::EvidenceStore), ..request(Vec::new()) },
        DeploymentRequest { consulted: vec![consulted], grant: Some(grant), ..request(vec![envelope()]) },
        DeploymentRequest { artifact: Artifact::new("shop", DigestSet::default()), ..request(Vec::new()) },
    ];
    for (seconds, request) in (0..).zip(asked) {
        point.decide(request, at(seconds)).unwrap();
    }
    let records = records(dir.path());
    let bases: Vec<_> = records.iter().map(|r| (r.decision.as_str(), r.basis.as_str())).collect();
    let expected = [
        ("admit", "standing"),
        ("cannot-decide", "cannot-decide"),
        ("admit", "policy"),
        ("reject", "policy"),
    ];
    assert_eq!(bases, expected);
    assert_eq!(records[3].rules, ["digest-required"]);
    let blobs = Blobs::new(Files::new(dir.path()));
    for (index, record) in records.iter().enumerate() {
        assert_eq!(replay(record, &blobs).unwrap(), Replay::Same, "record {index}");
    }
    assert!(!format!("{:?}", records[2].case(&blobs).unwrap()).contains("hunter2"));
}

#[test]
fn a_trust_root_older_than_the_one_on_record_does_not_open_the_choke_point() {
    let dir = tempfile::tempdir().unwrap();
    chokepoint(dir.path(), "enforce").decide(request(Vec::new()), at(0)).unwrap();
    let older =
        TrustRoot::parse("trust-root.yaml", &root().text().replace("version: 4", "version: 3")).unwrap();
    let log = Log::open(Files::new(dir.path()), "test.example", signer()).unwrap();
    let error = Chokepoint::open(book("enforce"), older, log).unwrap_err();
    assert_eq!(error.to_string(), "trust root version 3 is older than version 4, which was in force");
    let newer =
        TrustRoot::parse("trust-root.yaml", &root().text().replace("version: 4", "version: 5")).unwrap();
    let log = Log::open(Files::new(dir.path()), "test.example", signer()).unwrap();
    assert!(Chokepoint::open(book("enforce"), newer, log).is_ok());
}

#[test]
fn the_clock_is_held_by_the_newest_record_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    chokepoint(dir.path(), "enforce").decide(request(vec![envelope()]), at(1000)).unwrap();
    let late = chokepoint(dir.path(), "enforce").decide(request(vec![envelope()]), at(0)).unwrap();
    assert_eq!(late.decision().word(), "cannot-decide");
    // the record of that case does not turn the clock back for the next one
    let again = chokepoint(dir.path(), "enforce").decide(request(vec![envelope()]), at(1)).unwrap();
    assert_eq!(again.decision().word(), "cannot-decide");
}

#[test]
fn a_record_whose_summary_lies_is_a_difference() {
    let dir = tempfile::tempdir().unwrap();
    chokepoint(dir.path(), "enforce").decide(request(Vec::new()), at(0)).unwrap();
    let mut record = records(dir.path()).remove(0);
    record.decision = "admit".to_owned();
    let blobs = Blobs::new(Files::new(dir.path()));
    assert!(matches!(replay(&record, &blobs).unwrap(), Replay::Differs { .. }));
}

#[test]
fn dry_run_admits_and_keeps_the_verdict_it_would_have_had() {
    let dir = tempfile::tempdir().unwrap();
    let point = chokepoint(dir.path(), "dry-run");
    let admission = point.decide(request(Vec::new()), at(0)).unwrap();
    assert!(admission.is_admitted());
    assert_eq!(admission.decision().basis(), Basis::DryRun);
    assert!(!admission.decision().verdict().is_met());
    let mut elsewhere = request(Vec::new());
    elsewhere.environment = "prod/other".to_owned();
    assert!(
        !point.decide(elsewhere, at(1)).unwrap().is_admitted(),
        "nobody's deployment is in nobody's dry run"
    );
}

#[test]
fn secrets_never_reach_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut asked = request(vec![envelope()]);
    let variable = Object::new().with("name", "API_TOKEN").with("value", "hunter2-in-env");
    asked.body = Some(
        Object::new().with("env", Json::Array(vec![variable.into()])).with("password", "hunter2").into(),
    );
    asked.artifact = Artifact::new("https://bob:hunter2@example.com/shop", digests());
    chokepoint(dir.path(), "enforce").decide(asked, at(0)).unwrap();
    let mut stack = vec![dir.path().to_owned()];
    let mut files = 0;
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else {
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|w| w == b"hunter2"), "{}", path.display());
        }
    }
    assert!(files > 5);
}

#[test]
fn without_a_durable_record_there_is_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let point = chokepoint(dir.path(), "enforce");
    assert!(point.decide(request(vec![envelope()]), at(0)).unwrap().is_admitted());
    point.settle().unwrap();
    // a folder where the journal must be: no write of it succeeds
    for segment in (0..8).map(|n| format!("journal/{n}")) {
        std::fs::remove_file(dir.path().join(&segment)).unwrap();
        std::fs::create_dir(dir.path().join(&segment)).unwrap();
    }
    assert!(matches!(point.decide(request(vec![envelope()]), at(1)), Err(DecideError::Append(_))));
    assert!(point.is_stopped());
    assert!(matches!(point.decide(request(vec![envelope()]), at(2)), Err(DecideError::Stopped)), "no retry");
    drop(point);
    for segment in (0..8).map(|n| format!("journal/{n}")) {
        std::fs::remove_dir(dir.path().join(segment)).unwrap();
    }
    let again = chokepoint(dir.path(), "enforce");
    assert!(again.decide(request(vec![envelope()]), at(3)).unwrap().is_admitted());
    drop(again);
    assert_eq!(records(dir.path()).iter().map(|r| r.at).collect::<Vec<_>>(), [at(0), at(3)]);
}

#[test]
fn an_answer_that_was_given_is_in_the_log_also_where_the_tree_could_not_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let point = chokepoint(dir.path(), "enforce");
    // a file where the folder of tiles must be
    std::fs::write(dir.path().join("tile"), b"in the way").unwrap();
    let admission = point.decide(request(vec![envelope()]), at(0)).unwrap();
    assert!(point.settle().is_err() && point.is_stopped());
    assert!(point.decide(request(vec![envelope()]), at(1)).is_err(), "the log has stopped");
    drop(point);
    std::fs::remove_file(dir.path().join("tile")).unwrap();
    let records = records(dir.path());
    assert_eq!(records.len(), 1);
    let leaf = attest::merkle::leaf_hash(records[0].to_json().to_string().as_bytes());
    let receipt = admission.receipt().unwrap();
    assert_eq!((receipt.index(), receipt.leaf()), (2, &leaf), "after who writes, and what is in force");
    assert_eq!(replay(&records[0], &Blobs::new(Files::new(dir.path()))).unwrap(), Replay::Same);
}

#[test]
fn a_changed_part_of_a_record_is_found() {
    let dir = tempfile::tempdir().unwrap();
    chokepoint(dir.path(), "enforce").decide(request(vec![envelope()]), at(0)).unwrap();
    let record = records(dir.path()).remove(0);
    let files = Files::new(dir.path());
    let path = "blobs/packs/00000000";
    let mut bytes = files.read(path).unwrap().unwrap();
    let at = bytes.windows(32).position(|name| name == record.case.bytes()).unwrap();
    bytes[at + 32 + 10] ^= 1;
    files.write(path, &bytes).unwrap();
    assert!(replay(&record, &Blobs::new(files)).unwrap_err().to_string().contains("changed"));
}
