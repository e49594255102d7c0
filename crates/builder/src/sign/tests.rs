//! One build, one signature: whenever the signer is killed, whatever is asked for next.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use attest::bundle::{Bundle, Content};
use attest::dsse::Dsse;
use attest::secret::SignError as KeyError;
use attest::{Digest, PublicKey, Scheme, SecretKey, Statement};

use super::*;
use crate::record::{BuildRecord, FailureRecord};

type Edit<'a> = &'a dyn Fn(&mut BuildRecord);

const ORIGIN: &str = "builds.example/log";

/// What a killed process leaves: everything written before, and the last write or not.
#[derive(Clone, Copy, Debug)]
enum Killed {
    BeforeTheWrite,
    AfterTheWrite,
}

#[derive(Default)]
struct Disk {
    files: RefCell<BTreeMap<String, Vec<u8>>>,
    writes: Cell<usize>,
    kill_at: Cell<Option<(usize, Killed)>>,
}

#[derive(Clone)]
struct Folder(Rc<Disk>, &'static str);

impl Storage for Folder {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.files.borrow().get(&format!("{}/{path}", self.1)).cloned())
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let number = self.0.writes.get();
        self.0.writes.set(number + 1);
        let killed = self.0.kill_at.get().filter(|(at, _)| *at <= number);
        if !matches!(killed, Some((at, Killed::BeforeTheWrite)) if at <= number)
            && killed.is_none_or(|(at, _)| at == number)
        {
            self.0.files.borrow_mut().insert(format!("{}/{path}", self.1), bytes.to_vec());
        }
        killed.map_or(Ok(()), |_| Err(io::Error::other("killed")))
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.files.borrow_mut().remove(&format!("{}/{path}", self.1));
        Ok(())
    }
}

/// A key that remembers what it signed.
struct Witness {
    key: SecretKey,
    signed: RefCell<Vec<Vec<u8>>>,
}

impl Signer for Witness {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.signed.borrow_mut().push(message.to_vec());
        self.key.sign(message)
    }
}

/// A machine on which a signer is started again and again.
struct Machine {
    disk: Rc<Disk>,
    key: Witness,
}

impl Machine {
    fn new() -> Self {
        // ECDSA: two signatures over one message differ, so equal bytes mean one signature
        let key = Witness { key: SecretKey::generate(Scheme::P256).unwrap(), signed: RefCell::default() };
        let disk = Rc::new(Disk::default());
        Log::create(Folder(Rc::clone(&disk), "log"), ORIGIN, log_key()).unwrap();
        Self { disk, key }
    }

    /// One life of the signer.
    fn ask(&self, records: &[&Record]) -> Vec<Result<Json, SignError>> {
        self.ask_at(600, now(), records)
    }

    fn ask_at(&self, rate: u32, now: Timestamp, records: &[&Record]) -> Vec<Result<Json, SignError>> {
        let folder = |name| Folder(Rc::clone(&self.disk), name);
        let mut log = Log::open(folder("log"), ORIGIN, log_key()).unwrap();
        let mut desk = Desk {
            builder_id: "https://ci.example/official",
            key: &self.key,
            log: &mut log,
            ledger: Ledger::new(folder("signed")),
            rate: Rate::new(rate, now),
        };
        records.iter().map(|record| desk.sign(record, now)).collect()
    }

    fn log_size(&self) -> u64 {
        Log::open(Folder(Rc::clone(&self.disk), "log"), ORIGIN, log_key()).unwrap().size()
    }

    /// The statements that the key was used for.
    fn statements(&self) -> BTreeSet<Vec<u8>> {
        self.key.signed.borrow().iter().cloned().collect()
    }
}

fn log_key() -> Box<tlog::LogSigner> {
    Box::new(SecretKey::from_ed25519_seed(&[7; 32]).unwrap())
}

fn now() -> Timestamp {
    "2026-11-22T09:00:00Z".parse().unwrap()
}

