use attest::breakglass::{Grant, GrantReview, ReviewVerdict};
use attest::{Algorithm, Artifact, Object, SecretKey, Signer as _};
use chokepoint::{Chokepoint, Limits};
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Blobs, Files, Log, Reader};

use super::*;
use crate::webhook::AlarmSink;

const TURN: Duration = Duration::from_secs(60);
const BOOK: &str = "environment: prod/shop\nartifact: shop\nmode: enforce\nbreakglass: { group: oncall, expires: 4h, reviewed-within: 24h }\nrequire: { signed-by: [vendor] }\n";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn root() -> TrustRoot {
    let one = |seed: u8| {
        let pem: String = key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
        format!("    keys:\n      - key: |\n{pem}")
    };
    let text = format!(
        "version: 1\nsigners:\n  vendor:\n{}people:\n  alice:\n    identities: [alice@x]\n{}  carol:\n    identities: [carol@x]\n{}groups:\n  oncall: [alice]\n",
        one(1),
        one(2),
        one(4)
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A real log in files, as a choke point writes it.
pub(crate) struct Real {
    pub(crate) point: Chokepoint<Files>,
    pub(crate) files: Files,
    pub(crate) is_full: std::sync::atomic::AtomicBool,
    /// Only the reserve has room: alarms go in, and nothing else does.
    is_reserve: std::sync::atomic::AtomicBool,
    /// The next entry that is no alarm is the last for which there is room beside the reserve.
    fills_up: std::sync::atomic::AtomicBool,
    /// What nobody waited for is in the spool only.
    is_spooled: std::sync::atomic::AtomicBool,
}

impl Real {
    pub(crate) fn open(dir: &Path) -> Arc<Self> {
        let files = Files::new(&dir.join("log"));
        let signer = || Box::new(key(9));
        let log = Log::open(files.clone(), "log.example", signer())
            .or_else(|_| Log::create(files.clone(), "log.example", signer()))
            .unwrap();
        let file = SourceFile { name: "book/shop.yaml".to_owned(), text: BOOK.to_owned() };
        let book = Book::load(vec![file], &Guardrails::none()).unwrap();
        let point = Chokepoint::open_with(book, root(), log, Limits::default()).unwrap();
        let [is_full, is_reserve, fills_up, is_spooled] = [(); 4].map(|()| false.into());
        Arc::new(Self { point, files, is_full, is_reserve, fills_up, is_spooled })
    }

    /// A deployment under alice's grant: its place, leaf, record and decision.
    pub(crate) fn let_in(&self, what: &str, seconds: i64) -> (u64, Digest, Record, Decision) {
        let grant = Grant {
            id: "bg-1".to_owned(),
            environment: "prod/shop".to_owned(),
            artifact: None,
            requester: None,
            reason: "checkout is down".to_owned(),
            ticket: "INC-7".to_owned(),
            issued: at(0),
            expires: at(4 * 3600),
        };
        let bytes = grant.sign(&key(2)).unwrap().to_string().into_bytes();
        let artifact = Artifact::new("shop", Digest::sha256(what.as_bytes()).into());
        let mut request = DeploymentRequest::new(artifact, "prod/shop", "test");
        request.grant = Some(Submitted { name: "grant".to_owned(), bytes });
        let admission = self.point.decide(request, at(seconds)).unwrap();
        self.point.settle().unwrap();
        let leaf = self.leaves(admission.index().unwrap()).unwrap().remove(0);
        let hash = Digest::from_bytes(Algorithm::Sha256, attest::merkle::leaf_hash(&leaf).to_vec()).unwrap();
        (admission.index().unwrap(), hash, Record::parse(&leaf).unwrap(), admission.decision().clone())
    }

    /// What is on record behind the two entries with which every log begins, checked here.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.point.settle().unwrap();
        let leaves = self.leaves(0).unwrap();
        let kind = |leaf: &Vec<u8>| match Entry::parse(leaf).unwrap() {
            Entry::Decision(record) => record.basis,
            Entry::Event(event) => {
                let kind = event.body.string("kind").unwrap_or("").to_owned();
                format!("{} {kind}", event.kind).trim_end().to_owned()
            }
        };
        let mut kinds: Vec<String> = leaves.iter().map(kind).collect();
        let begin: Vec<String> = kinds.drain(..2).collect();
        assert_eq!(begin, ["epoch-open", "files-in-force"]);
        kinds
    }
}

impl Recorder for Real {
    fn record(&self, event: NewEvent) -> Result<u64, String> {
        if self.is_full.load(std::sync::atomic::Ordering::SeqCst) {
            return Err("the log is full".to_owned());
        }
        let is_emergency = matches!(event.kind, EventKind::Alarm | EventKind::Degraded);
        if self.is_reserve.load(std::sync::atomic::Ordering::SeqCst) && !is_emergency {
            return Err("only the reserve has room".to_owned());
        }
        if !is_emergency && self.fills_up.swap(false, std::sync::atomic::Ordering::SeqCst) {
            self.is_reserve.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        self.point.record(event).map(|promise| promise.index()).map_err(|e| e.to_string())
    }

    fn leaves(&self, from: u64) -> Result<Vec<Vec<u8>>, String> {
        let reader = Reader::new(&self.files, self.point.recorded() - self.point.pending());
        (from..reader.size()).map(|index| reader.entry(index).map_err(|e| e.to_string())).collect()
    }

    fn part(&self, digest: &Digest) -> Option<Vec<u8>> {
        let is_there = !self.is_spooled.load(std::sync::atomic::Ordering::SeqCst);
        is_there.then(|| Blobs::new(self.files.clone()).get(digest).ok()).flatten()
    }

    fn origin(&self) -> String {
        "log.example".to_owned()
    }
}

pub(crate) fn desk(dir: &Path, real: &Arc<Real>) -> Desk {
    let config = AlarmsConfig {
        sinks: vec![AlarmSink::File(dir.join("alarms.jsonl"))],
        budget: Budget::parse("0 per 7d"),
        close: Vec::new(),
    };
    let clock: Clock = Arc::new(|| at(100));
    Desk::open(&config, &dir.join("state"), Arc::clone(real) as Arc<dyn Recorder>, &root(), &clock).unwrap()
}

/// Waits until so many lines were told; gives their kinds.
fn told(dir: &Path, count: usize) -> Vec<String> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(dir.join("alarms.jsonl")).unwrap_or_default();
        let kind = |line: &str| {
            let json = attest::json::parse(line.as_bytes()).unwrap();
            let object = json.as_object().unwrap().clone();
            let kind = object.object("alarm").unwrap().string("kind").unwrap().to_owned();
            format!("{} {kind}", object.string("event").unwrap())
        };
        if text.lines().count() >= count {
            return text.lines().map(kind).collect();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn breakglass_is_on_record_as_alarmed_before_the_answer_told_reviewed_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    let (index, leaf, record, decision) = real.let_in("shop", 60);
    desk.decided(index, &leaf, &record, &decision, at(60)).unwrap();
    assert_eq!(real.kinds(), ["breakglass", "alarm breakglass-used"]);
    desk.decided(index, &leaf, &record, &decision, at(61)).unwrap();
    assert_eq!(real.kinds().len(), 2, "the same is raised once");
    let open = desk.state().alarms.open().next().unwrap().alarm.clone();
    assert!(open.found.contains("by alice for INC-7: checkout is down"), "{}", open.found);
    desk.look(at(62)).unwrap();
    desk.look(at(63)).unwrap();
    assert_eq!(real.kinds()[2..], ["alarm breakglass-budget"]);
    desk.look(at(60 + 24 * 3600)).unwrap();
    assert_eq!(real.kinds()[3..], ["alarm breakglass-unreviewed"]);
    let used = desk.state().reviews.grants().next().unwrap().clone();
    let review = GrantReview {
        digest: used.digest.clone(),
        grant: used.id.clone(),
        verdict: ReviewVerdict::Justified,
        comment: "right".to_owned(),
        records: used.records.keys().cloned().collect(),
        reviewed: at(25 * 3600),
    };
    let signed = |seed| review.sign(&key(seed)).unwrap().to_string().into_bytes();
    let refused = desk.review(&root(), &signed(2), at(25 * 3600)).unwrap_err().to_string();
    assert_eq!(refused, "alice gave the grant; somebody else reviews it");
    desk.review(&root(), &signed(4), at(25 * 3600)).unwrap();
    let after = ["breakglass-review", "alarm-closed breakglass-used", "alarm-closed breakglass-unreviewed"];
    assert_eq!(real.kinds()[4..], after);
    desk.look(at(26 * 3600)).unwrap();
    assert_eq!(real.kinds().len(), 7);
    let all = told(dir.path(), 5);
    assert_eq!(all[..3], ["alarm breakglass-used", "alarm breakglass-budget", "alarm breakglass-unreviewed"]);
    assert_eq!(all.len(), 5);
}

#[test]
fn a_process_that_died_between_the_two_raises_the_alarm_at_its_next_start_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    real.let_in("shop", 60);
    for _ in 0..2 {
        let desk = desk(dir.path(), &real);
        let open = desk.state().alarms.open().next().unwrap().alarm.clone();
        assert!(open.found.contains("by alice for INC-7: checkout is down"), "{}", open.found);
        assert_eq!(desk.state().reviews.grants().count(), 1);
        assert_eq!(real.kinds(), ["breakglass", "alarm breakglass-used"]);
        assert_eq!(told(dir.path(), 1), ["alarm breakglass-used"]);
        // what was told is kept a moment after it was told
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(told(dir.path(), 1).len(), 1);
}

#[test]
fn what_the_log_does_not_take_is_told_to_nobody_and_raised_again() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    let alarm = Alarm::witness_refuses("witness.example", "409", at(0));
    real.is_full.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(desk.raise(alarm.clone(), at(0)).unwrap_err(), "the log is full");
    real.is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(desk.raise(alarm.clone(), at(1)).unwrap());
    assert!(!desk.raise(alarm.clone(), at(2)).unwrap());
    desk.acknowledge(&alarm.id(), "alice.example", "known", at(3)).unwrap().unwrap();
    assert_eq!(real.kinds(), ["alarm witness-refuses", "alarm-closed witness-refuses"]);
    assert_eq!(told(dir.path(), 2), ["alarm witness-refuses", "alarm-closed witness-refuses"]);
    let mut registry = prometheus_client::registry::Registry::with_prefix("portcullis");
    desk.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("portcullis_alarms{kind=\"witness-refuses\",severity=\"critical\"} 0"), "{text}");
    assert!(text.contains("portcullis_alarm_deliveries_total{sink=\"file "), "{text}");
}

