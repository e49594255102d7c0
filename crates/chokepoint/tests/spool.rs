//! A choke point whose store is away: what it decides while there is room, what when there is none, and what is on
//! record of it when the store is back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attest::breakglass::Grant;
use attest::dsse::{Dsse, IN_TOTO};
use attest::note::NoteKey;
use attest::time::Span;
use attest::{Artifact, Digest, Object, SecretKey, Signer as _, Statement, TrustRoot};
use chokepoint::{
    Admission, Answer, Basis, Chokepoint, DecideError, Entry, Event, EventKind, Governing, Limits, NewEvent,
    OpenError, Replay, chain, replay,
};
use jiff::Timestamp;
use policy::{Book, DeploymentRequest, Guardrails, Outage, SourceFile, Standing, Submitted};
use tlog::{ApplyError, Batch, Blobs, Files, Journaled, Level, Log, Newest, Receipt, Room, Target, verify};

const ORIGIN: &str = "test.example";
const SPOOL: &str = "test.example/writer-1";

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

/// A log in files that may be out of reach.
struct Gate {
    log: Arc<Mutex<Log<Files>>>,
    is_away: Arc<AtomicBool>,
}

impl Gate {
    fn check(&self) -> Result<(), ApplyError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(ApplyError::Unreachable("no route".to_owned()));
        }
        Ok(())
    }
}

impl Target for Gate {
    fn taken(&self) -> u64 {
        self.log.lock().unwrap().taken()
    }
    fn apply(&mut self, first: u64, batches: &[Batch]) -> Result<(), ApplyError> {
        self.check()?;
        Target::apply(&mut *self.log.lock().unwrap(), first, batches)
    }
    fn reached(&mut self, level: Level) -> Result<u64, ApplyError> {
        self.check()?;
        self.log.lock().unwrap().reached(level)
    }
    fn prove(&mut self, sequence: u64) -> Result<Option<Receipt>, ApplyError> {
        self.check()?;
        Target::prove(&mut *self.log.lock().unwrap(), sequence)
    }
    fn newest(&mut self) -> Result<Newest, ApplyError> {
        // its newest leaves are still known when it goes away later
        self.log.lock().unwrap().newest()
    }
}

/// A log, the spool before it, and whether the way between them is open.
struct Site {
    dir: tempfile::TempDir,
    log: Arc<Mutex<Log<Files>>>,
    is_away: Arc<AtomicBool>,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(Files::new(&dir.path().join("log")), ORIGIN, Box::new(secret(9))).unwrap();
        Self { dir, log: Arc::new(Mutex::new(log)), is_away: Arc::default() }
    }

    fn away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    fn try_start(&self, root: TrustRoot, limits: Limits) -> Result<Chokepoint<Files>, OpenError> {
        let gate = Gate { log: Arc::clone(&self.log), is_away: Arc::clone(&self.is_away) };
        let files = Files::new(&self.dir.path().join("spool"));
        let log = Journaled::open(files, SPOOL, Arc::new(secret(8)), limits.room, Box::new(gate)).unwrap();
        Chokepoint::start(Governing::new(book(), root), log, limits)
    }

    fn start(&self) -> Chokepoint<Files> {
        self.try_start(root(4), limits()).unwrap()
    }

    fn entries(&self) -> Vec<Entry> {
        let key = NoteKey { name: ORIGIN.to_owned(), key: secret(9).public().clone() };
        let mut leaves = Vec::new();
        verify(&Files::new(&self.log()), &key, None, |_, leaf| leaves.push(leaf.to_vec())).unwrap();
        assert_eq!(chain::check((0..).zip(leaves.iter().map(Vec::as_slice))), []);
        leaves.iter().map(|leaf| Entry::parse(leaf).unwrap()).collect()
    }
}

fn limits() -> Limits {
    let room = Room { segments: 2, segment: 96 * 1024, reserve: 256 * 1024 };
    Limits { room, writer: "writer-1".to_owned(), ..Limits::default() }
}