fn build(invocation: &str, name: &str, content: &[u8]) -> Record {
    let text = format!(
        r#"{{"kind":"build","record":{{"name":"{name}","digest":"{}","predicate":{{"buildDefinition":{{"buildType":"https://portcullis.dev/build/git/v1","externalParameters":{{"source":{{"repository":"https://github.com/acme/shop","ref":"refs/heads/main"}},"target":"shop"}},"internalParameters":{{"portcullis_hermetic":true,"portcullis_command":["make"],"portcullis_isolation":{{"tier":"bubblewrap","held":["descriptors","files","inputs","network","privileges","processes","system-calls","limits"]}}}},"resolvedDependencies":[{{"uri":"git+https://github.com/acme/shop","digest":{{"gitCommit":"{}"}},"annotations":{{"role":"source"}}}}]}},"runDetails":{{"builder":{{"id":""}},"metadata":{{"invocationId":"{invocation}","startedOn":"2026-11-22T08:00:00Z","finishedOn":"2026-11-22T08:30:00Z"}}}}}}}}}}"#,
        Digest::sha256(content),
        "a".repeat(40)
    );
    Record::read(&attest::json::parse(text.as_bytes()).unwrap()).unwrap()
}

fn failure(invocation: &str, reason: &str) -> Record {
    Record::Failure(Box::new(FailureRecord {
        repository: "https://github.com/acme/shop".to_owned(),
        reference: "refs/heads/main".to_owned(),
        target: "shop".to_owned(),
        commit: Digest::parse(&format!("gitCommit:{}", "a".repeat(40))).unwrap(),
        reason: reason.to_owned(),
        log: Digest::sha256(b"the log"),
        started: "2026-11-22T08:00:00Z".parse().unwrap(),
        finished: "2026-11-22T08:30:00Z".parse().unwrap(),
        invocation: invocation.to_owned(),
    }))
}

fn why(result: &Result<Json, SignError>) -> String {
    result.as_ref().map(|_| ()).unwrap_err().to_string()
}

/// The envelope of a bundle verifies, and its one log entry is there.
fn check(bundle: &Json, key: &Witness) -> Dsse {
    let bundle = Bundle::read(bundle.as_object().unwrap(), bundle.to_string().as_bytes()).unwrap();
    let Content::Dsse(dsse) = bundle.content else { panic!("an envelope") };
    key.public().verify(&dsse.pae(), &dsse.signatures[0].bytes).unwrap();
    assert_eq!(bundle.log_entries.len(), 1);
    dsse
}

#[test]
fn the_same_record_gives_the_same_bytes_in_every_life_and_uses_the_key_once() {
    let machine = Machine::new();
    let record = build("run-0001", "shop", b"one");
    let first = machine.ask(&[&record, &record]);
    let later = machine.ask(&[&build("run-0002", "shop", b"x"), &record]);
    let bytes = |r: &Result<Json, SignError>| r.as_ref().unwrap().to_string();
    assert_eq!(bytes(&first[0]), bytes(&first[1]));
    assert_eq!(bytes(&first[0]), bytes(&later[1]));
    assert_eq!((machine.key.signed.borrow().len(), machine.log_size()), (2, 2));
    let dsse = check(first[0].as_ref().unwrap(), &machine.key);
    let statement = Statement::parse(&dsse.payload).unwrap();
    assert_eq!(statement.subjects[0].digests.first(), Some(Digest::sha256(b"one")));
}