#[test]
fn whose_grant_it_was_is_known_before_the_spool_is_drained_and_where_it_is_not_no_review_counts() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    real.is_spooled.store(true, std::sync::atomic::Ordering::SeqCst);
    let (index, leaf, record, decision) = real.let_in("shop", 60);
    desk.decided(index, &leaf, &record, &decision, at(60)).unwrap();
    let used = desk.state().reviews.grants().next().unwrap().clone();
    assert_eq!((used.person.as_str(), used.ticket.as_str()), ("alice", "INC-7"));
    let review = |digest: &Digest| GrantReview {
        digest: digest.clone(),
        grant: "bg-1".to_owned(),
        verdict: ReviewVerdict::Justified,
        comment: "right".to_owned(),
        records: vec![leaf.clone()],
        reviewed: at(100),
    };
    let signed = |review: GrantReview, seed| review.sign(&key(seed)).unwrap().to_string().into_bytes();
    let refused = desk.review(&root(), &signed(review(&used.digest), 2), at(100)).unwrap_err();
    assert_eq!(refused.to_string(), "alice gave the grant; somebody else reviews it");
    desk.review(&root(), &signed(review(&used.digest), 4), at(100)).unwrap();
    // whoever takes the decision away takes the giver's name with it, and must not be able to review his own grant then
    let mut blind = Reviews::default();
    blind.let_in(index, leaf.clone(), &record, &|_| None);
    let own = signed(review(&leaf), 2);
    let refused = blind.check(&root(), &own, at(100)).unwrap_err();
    assert_eq!(refused, ReviewRefused::UnknownGiver);
}