fn root(version: u64) -> TrustRoot {
    let pem = |seed| -> String {
        secret(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
    };
    let text = format!(
        "version: {version}\nsigners:\n  vendor:\n    keys:\n      - key: |\n{}people:\n  alice:\n    identities: [alice@x]\n    keys:\n      - key: |\n{}groups:\n  oncall: [alice]\n",
        pem(1),
        pem(3)
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

fn book() -> Book {
    let file = |name: &str, more: &str| SourceFile {
        name: format!("book/{name}.yaml"),
        text: format!(
            "environment: prod/{name}\nartifact: shop\n{more}\nbreakglass: {{ group: oncall, expires: 4h, reviewed-within: 24h }}\nrequire: {{ signed-by: [vendor] }}\n"
        ),
    };
    let files = vec![
        file("strict", "mode: enforce"),
        file("lenient", "mode: enforce\non-outage: admit"),
        file("dry", "mode: dry-run"),
    ];
    Book::load(files, &Guardrails::none()).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A request that meets its policy.
fn met(environment: &str) -> DeploymentRequest {
    let digests = Digest::sha256(b"shop").into();
    let statement = Statement::write("shop", &digests, "https://example.com/x", Object::new());
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&secret(1)]).unwrap();
    let mut request =
        DeploymentRequest::new(Artifact::new("shop", digests), &format!("prod/{environment}"), "test");
    let bytes = dsse.to_json().to_string().into_bytes();
    request.envelopes = vec![Submitted { name: "shop.json".to_owned(), bytes }];
    request
}

fn unmet(environment: &str) -> DeploymentRequest {
    DeploymentRequest { envelopes: Vec::new(), ..met(environment) }
}

fn granted(environment: &str) -> DeploymentRequest {
    let grant = Grant {
        id: "inc-7".to_owned(),
        environment: format!("prod/{environment}"),
        artifact: None,
        requester: None,
        reason: "down".to_owned(),
        ticket: "INC-1".into(),
        issued: at(-3600),
        expires: at(3600),
    };
    let bytes = grant.sign(&secret(3)).unwrap().to_string().into_bytes();
    DeploymentRequest { grant: Some(Submitted { name: "grant".to_owned(), bytes }), ..unmet(environment) }
}

/// Decides until the spool is full; gives the first decision for which there was no room.
fn fill(point: &Chokepoint<Files>, acknowledged: &mut Vec<Admission>) -> Admission {
    loop {
        let mut request = met("strict");
        request.requester = Some(format!("number {}", acknowledged.len()));
        let admission = point.decide(request, at(0)).unwrap();
        if admission.receipt().is_none() {
            return admission;
        }
        acknowledged.push(admission);
        // the marks are counted from here
        while point.cut_off().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn come_back(site: &Site, point: &Chokepoint<Files>) {
    site.away(false);
    while point.fill().is_full() || point.fill().is_cut_off {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_full_spool_admits_only_what_its_reserve_is_for_and_all_of_it_is_in_the_log_once_afterwards() {
    let site = Site::new();
    site.away(true);
    let point = site.start();
    let mut acknowledged = Vec::new();
    let refused = fill(&point, &mut acknowledged);
    assert!(acknowledged.len() > 5 && !refused.is_admitted());
    assert_eq!(refused.decision().word(), "cannot-decide");
    assert_eq!(refused.decision().verdict().outage(), Some(Outage::DecisionLog));
    let json = refused.decision().to_json().to_string();
    assert!(json.contains("the decision log has no room, and what is admitted must be on record"), "{json}");

    let garbage = || vec![Submitted { name: "garbage".to_owned(), bytes: b"{".to_vec() }];
    let store_too = |request| DeploymentRequest { outage: Some(Outage::EvidenceStore), ..request };
    let stands = DeploymentRequest { standing: Some(Standing::Unchanged), ..met("strict") };
    let malformed = DeploymentRequest { envelopes: garbage(), ..met("lenient") };
    let table = [
        (met("lenient"), Answer::Admit, Basis::Outage),
        (unmet("lenient"), Answer::Reject, Basis::Policy),
        (malformed, Answer::Reject, Basis::Policy),
        (store_too(unmet("lenient")), Answer::Admit, Basis::Outage),
        (store_too(met("lenient")), Answer::Admit, Basis::Outage),
        (store_too(met("strict")), Answer::Reject, Basis::CannotDecide),
        (store_too(unmet("strict")), Answer::Reject, Basis::CannotDecide),
        (met("dry"), Answer::Reject, Basis::CannotDecide),
        (unmet("dry"), Answer::Reject, Basis::Policy),
        (stands, Answer::Reject, Basis::CannotDecide),
        (granted("strict"), Answer::Admit, Basis::Breakglass),
    ];
    for (row, (request, answer, basis)) in table.into_iter().enumerate() {
        let admission = point.decide(request, at(1)).unwrap();
        assert_eq!(
            (admission.decision().answer(), admission.decision().basis()),
            (answer, basis),
            "row {row}"
        );
        assert_eq!(admission.receipt().is_some(), answer == Answer::Admit, "row {row}: on record");
        acknowledged.extend(Some(admission).filter(|a| a.receipt().is_some()));
    }
    assert_eq!(point.unrecorded(), 8, "the first one, and seven of the table");
    let event = |kind| NewEvent { at: at(2), kind, body: Object::new(), parts: Vec::new() };
    point.record(event(EventKind::Alarm)).unwrap();
    assert!(matches!(point.record(event(EventKind::ReVerified)), Err(DecideError::Full)));

    // admissions for the outage leave room to breakglass; in the end there is none for anything
    let error = loop {
        match point.decide(met("lenient"), at(3)) {
            Ok(admission) => acknowledged.push(admission),
            Err(e) => break e,
        }
    };
    assert!(matches!(error, DecideError::Full) && error.to_string().contains("no room"), "{error}");
    let mut grants = 0;
    while let Ok(admission) = point.decide(granted("strict"), at(4)) {
        grants += 1;
        acknowledged.push(admission);
    }
    assert!(grants > 3, "{grants}");
    assert!(!point.is_stopped(), "it waits for its store");

    come_back(&site, &point);
    acknowledged.push(point.decide(met("strict"), at(5)).unwrap());
    point.settle().unwrap();
    let entries = site.entries();
    let blobs = Blobs::new(Files::new(&site.log()));
    for admission in &acknowledged {
        let receipt = admission.receipt().unwrap();
        let index = usize::try_from(receipt.index()).unwrap();
        let record = entries[index].decision().unwrap();
        let leaf = record.to_json().to_string().into_bytes();
        assert_eq!(&attest::merkle::leaf_hash(&leaf), receipt.leaf(), "record {index}");
        assert_eq!(record.decision, admission.decision().word());
        assert_eq!(replay(record, &blobs).unwrap(), Replay::Same, "record {index}");
    }
    let decisions = entries.iter().filter(|entry| entry.decision().is_some()).count();
    assert_eq!(decisions, acknowledged.len(), "nothing that was not answered");
    assert_eq!(told(&entries), ["cut-off 0", "cut-off 70", "cut-off 90", "cut-off 100", "drained 0"]);
}

fn events(entries: &[Entry], kind: EventKind) -> Vec<Event> {
    let event = |entry: &Entry| match entry {
        Entry::Event(event) if event.kind == kind => Some(Event::clone(event)),
        _ => None,
    };
    entries.iter().filter_map(event).collect()
}

/// What is on record of the spool; where several marks were passed at once, that is one event.
fn told(entries: &[Entry]) -> Vec<String> {
    let words = |event: Event| {
        assert!(event.body.int("capacity").unwrap() > 0 && event.body.string("since").is_ok());
        format!("{} {}", event.body.string("state").unwrap(), event.body.int("mark").unwrap())
    };
    events(entries, EventKind::Degraded).into_iter().map(words).collect()
}

#[test]
fn what_was_judged_before_the_spool_was_full_is_judged_again() {
    let site = Site::new();
    site.away(true);
    let point = site.start();
    let decided: Vec<(bool, Basis)> = std::thread::scope(|scope| {
        let one = |number: usize| {
            let point = &point;
            scope.spawn(move || {
                let mut own = Vec::new();
                for round in 0..30 {
                    let mut request = met("lenient");
                    request.requester = Some(format!("{number} {round}"));
                    match point.decide(request, at(0)) {
                        Ok(admission) => {
                            assert!(admission.is_admitted() && admission.receipt().is_some());
                            own.push((true, admission.decision().basis()));
                        }
                        Err(DecideError::Full) => own.push((false, Basis::Outage)),
                        Err(e) => panic!("{e}"),
                    }
                }
                own
            })
        };
        let threads: Vec<_> = (0..8).map(one).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let count = |wanted| decided.iter().filter(|one| **one == wanted).count();
    assert!(
        count((true, Basis::Policy)) > 0
            && count((true, Basis::Outage)) > 0
            && count((false, Basis::Outage)) > 0
    );
    come_back(&site, &point);
    point.settle().unwrap();
    let entries = site.entries();
    let decisions = entries.iter().filter(|entry| entry.decision().is_some()).count();
    assert_eq!(decisions, decided.iter().filter(|(is_admitted, _)| *is_admitted).count());
}

#[test]
fn an_admission_waits_for_its_level_and_a_rejection_does_not() {
    let site = Site::new();
    let within = Duration::from_millis(100);
    let point =
        site.try_start(root(4), Limits { level: Level::Quorum, level_within: within, ..limits() }).unwrap();
    assert!(point.decide(met("strict"), at(0)).unwrap().is_admitted());
    assert_eq!(point.pending(), 0, "it is in the store");
    site.away(true);
    assert!(!point.decide(unmet("strict"), at(1)).unwrap().is_admitted());
    let error = point.decide(met("strict"), at(2)).unwrap_err();
    assert!(matches!(error, DecideError::NotReached { level: Level::Quorum }), "{error}");
    assert_eq!(
        error.to_string(),
        "the decision is on record here, and not yet quorum, as it must be; ask again"
    );
    come_back(&site, &point);
    point.settle().unwrap();
    assert_eq!(site.entries().iter().filter_map(Entry::decision).count(), 3, "all of it is on record");
}

#[test]
fn in_files_an_admission_may_wait_for_a_checkpoint_that_was_witnessed() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::new(dir.path());
    let log = Log::create(files, ORIGIN, Box::new(secret(9))).unwrap();
    let within = Duration::from_secs(20);
    let limits = Limits { level: Level::Witnessed, level_within: within, ..limits() };
    let point = Chokepoint::open_with(book(), root(4), log, limits).unwrap();
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| point.decide(met("strict"), at(0)));
        // the witnesses: they cosign what the log published, once it has this decision
        let published = |dir: &Path| std::fs::read_to_string(dir.join("checkpoint")).unwrap();
        while published(dir.path()).lines().nth(1) != Some("3") {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(100));
        assert!(!asked.is_finished(), "nobody witnessed it yet");
        std::fs::write(dir.path().join("witnessed"), published(dir.path())).unwrap();
        asked.join().unwrap()
    });
    assert!(asked.unwrap().is_admitted());
    // another log's checkpoint is none
    let other = tempfile::tempdir().unwrap();
    drop(Log::create(Files::new(other.path()), ORIGIN, Box::new(secret(7))).unwrap());
    std::fs::copy(other.path().join("checkpoint"), dir.path().join("witnessed")).unwrap();
    let reached =
        Log::open(Files::new(dir.path()), ORIGIN, Box::new(secret(9))).unwrap().reached(Level::Witnessed);
    assert_eq!(reached.unwrap(), 0);
}

#[test]
fn an_epoch_opens_with_the_first_entry_and_says_what_the_one_before_came_to() {
    let site = Site::new();
    drop(site.start());
    assert_eq!(site.entries(), [], "a process that records nothing writes nothing");
    let point = site.start();
    point.decide(met("strict"), at(0)).unwrap();
    point.replace(book(), root(4)).unwrap();
    point.decide(met("strict"), at(1)).unwrap();
    point.replace(book(), root(5)).unwrap();
    point.decide(met("strict"), at(2)).unwrap();
    drop(point);
    let again = site.try_start(root(5), limits()).unwrap();
    again.decide(met("strict"), at(3)).unwrap();
    drop(again);
    let renamed = site.try_start(root(5), Limits { writer: "other".to_owned(), ..limits() }).unwrap();
    renamed.decide(met("strict"), at(4)).unwrap();
    drop(renamed);
    let entries = site.entries();
    let kinds: Vec<&str> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Decision(_) => "decision",
            Entry::Event(event) => event.kind.name(),
        })
        .collect();
    let first = ["epoch-open", "files-in-force", "decision", "decision", "files-in-force", "decision"];
    let then = ["epoch-open", "decision", "epoch-open", "decision"];
    assert_eq!(kinds, [first.as_slice(), then.as_slice()].concat());
    let opened = events(&entries, EventKind::EpochOpen);
    let why: Vec<&str> = opened.iter().map(|event| event.body.string("why").unwrap()).collect();
    assert_eq!(why, ["first start", "start", "continues writer-1"]);
    assert_eq!(opened[1].body.int("last_sequence").unwrap(), 5);
    assert_eq!(
        opened.iter().map(|e| (e.position.epoch, e.at)).collect::<Vec<_>>(),
        [(0, at(0)), (1, at(3)), (2, at(4))]
    );
    let files = events(&entries, EventKind::FilesInForce);
    assert_eq!(files[1].body.int("trust_root_version").unwrap(), 5);
    let blobs = Blobs::new(Files::new(&site.log()));
    assert!(files[1].parts.iter().all(|part| blobs.get(part).is_ok()) && files[1].parts.len() == 2);

    let governing = Governing {
        guardrails: Some(b"forbid: {}".to_vec()),
        configuration: Some(b"listen: 1".to_vec()),
        ..Governing::new(book(), root(5))
    };
    let point = site.try_start(root(5), limits()).unwrap();
    point.replace_with(governing).unwrap();
    point.decide(met("strict"), at(5)).unwrap();
    point.replace(book(), root(6)).unwrap();
    point.decide(met("strict"), at(6)).unwrap();
    drop(point);
    let entries = site.entries();
    let files = events(&entries, EventKind::FilesInForce);
    let frame = entries.last().unwrap().decision().unwrap().case(&blobs).unwrap().frame().clone();
    for file in &files[files.len() - 2..] {
        assert_eq!(file.body.string("guardrails").unwrap(), Digest::sha256(b"forbid: {}").to_string());
        assert_eq!(
            file.body.string("configuration").unwrap(),
            frame.beside.configuration.clone().unwrap().to_string()
        );
        assert_eq!(frame.beside.guardrails.as_ref(), file.parts.last(), "its text is kept");
    }

    for writer in [String::new(), "w".repeat(101)] {
        let error = site.try_start(root(5), Limits { writer, ..limits() }).unwrap_err();
        assert!(
            error.to_string().starts_with("a writer has a name of 1 to 100 characters; found "),
            "{error}"
        );
    }
}

#[test]
fn what_only_the_spool_holds_is_known_after_a_restart() {
    let site = Site::new();
    site.away(true);
    let point = site.start();
    point.decide(met("strict"), at(100)).unwrap();
    drop(point);
    assert!(
        matches!(site.try_start(root(3), limits()), Err(OpenError::RolledBack(_))),
        "an older trust root"
    );
    let again = site.start();
    let late = again.decide(met("strict"), at(-100)).unwrap();
    assert_eq!(late.decision().word(), "cannot-decide", "the clock went back");
    site.away(false);
    drop(again);
    let entries = site.entries();
    assert_eq!(entries.iter().filter_map(Entry::decision).count(), 2);
    assert_eq!(events(&entries, EventKind::EpochOpen)[1].body.int("last_sequence").unwrap(), 2);
}

#[test]
fn a_writer_that_has_nothing_to_record_says_that_it_lives() {
    let site = Site::new();
    let point = site.start();
    let every = Span::seconds(10);
    assert!(point.heartbeat(at(0), every).unwrap().is_some());
    assert!(point.heartbeat(at(9), every).unwrap().is_none());
    point.decide(met("strict"), at(9)).unwrap();
    assert!(point.heartbeat(at(12), every).unwrap().is_none(), "a decision says so too");
    assert!(point.heartbeat(at(19), every).unwrap().is_some());
    drop(point);
    let entries = site.entries();
    let beats = events(&entries, EventKind::Heartbeat);
    assert_eq!(beats.len(), 2);
    let number = |key| beats[1].body.int(key).unwrap();
    assert_eq!((number("recorded"), number("fill"), number("every")), (4, 0, 10));
}