#[test]
fn a_token_is_the_same_record_signed_once_and_logged() {
    let machine = Machine::new();
    let record = build("run-0001", "shop", b"one");
    let Record::Build(inner) = &record else { panic!() };
    let token = Record::Token(inner.clone());
    let other = match build("run-0001", "shop", b"two") {
        Record::Build(other) => Record::Token(other),
        _ => panic!(),
    };
    let first = machine.ask(&[&record, &token, &token, &other]);
    let later = machine.ask(&[&token]);
    let text = |r: &Result<Json, SignError>| r.as_ref().unwrap().as_str().unwrap().to_owned();
    assert_eq!((text(&first[1]), text(&first[1])), (text(&first[2]), text(&later[0])), "in every life");
    assert!(why(&first[3]).contains("already signed with other content"));
    assert_eq!((machine.key.signed.borrow().len(), machine.log_size()), (2, 2), "an envelope and a token");
    let jws = attest::jwt::Jws::parse(&text(&first[1])).unwrap();
    assert!(jws.verify(machine.key.public()).is_some());
    assert_eq!(jws.kind(), Some("provenance+jwt"));
}

#[test]
fn another_record_for_the_same_output_of_the_same_build_is_refused() {
    let machine = Machine::new();
    let results = machine.ask(&[
        &build("run-0001", "shop", b"one"),
        &build("run-0001", "shop", b"two"),
        &build("run-0001", "tool", b"two"),
        &build("run-0002", "shop", b"two"),
    ]);
    assert!(results[0].is_ok());
    assert_eq!(
        why(&results[1]),
        "the signer refused: `shop` of the build run-0001 is already signed with other content"
    );
    assert!(results[2].is_ok() && results[3].is_ok(), "another output and another build are others");
    assert_eq!(machine.log_size(), 3);
}

#[test]
fn a_build_ends_one_way() {
    let machine = Machine::new();
    let (good, bad) = (build("run-0001", "shop", b"one"), failure("run-0001", "exit status 2"));
    let results = machine.ask(&[&good, &bad]);
    assert!(
        why(&results[1])
            .contains("the build run-0001 has signed provenance and cannot be recorded as failed")
    );
    let (good, bad) = (build("run-0002", "shop", b"one"), failure("run-0002", "exit status 2"));
    let results = machine.ask(&[&bad, &good, &failure("run-0002", "something else"), &bad]);
    assert!(why(&results[1]).contains("the build run-0002 is recorded as failed and gets no provenance"));
    assert!(
        why(&results[2]).contains("the failure of the build run-0002 is already signed with other content")
    );
    assert_eq!(results[0].as_ref().unwrap(), results[3].as_ref().unwrap());
}

/// For each write of one signature, the signer is killed before and after it. Started anew, it gives the same record
/// one bundle and one leaf; and whatever other record is asked for instead, the key never signs two.
#[test]
fn killed_at_any_write_a_build_has_one_signature_in_the_end() {
    let (wanted, other) = (build("run-0001", "shop", b"one"), build("run-0001", "shop", b"two"));
    for before in [0_u8, 3] {
        for killed in [Killed::BeforeTheWrite, Killed::AfterTheWrite] {
            for at in 0.. {
                let dead = || {
                    let machine = Machine::new();
                    for n in 0..before {
                        machine.ask(&[&build(&format!("earlier-{n}"), "shop", &[n])])[0].as_ref().unwrap();
                    }
                    machine.key.signed.borrow_mut().clear();
                    machine.disk.kill_at.set(Some((machine.disk.writes.get() + at, killed)));
                    let result = machine.ask(&[&wanted]).remove(0);
                    machine.disk.kill_at.set(None);
                    (machine, result)
                };
                let row = format!("{before} before, killed {killed:?} {at}");
                let (machine, result) = dead();
                if result.is_ok() {
                    assert!(at >= 6, "{row}: a signature has at least six writes");
                    break;
                }
                assert!(matches!(result, Err(SignError::Stopped(_))), "{row}: {}", why(&result));
                let again = machine.ask(&[&wanted, &wanted]);
                assert_eq!(again[0].as_ref().unwrap(), again[1].as_ref().unwrap(), "{row}");
                check(again[0].as_ref().unwrap(), &machine.key);
                assert_eq!(machine.log_size(), u64::from(before) + 1, "{row}: one leaf");
                assert_eq!(machine.statements().len(), 1, "{row}");
                // the same death, and then somebody asks for other content
                let (machine, _) = dead();
                let results = machine.ask(&[&other, &wanted]);
                assert!(results.iter().filter(|r| r.is_ok()).count() == 1, "{row}: one of the two");
                assert_eq!(machine.statements().len(), 1, "{row}: the key was used for one of them only");
                assert_eq!(machine.log_size(), u64::from(before) + 1, "{row}");
            }
        }
    }
}