#[test]
fn a_log_that_is_full_when_a_grant_is_used_does_not_silence_its_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    let (index, leaf, record, decision) = real.let_in("shop", 60);
    real.is_full.store(true, std::sync::atomic::Ordering::SeqCst);
    desk.decided(index, &leaf, &record, &decision, at(60)).unwrap_err();
    real.is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    desk.look(at(61)).unwrap();
    desk.look(at(62)).unwrap();
    let used = |kind: &&String| *kind == "alarm breakglass-used";
    let kinds = real.kinds();
    assert_eq!(kinds.iter().filter(used).count(), 1, "{kinds:?}");
    let open =
        desk.state().alarms.open().find(|o| o.alarm.kind == AlarmKind::BreakglassUsed).unwrap().alarm.clone();
    assert!(open.found.contains("by alice for INC-7"), "{}", open.found);
}

#[test]
fn what_is_over_is_put_on_record_once_the_log_takes_it_and_before_it_is_raised_again() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    let full = |is_full| real.is_full.store(is_full, std::sync::atomic::Ordering::SeqCst);
    let alarm = Alarm::witness_refuses("witness.example", "409", at(0));
    let (kind, subject) = (alarm.kind, alarm.subject.clone());
    desk.raise(alarm.clone(), at(0)).unwrap();
    full(true);
    assert_eq!(desk.gone(kind, &subject, at(1)).unwrap_err(), "the log is full");
    assert_eq!(real.kinds(), ["alarm witness-refuses"]);
    full(false);
    desk.look(at(2)).unwrap();
    desk.look(at(3)).unwrap();
    assert_eq!(real.kinds(), ["alarm witness-refuses", "alarm-closed witness-refuses"], "once");
    desk.raise(alarm.clone(), at(4)).unwrap();
    full(true);
    let refused = desk.acknowledge(&alarm.id(), "alice.example", "known", at(5)).unwrap_err();
    assert_eq!(refused, "the log is full; it is put on record as soon as the log takes it");
    assert_eq!(desk.gone(kind, &subject, at(6)).unwrap_err(), "the log is full");
    desk.raise(alarm.clone(), at(7)).unwrap_err();
    full(false);
    assert!(desk.raise(alarm.clone(), at(8)).unwrap());
    let kinds = real.kinds();
    assert_eq!(kinds.last().unwrap(), "alarm witness-refuses", "{kinds:?}");
    assert!(kinds[3..kinds.len() - 1].iter().all(|kind| kind == "alarm-closed witness-refuses"), "{kinds:?}");
    assert!(kinds.len() > 4, "{kinds:?}");
    let mut learnt = Alarms::default();
    real.leaves(0).unwrap().iter().for_each(|leaf| learnt.learn(&Entry::parse(leaf).unwrap()));
    assert!(
        learnt.open().any(|open| open.alarm.id() == alarm.id() && !open.is_acknowledged),
        "another start"
    );
}