/// Dead after signing, before logging; others were signed before the build is asked for again.
#[test]
fn a_signature_that_was_not_logged_is_logged_later_and_not_made_anew() {
    let machine = Machine::new();
    let wanted = build("run-0001", "shop", b"one");
    // writes: reserved, signed, then the log's
    machine.disk.kill_at.set(Some((machine.disk.writes.get() + 1, Killed::AfterTheWrite)));
    assert!(machine.ask(&[&wanted])[0].is_err());
    machine.disk.kill_at.set(None);
    for n in 0..4_u8 {
        machine.ask(&[&build(&format!("another-{n}"), "shop", &[n])])[0].as_ref().unwrap();
    }
    let uses = machine.key.signed.borrow().len();
    check(machine.ask(&[&wanted])[0].as_ref().unwrap(), &machine.key);
    assert_eq!((machine.key.signed.borrow().len(), machine.log_size()), (uses, 5));
}

#[test]
fn a_ledger_that_somebody_edits_signs_nothing() {
    let machine = Machine::new();
    let record = build("run-0001", "shop", b"one");
    machine.ask(&[&record])[0].as_ref().unwrap();
    let path = machine.disk.files.borrow().keys().find(|k| k.starts_with("signed/")).unwrap().clone();
    let good = machine.disk.files.borrow()[&path].clone();
    let text = String::from_utf8(good).unwrap();
    for (from, to) in
        [("payload", "payloads"), ("run-0001", "run-0009"), ("\"digest\"", "\"dig\""), ("{", "")]
    {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text);
        machine.disk.files.borrow_mut().insert(path.clone(), edited.into_bytes());
        let text = why(&machine.ask(&[&record])[0]);
        assert!(text.contains("is not what was written there"), "{from}: {text}");
    }
}

#[test]
fn the_rate_counts_signatures_and_not_repetitions() {
    let machine = Machine::new();
    let record = |n: u8| build(&format!("run-000{n}"), "shop", &[n]);
    let (one, two, three) = (record(1), record(2), record(3));
    let results = machine.ask_at(2, now(), &[&one, &one, &one, &two, &three, &one]);
    let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, true, true, false, true]);
    assert_eq!(
        why(&results[4]),
        "the signer refused: the 2 signatures of this hour are used up; try again at 2026-11-22T09:30:01Z"
    );
    assert_eq!(machine.log_size(), 2, "what was refused is not noted either");
    assert!(machine.ask(&[&three])[0].is_ok());
}

#[test]
fn what_a_record_must_hold_to_be_signed() {
    let Record::Build(good) = build("run-0001", "shop", b"one") else { panic!() };
    let change = |change: &dyn Fn(&mut BuildRecord)| {
        let mut record = good.clone();
        change(&mut record);
        let machine = Machine::new();
        let text = why(&machine.ask(&[&Record::Build(record)])[0]);
        assert!(machine.disk.files.borrow().keys().all(|k| !k.starts_with("signed/")), "nothing is noted");
        text
    };
    let cases: [(Edit<'_>, &str); 19] = [
        (&|r| r.provenance.invocation = None, "no invocation id"),
        (&|r| r.provenance.invocation = Some("short".to_owned()), "no invocation id"),
        (&|r| r.provenance.invocation = Some("with a blank".to_owned()), "no invocation id"),
        (&|r| r.name = "../shop".to_owned(), "not one of a file"),
        (&|r| r.name = "..".to_owned(), "not one of a file"),
        (&|r| r.name = "a\nb".to_owned(), "not one of a file"),
        (&|r| r.digest = Digest::parse(&format!("gitCommit:{}", "b".repeat(40))).unwrap(), "not SHA-256"),
        (&|r| r.provenance.source = None, "a repository, a full ref and a commit"),
        (&|r| r.provenance.source.as_mut().unwrap().reference = Some("main".to_owned()), "a full ref"),
        (&|r| r.provenance.target = None, "names no target"),
        (&|r| r.provenance.command = Some(Vec::new()), "no command"),
        (&|r| r.provenance.hermetic = false, "every input was declared"),
        (
            &|r| {
                let digests = attest::DigestSet::default();
                let uri = "https://x".to_owned();
                r.provenance.dependencies.push(attest::provenance::Dependency {
                    uri,
                    digests,
                    ..attest::provenance::Dependency::default()
                });
            },
            "the input https://x has no digest",
        ),
        (&|r| r.provenance.isolation = None, "`descriptors` is missing"),
        (
            &|r| r.provenance.isolation.as_mut().unwrap().held.retain(|l| l != "network"),
            "`network` is missing",
        ),
        (&|r| r.provenance.isolation.as_mut().unwrap().held.retain(|l| l != "limits"), "`limits` is missing"),
        (&|r| r.provenance.started = None, "when the build began"),
        (&|r| r.provenance.started = Some(now()), "after that, ended"),
        (&|r| r.provenance.finished = Some("2026-11-22T09:01:01Z".parse().unwrap()), "in the future"),
    ];
    for (number, (edit, wanted)) in cases.into_iter().enumerate() {
        let text = change(edit);
        assert!(text.contains(wanted), "{number}: {wanted} in {text}");
    }
    // a clock that is a minute behind is nothing to stop for
    let mut record = good;
    record.provenance.finished = Some("2026-11-22T09:01:00Z".parse().unwrap());
    assert!(Machine::new().ask(&[&Record::Build(record)])[0].is_ok());
}

#[test]
fn an_image_that_nothing_ran_for_claims_no_sandbox() {
    let Record::Build(mut record) = build("run-0001", "shop.oci.tar", b"one") else { panic!() };
    let held = record.provenance.isolation.take();
    let sign =
        |record: &BuildRecord| Machine::new().ask(&[&Record::Build(Box::new(record.clone()))]).remove(0);
    for almost in [["portcullis", "image", "{ }"], ["portcullis", "images", "{}"], ["sh", "image", "{}"]] {
        record.provenance.command = Some(almost.map(str::to_owned).to_vec());
        assert!(why(&sign(&record)).contains("`descriptors` is missing"), "{almost:?}");
    }
    record.provenance.command = Some(["portcullis", "image", "{}"].map(str::to_owned).to_vec());
    assert!(sign(&record).is_ok());
    // a sandbox that is claimed must have held, whatever is said to have run in it
    record.provenance.isolation = held;
    record.provenance.isolation.as_mut().unwrap().held.clear();
    assert!(why(&sign(&record)).contains("`descriptors` is missing"));
}

#[test]
fn a_failure_is_signed_as_one_and_only_with_one_line_of_reason() {
    let machine = Machine::new();
    let bundle = machine.ask(&[&failure("run-0001", "exit status 2")]).remove(0).unwrap();
    let dsse = check(&bundle, &machine.key);
    let text = String::from_utf8(dsse.payload.clone()).unwrap();
    for wanted in [
        r#""predicateType":"https://portcullis.dev/build-failure/v1""#,
        r#""gitCommit":"aaaa"#,
        r#""result":"failed""#,
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    for bad in ["", "two\nlines", "\u{1b}[2J", &"x".repeat(501)] {
        assert!(why(&machine.ask(&[&failure("run-0002", bad)])[0]).contains("not one line"), "{bad:?}");
    }
}