#[test]
fn of_several_alarms_what_is_not_on_record_stays_to_be_raised() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    let gap = |number| Alarm::found(AlarmKind::WriterGap, &format!("writer-2 {number}"), at(0));
    let mut alarms = VecDeque::from([gap(1), gap(2)]);
    real.is_full.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(desk.raise_all(&mut alarms, TURN, at(0)).unwrap_err(), "the log is full");
    assert_eq!(alarms.len(), 2, "an entry is looked at once: what it showed is not forgotten");
    real.is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    desk.raise_all(&mut alarms, Duration::ZERO, at(1)).unwrap();
    assert_eq!(alarms.len(), 2, "what has no time has its turn later");
    desk.raise_all(&mut alarms, TURN, at(1)).unwrap();
    assert!(alarms.is_empty());
    assert_eq!(real.kinds(), ["alarm writer-gap", "alarm writer-gap"]);
}

#[test]
fn a_closing_that_the_log_has_no_room_for_silences_no_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    let reserve = |only| real.is_reserve.store(only, std::sync::atomic::Ordering::SeqCst);
    let witness = Alarm::witness_refuses("witness.example", "409", at(0));
    desk.raise(witness.clone(), at(0)).unwrap();
    let (index, leaf, record, decision) = real.let_in("shop", 60);
    reserve(true);
    assert_eq!(desk.gone(witness.kind, &witness.subject, at(1)).unwrap_err(), "only the reserve has room");
    desk.decided(index, &leaf, &record, &decision, at(60)).unwrap();
    let mut kinds = vec!["alarm witness-refuses", "breakglass", "alarm breakglass-used"];
    assert_eq!(real.kinds(), kinds);
    // what is due by the clock is alarmed, and the closing that failed is said
    assert_eq!(desk.look(at(60 + 24 * 3600)).unwrap_err(), "only the reserve has room");
    kinds.extend(["alarm breakglass-unreviewed", "alarm breakglass-budget"]);
    assert_eq!(real.kinds(), kinds);
    // what is so again before it was over on record is an alarm, and no closing comes behind it
    desk.raise(witness.clone(), at(2)).unwrap();
    kinds.push("alarm witness-refuses");
    reserve(false);
    desk.look(at(60 + 24 * 3600)).unwrap();
    assert_eq!(real.kinds(), kinds);
    let mut learnt = Alarms::default();
    real.leaves(0).unwrap().iter().for_each(|leaf| learnt.learn(&Entry::parse(leaf).unwrap()));
    assert!(learnt.open().any(|open| open.alarm.id() == witness.id()), "another start");
}

#[test]
fn what_is_owed_is_alarmed_though_something_else_is_over_and_not_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    let witness = Alarm::witness_refuses("witness.example", "409", at(0));
    desk.raise(witness.clone(), at(0)).unwrap();
    let (index, leaf, record, decision) = real.let_in("shop", 60);
    real.is_full.store(true, std::sync::atomic::Ordering::SeqCst);
    desk.gone(witness.kind, &witness.subject, at(1)).unwrap_err();
    desk.decided(index, &leaf, &record, &decision, at(60)).unwrap_err();
    real.is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    real.is_reserve.store(true, std::sync::atomic::Ordering::SeqCst);
    desk.look(at(61)).unwrap_err();
    assert!(real.kinds().contains(&"alarm breakglass-used".to_owned()), "{:?}", real.kinds());
}

#[test]
fn a_review_that_is_on_record_is_taken_also_where_what_it_closes_is_not_yet() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let desk = desk(dir.path(), &real);
    let (index, leaf, record, decision) = real.let_in("shop", 60);
    desk.decided(index, &leaf, &record, &decision, at(60)).unwrap();
    let used = desk.state().reviews.grants().next().unwrap().clone();
    let review = GrantReview {
        digest: used.digest.clone(),
        grant: used.id.clone(),
        verdict: ReviewVerdict::Justified,
        comment: "right".to_owned(),
        records: vec![leaf],
        reviewed: at(100),
    };
    real.fills_up.store(true, std::sync::atomic::Ordering::SeqCst);
    desk.review(&root(), &review.sign(&key(4)).unwrap().to_string().into_bytes(), at(100)).unwrap();
    assert_eq!(real.kinds(), ["breakglass", "alarm breakglass-used", "breakglass-review"]);
    assert!(real.is_reserve.swap(false, std::sync::atomic::Ordering::SeqCst));
    desk.look(at(101)).unwrap();
    assert_eq!(real.kinds()[3..4], ["alarm-closed breakglass-used"]);
}

#[test]
fn what_was_brought_as_nobodys_grant_and_is_somebodys_now_is_alarmed_once_also_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::open(dir.path());
    let bytes = b"a record".to_vec();
    let digest = Digest::sha256(&bytes);
    let event = |kind, grant: Option<&str>| {
        let mut body = Object::new();
        body.set_some("grant", grant);
        NewEvent { at: at(10), kind, body, parts: vec![bytes.clone()] }
    };
    let unknown = || event(EventKind::SpooledUnverified, None);
    let known = || event(EventKind::SpooledUnverified, Some("sha256:aa"));
    let alarm = || Alarm::found(AlarmKind::BreakglassAway, &digest.to_string(), at(10));
    let mut kinds = vec!["spooled-unverified"];
    for _ in 0..2 {
        let desk = desk(dir.path(), &real);
        desk.bring(&digest, unknown(), None).unwrap();
        assert_eq!(real.kinds(), kinds);
    }
    kinds.extend(["alarm breakglass-away", "spooled-unverified"]);
    for _ in 0..2 {
        let desk = desk(dir.path(), &real);
        desk.bring(&digest, known(), Some(alarm())).unwrap();
        // somebody has seen it: what comes again is no other use
        desk.acknowledge(&alarm().id(), "carol", "known", at(11)).ok();
        desk.bring(&digest, known(), Some(alarm())).unwrap();
        desk.bring(&digest, unknown(), None).unwrap();
        if kinds.len() == 3 {
            kinds.push("alarm-closed breakglass-away");
        }
        assert_eq!(real.kinds(), kinds);
    }
}
