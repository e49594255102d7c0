//! A witness against logs that fork, against failing storage, and against many who ask at once; and the asking.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use attest::merkle::{Hash, empty_root, is_consistent, leaf_hash};
use attest::note::{self, Checkpoint, Note, NoteKey};
use attest::{SecretKey, Signer as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tlog::witness::{MAX_REQUEST, OpenWitnessError, Refused, Request, Witness};
use tlog::witnessing::{
    AskError, Asked, Asking, Contradiction, NotCosigned, Reply, Sizes, Transport, WITNESSED, Witnesses,
    WitnessesError, ask,
};
use tlog::{Log, Proof, ProofError, Receipt, Storage, read_witnessed, root_of};

const ORIGIN: &str = "test.example/log";
const NAME: &str = "w.example/1";

/// A store in memory for many threads.
#[derive(Clone, Default)]
struct Memory {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// The next write fails; where it is true, after it was done.
    fail: Arc<Mutex<Option<bool>>>,
}

impl Memory {
    fn copy(&self) -> Self {
        Self { files: Arc::new(Mutex::new(self.files.lock().unwrap().clone())), fail: Arc::default() }
    }
    fn text(&self, path: &str) -> Option<String> {
        self.files.lock().unwrap().get(path).map(|bytes| String::from_utf8(bytes.clone()).unwrap())
    }
}

impl Storage for Memory {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(path).cloned())
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let fail = self.fail.lock().unwrap().take();
        if fail != Some(false) {
            self.files.lock().unwrap().insert(path.to_owned(), bytes.to_vec());
        }
        if fail.is_some() { Err(io::Error::other("injected")) } else { Ok(()) }
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.files.lock().unwrap().remove(path);
        Ok(())
    }
}

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn note_key(name: &str, seed: u8) -> NoteKey {
    NoteKey { name: name.to_owned(), key: secret(seed).public().clone() }
}

fn log_key() -> NoteKey {
    note_key(ORIGIN, 1)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn witness(storage: &Memory) -> Witness<Memory> {
    if storage.text("witness").is_none() {
        Witness::<Memory>::create(storage, NAME, &secret(9)).unwrap();
    }
    Witness::open(storage.clone(), NAME, Box::new(secret(9)), vec![log_key()]).unwrap()
}

/// Leaves of a history, and naive proofs over them.
#[derive(Clone)]
struct History(Vec<Hash>);

impl History {
    /// `count` leaves, of which those from `fork` on are this history's own.
    fn new(count: u64, fork: u64, which: &str) -> Self {
        let leaf = |i| leaf_hash(format!("{} {i}", if i < fork { "all" } else { which }).as_bytes());
        Self((0..count).map(leaf).collect())
    }
    fn root(&self, size: usize) -> Hash {
        if size == 0 { empty_root() } else { root_of(&self.0[..size]) }
    }
    fn checkpoint(&self, size: usize) -> Checkpoint {
        Checkpoint { origin: ORIGIN.to_owned(), size: size as u64, root: self.root(size) }
    }
    fn note(&self, size: usize) -> String {
        note::sign(&self.checkpoint(size).to_text(), ORIGIN, &secret(1)).unwrap()
    }
    /// RFC 6962, section 2.1.2.
    fn consistency(&self, old: usize, new: usize) -> Vec<Hash> {
        fn sub(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
            if m == leaves.len() {
                return if whole { Vec::new() } else { vec![root_of(leaves)] };
            }
            let k = leaves.len().next_power_of_two() / 2;
            if m <= k {
                let mut proof = sub(m, &leaves[..k], whole);
                proof.push(root_of(&leaves[k..]));
                proof
            } else {
                let mut proof = sub(m - k, &leaves[k..], false);
                proof.push(root_of(&leaves[..k]));
                proof
            }
        }
        if old == 0 || old == new { Vec::new() } else { sub(old, &self.0[..new], true) }
    }
    fn request(&self, old: usize, new: usize) -> String {
        body(old, &self.consistency(old, new), &self.note(new))
    }
}

fn body(old: usize, proof: &[Hash], note: &str) -> String {
    let proof: String = proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
    format!("old {old}\n{proof}\n{note}")
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn status(result: &Result<tlog::witness::Cosigned, Refused>) -> u16 {
    result.as_ref().map_or_else(Refused::status, |_| 200)
}

#[test]
fn the_statuses_are_those_of_the_specification() {
    let storage = Memory::default();
    let witness = witness(&storage);
    let history = History::new(20, 20, "");
    let go = |body: &str| witness.add_checkpoint(body.as_bytes(), at(0));

    let cosigned = go(&history.request(0, 5)).unwrap();
    assert_eq!((cosigned.before, cosigned.checkpoint.size), (0, 5));
    let note = Note::parse(&format!("{}{}", history.note(5), cosigned.line)).unwrap();
    assert_eq!(note.cosigned_at(&witness.key()), Some(at(0)));
    assert!(!note.is_signed_by(&witness.key()), "a cosignature is no signature of a log");

    // the same again is cosigned again: logs that lost the answer ask for it
    assert_eq!(status(&go(&history.request(5, 5))), 200);
    let conflict = go(&history.request(0, 8)).unwrap_err();
    assert_eq!(conflict.status(), 409);
    assert_eq!(conflict.body(), ("text/x.tlog.size", "5\n".to_owned()));
    assert_eq!(status(&go(&history.request(3, 8))), 409);
    assert_eq!(status(&go(&history.request(5, 8))), 200);
    assert!(matches!(go(&history.request(5, 8)), Err(Refused::Size { seen: 8, old: 5 })));

    let fork = History::new(20, 6, "other");
    let other = go(&fork.request(8, 8)).unwrap_err();
    assert!(matches!(other, Refused::OtherRoot { size: 8 }), "{other}");
    assert_eq!(
        (other.status(), other.body().0),
        (409, "text/plain; charset=utf-8"),
        "no size to try again with"
    );
    assert!(matches!(go(&fork.request(8, 9)), Err(Refused::Proof { seen: 8, size: 9 })));
    assert_eq!(status(&go(&fork.request(8, 9))), 422);
    let padded = body(8, &[[0; 32]], &history.note(8));
    assert_eq!(status(&go(&padded)), 422, "a proof where there is nothing to prove");

    let backwards = body(9, &[], &history.note(7));
    assert!(matches!(go(&backwards), Err(Refused::Backwards { old: 9, size: 7 })));
    assert_eq!(status(&go(&backwards)), 400);
    let text = history.checkpoint(9).to_text();
    let unknown = text.replace(ORIGIN, "other.example");
    let unknown = note::sign(&unknown, "other.example", &secret(1)).unwrap();
    assert_eq!(status(&go(&body(8, &[], &unknown))), 404);
    let forged = note::sign(&text, ORIGIN, &secret(2)).unwrap();
    assert_eq!(status(&go(&body(8, &history.consistency(8, 9), &forged))), 403);
    let renamed = note::sign(&text, "other.example", &secret(1)).unwrap();
    assert_eq!(
        status(&go(&body(8, &history.consistency(8, 9), &renamed))),
        403,
        "the key under another name"
    );
    let own = note::cosign(&text, ORIGIN, at(0), &secret(1)).unwrap();
    assert_eq!(status(&go(&format!("old 8\n\n{text}\n{own}"))), 403, "a cosignature by the log's key");

    // more signatures than the log's are ignored, and not kept
    let many = format!("{}{}", history.note(9), note::cosign(&text, "x.example", at(0), &secret(7)).unwrap());
    assert_eq!(status(&go(&body(8, &history.consistency(8, 9), &many))), 200);
    let kept =
        storage.files.lock().unwrap().iter().find(|(path, _)| path.starts_with("logs/")).unwrap().1.clone();
    assert!(!String::from_utf8(kept).unwrap().contains("x.example"));
}

#[test]
fn a_malformed_body_is_refused_as_such() {
    let history = History::new(9, 9, "");
    let good = history.request(5, 9);
    assert!(Request::parse(good.as_bytes()).is_ok());
    let line = format!("{}\n", STANDARD.encode([1; 32]));
    let bad = [
        String::new(),
        "old 5".to_owned(),
        good.replace("old 5", "old 05"),
        good.replace("old 5", "old +5"),
        good.replace("old 5", "old -5"),
        good.replace("old 5", "old 5 "),
        good.replace("old 5", "old  5"),
        good.replace("old 5", "Old 5"),
        good.replace("old 5\n", "old 5\r\n"),
        good.replace("old 5", "old 18446744073709551616"),
        good.replacen("old 5\n", "old 5\n\n", 1),
        good.replacen("old 5\n", "old 5\nAAAA\n", 1),
        good.replacen("old 5\n", &format!("old 5\n{}", line.repeat(64)), 1),
        good.replacen("old 5\n", &format!("old 5\n {line}"), 1),
        good.replace("\n\n", "\n"),
        good.trim_end().to_owned(),
        format!("{good}{}", "x".repeat(MAX_REQUEST)),
    ];
    for text in bad {
        let storage = Memory::default();
        let refused = witness(&storage).add_checkpoint(text.as_bytes(), at(0)).unwrap_err();
        assert!(matches!(refused, Refused::Malformed(_)), "{text:?}: {refused}");
        assert_eq!(refused.status(), 400);
    }
    assert!(Request::parse(b"old 5\n\xff\n\n").is_err());
}

/// All of them are of one history: each continues each smaller one.
fn one_history(histories: &[History], cosigned: &[(u64, Hash)]) -> bool {
    histories.iter().any(|history| cosigned.iter().all(|(size, root)| history.root(*size as usize) == *root))
}

#[test]
fn whatever_is_asked_only_one_history_is_cosigned() {
    let mut refused_forks = 0;
    for seed in 1..=60_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let fork = random.below(30) as u64;
        let histories = [History::new(60, fork, "one"), History::new(60, fork, "two")];
        let storage = Memory::default();
        let mut current = witness(&storage);
        let (mut cosigned, mut last) = (Vec::new(), 0_usize);
        for second in 0..120 {
            let history = &histories[random.below(2)];
            let new = (last + random.below(6)).min(60);
            let old = if random.below(4) == 0 { random.below(new + 1) } else { last.min(new) };
            let mut proof = history.consistency(old, new);
            match random.below(6) {
                // somebody mixes proofs of the one with checkpoints of the other
                0 => proof = histories[random.below(2)].consistency(old, new),
                1 if !proof.is_empty() => drop(proof.pop()),
                2 if random.below(4) == 0 => proof.push([7; 32]),
                _ => {}
            }
            let answer = current.add_checkpoint(body(old, &proof, &history.note(new)).as_bytes(), at(second));
            match &answer {
                Ok(_) => {
                    let continues = is_consistent(
                        last as u64,
                        &cosigned.last().map_or_else(empty_root, |(_, root)| *root),
                        new as u64,
                        &history.root(new),
                        &proof,
                    );
                    assert!(old == last && continues, "seed {seed}: {old} to {new} after {last}");
                    cosigned.push((new as u64, history.root(new)));
                    last = new;
                }
                Err(refused) => refused_forks += usize::from(refused.is_misbehaviour()),
            }
            if random.below(10) == 0 {
                current = witness(&storage);
            }
        }
        assert!(last > 0 && one_history(&histories, &cosigned), "seed {seed}");
    }
    assert!(refused_forks > 100, "forks were tried: {refused_forks}");
}

#[test]
fn many_who_ask_at_once_get_one_history() {
    for round in 0..20_u64 {
        let histories = [History::new(64, round % 3, "one"), History::new(64, round % 3, "two")];
        let storage = Memory::default();
        let witness = witness(&storage);
        let cosigned = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (histories, witness, cosigned) = (&histories, &witness, &cosigned);
                scope.spawn(move || {
                    let (history, mut old) = (&histories[(thread % 2) as usize], 0);
                    let mut random = Random(round * 64 + thread + 1);
                    for _ in 0..40 {
                        let new = (old + 1 + random.below(3)).min(64);
                        let answer = witness.add_checkpoint(history.request(old, new).as_bytes(), at(0));
                        match answer {
                            Ok(_) => {
                                cosigned.lock().unwrap().push((old, (new as u64, history.root(new))));
                                old = new;
                            }
                            Err(Refused::Size { seen, .. }) => old = seen as usize,
                            Err(_) => {}
                        }
                    }
                });
            }
        });
        let cosigned = cosigned.into_inner().unwrap();
        let trees: Vec<(u64, Hash)> = cosigned.iter().map(|(_, tree)| *tree).collect();
        assert!(one_history(&histories, &trees), "round {round}");
        // each step from one size is taken once: no two compared with the same state
        let mut steps: Vec<usize> =
            cosigned.iter().filter(|(old, tree)| *old as u64 != tree.0).map(|(old, _)| *old).collect();
        let count = steps.len();
        steps.sort_unstable();
        steps.dedup();
        assert_eq!(steps.len(), count, "round {round}: two cosignatures from one size");
    }
}

#[test]
fn a_write_that_fails_stops_and_what_is_there_counts() {
    for is_there in [false, true] {
        let storage = Memory::default();
        let first = witness(&storage);
        let history = History::new(20, 20, "");
        first.add_checkpoint(history.request(0, 5).as_bytes(), at(0)).unwrap();
        *storage.fail.lock().unwrap() = Some(is_there);
        let refused = first.add_checkpoint(history.request(5, 9).as_bytes(), at(0)).unwrap_err();
        assert!(matches!(refused, Refused::Io(_)), "{refused}");
        assert_eq!(refused.body().1, "the witness's store failed\n");
        for old in [5, 9] {
            let again = first.add_checkpoint(history.request(old, 10).as_bytes(), at(0)).unwrap_err();
            assert!(matches!(again, Refused::Stopped), "nobody knows what is there: {again}");
        }
        let anew = witness(&storage);
        let seen = if is_there { 9 } else { 5 };
        anew.add_checkpoint(history.request(seen, 10).as_bytes(), at(0)).unwrap();
    }
}

#[test]
fn a_witness_that_cannot_know_what_it_saw_does_not_begin() {
    let open = |storage: &Memory, name: &str, seed, logs| {
        Witness::open(storage.clone(), name, Box::new(secret(seed)), logs)
    };
    let storage = Memory::default();
    assert!(matches!(open(&storage, NAME, 9, vec![]), Err(OpenWitnessError::None)));
    let first = witness(&storage);
    assert!(matches!(Witness::<Memory>::create(&storage, NAME, &secret(9)), Err(OpenWitnessError::Exists)));
    assert!(matches!(
        Witness::<Memory>::create(&Memory::default(), "a b", &secret(9)),
        Err(OpenWitnessError::Name)
    ));
    let history = History::new(20, 20, "");
    first.add_checkpoint(history.request(0, 5).as_bytes(), at(0)).unwrap();
    assert!(matches!(open(&storage, NAME, 8, vec![log_key()]), Err(OpenWitnessError::Other(_))));
    assert!(matches!(open(&storage, "other", 9, vec![log_key()]), Err(OpenWitnessError::Other(_))));
    assert!(matches!(open(&storage, NAME, 9, vec![log_key(), log_key()]), Err(OpenWitnessError::Twice(_))));
    // a log that signs with another key now is the same log
    let rotated = open(&storage, NAME, 9, vec![note_key(ORIGIN, 3)]).unwrap();
    let newer = note::sign(&history.checkpoint(7).to_text(), ORIGIN, &secret(3)).unwrap();
    rotated.add_checkpoint(body(5, &history.consistency(5, 7), &newer).as_bytes(), at(0)).unwrap();

    let path = storage.files.lock().unwrap().keys().find(|path| path.starts_with("logs/")).unwrap().clone();
    let good = storage.text(&path).unwrap();
    let smaller = format!("{}{}", history.note(3), good.lines().last().unwrap());
    let another = note::cosign(&history.checkpoint(3).to_text(), NAME, at(0), &secret(8)).unwrap();
    for changed in
        [String::new(), good.replace("\n7\n", "\n3\n"), smaller, format!("{}{another}", history.note(3))]
    {
        storage.write(&path, changed.as_bytes()).unwrap();
        let error = open(&storage, NAME, 9, vec![log_key()]).unwrap_err();
        assert!(matches!(error, OpenWitnessError::Changed { .. }), "{changed:?}: {error}");
    }
}

#[test]
fn time_goes_forward_in_what_is_cosigned() {
    let storage = Memory::default();
    let history = History::new(20, 20, "");
    witness(&storage).add_checkpoint(history.request(0, 5).as_bytes(), at(100)).unwrap();
    let anew = witness(&storage);
    let refused = anew.add_checkpoint(history.request(5, 6).as_bytes(), at(99)).unwrap_err();
    assert!(matches!(refused, Refused::Clock(last) if last == at(100)), "{refused}");
    assert_eq!(refused.status(), 500);
    anew.add_checkpoint(history.request(5, 6).as_bytes(), at(100)).unwrap();
}

// ---- asking ----

/// Witnesses in this process, by address; and what goes wrong on the way.
#[derive(Default)]
struct Network {
    witnesses: BTreeMap<String, Witness<Memory>>,
    /// Addresses that do not answer.
    silent: Mutex<Vec<String>>,
    /// Addresses that answer with this.
    lies: Mutex<BTreeMap<String, Reply>>,
    posts: AtomicUsize,
}

impl Transport for Network {
    fn post(&self, url: &str, body: &str) -> Result<Reply, String> {
        self.posts.fetch_add(1, Ordering::Relaxed);
        let address = url.strip_suffix("/add-checkpoint").unwrap();
        if self.silent.lock().unwrap().iter().any(|one| one == address) {
            return Err("refused".to_owned());
        }
        if let Some(reply) = self.lies.lock().unwrap().get(address) {
            return Ok(reply.clone());
        }
        let answer = self.witnesses[address].add_checkpoint(body.as_bytes(), at(0));
        let (content_type, text) =
            answer.as_ref().map_or_else(Refused::body, |c| ("text/plain", c.line.clone()));
        Ok(Reply { status: status(&answer), content_type: content_type.to_owned(), body: text.into_bytes() })
    }
}

/// Three witnesses of the log, of which two must say yes.
fn network() -> (Network, Witnesses) {
    let mut network = Network::default();
    let mut of = Vec::new();
    for seed in 20..23_u8 {
        let (storage, name, url) = (Memory::default(), format!("w{seed}"), format!("http://w{seed}"));
        Witness::<Memory>::create(&storage, &name, &secret(seed)).unwrap();
        let witness = Witness::open(storage, &name, Box::new(secret(seed)), vec![log_key()]).unwrap();
        of.push(Asking { name: name.clone(), url: format!("{url}/"), key: witness.key() });
        network.witnesses.insert(url, witness);
    }
    (network, Witnesses::new(2, of).unwrap())
}

fn log(memory: &Memory) -> Log<Memory> {
    Log::create(memory.clone(), ORIGIN, Box::new(secret(1))).unwrap()
}

fn witnessed(memory: &Memory, witnesses: &Witnesses, quorum: usize) -> Result<tlog::Proven, ProofError> {
    let keys: Vec<NoteKey> = witnesses.of().iter().map(|one| one.key.clone()).collect();
    read_witnessed(&memory.text(WITNESSED).unwrap(), &log_key(), &keys, quorum)
}

#[test]
fn what_enough_witnesses_cosigned_is_kept_beside_the_checkpoint() {
    let (network, witnesses) = network();
    let (memory, sizes) = (Memory::default(), Sizes::default());
    let mut log = log(&memory);
    let go = || ask(&memory, &log_key(), &witnesses, &sizes, &network).unwrap();
    for round in 0..700_u64 {
        log.append(format!("entry {round}").as_bytes()).unwrap();
        if round % 37 == 0 || round > 690 {
            let asked = go();
            assert!(asked.is_witnessed && asked.words.iter().all(|(_, word)| word.is_ok()), "{asked:?}");
            let proven = witnessed(&memory, &witnesses, 3).unwrap();
            assert_eq!(proven.checkpoint.size, round + 1);
            assert_eq!(proven.witnesses.len(), 3);
        }
    }
    let before = network.posts.load(Ordering::Relaxed);
    log.append(b"one more").unwrap();
    assert!(go().is_witnessed);
    assert_eq!(network.posts.load(Ordering::Relaxed) - before, 3, "sizes are remembered: one question each");

    // without memory each says where it is, and is asked again
    let before = network.posts.load(Ordering::Relaxed);
    let asked = ask(&memory, &log_key(), &witnesses, &Sizes::default(), &network).unwrap();
    assert!(asked.is_witnessed);
    assert_eq!(network.posts.load(Ordering::Relaxed) - before, 6);

    // two are enough, one is not
    network.silent.lock().unwrap().push("http://w20".to_owned());
    log.append(b"with two").unwrap();
    let asked = go();
    assert!(asked.is_witnessed);
    assert_eq!(asked.words[0].1, Err(NotCosigned::Unreachable("refused".to_owned())));
    let error = witnessed(&memory, &witnesses, 3).unwrap_err();
    assert!(matches!(&error, ProofError::Witnesses { found, wanted: 3 } if found.len() == 2), "{error}");
    let kept = memory.text(WITNESSED);
    network.silent.lock().unwrap().push("http://w21".to_owned());
    log.append(b"with one").unwrap();
    assert!(!go().is_witnessed);
    assert_eq!(memory.text(WITNESSED), kept, "what is witnessed stays");

    // a proof under what is witnessed, from the tiles of the newer tree
    let proof = Receipt::prove_witnessed(&memory, &log_key(), 300).unwrap().to_proof(None);
    let keys: Vec<NoteKey> = witnesses.of().iter().map(|one| one.key.clone()).collect();
    let proven = Proof::parse(&proof.to_text()).unwrap().verify(b"entry 300", &log_key(), &keys, 2).unwrap();
    assert_eq!((proven.checkpoint.size, proven.witnesses.len()), (702, 2));
    assert!(Receipt::prove_witnessed(&memory, &log_key(), 702).is_err(), "newer than what is witnessed");
    assert_eq!(proof.verify(b"entry 301", &log_key(), &keys, 2), Err(ProofError::Inclusion));
    assert_eq!(proof.verify(b"entry 300", &note_key(ORIGIN, 2), &keys, 2), Err(ProofError::Checkpoint));
}

fn contradictions(asked: &Asked) -> Vec<Contradiction> {
    asked.contradictions().map(|(_, contradiction)| contradiction.clone()).collect()
}

#[test]
fn a_log_that_was_rolled_back_or_rewritten_is_contradicted() {
    let (network, witnesses) = network();
    let memory = Memory::default();
    let mut log = log(&memory);
    log.append(b"one").unwrap();
    log.append(b"two").unwrap();
    let backup = memory.copy();
    for entry in [b"bad".as_slice(), b"more"] {
        log.append(entry).unwrap();
    }
    assert!(ask(&memory, &log_key(), &witnesses, &Sizes::default(), &network).unwrap().is_witnessed);

    // restored from the backup, as it was
    let go = |memory: &Memory| ask(memory, &log_key(), &witnesses, &Sizes::default(), &network);
    let restored = backup.copy();
    assert_eq!(contradictions(&go(&restored).unwrap()), vec![Contradiction::Larger { seen: 4, size: 2 }; 3]);
    assert_eq!(restored.text(WITNESSED), None);
    // and with the file that gives it away left beside it
    restored.write(WITNESSED, memory.text(WITNESSED).unwrap().as_bytes()).unwrap();
    let error = go(&restored).unwrap_err();
    assert!(matches!(error, AskError::Contradiction(Contradiction::Larger { seen: 4, size: 2 })), "{error}");

    // rewritten with its own key: as long, and longer
    for count in [2, 5] {
        let rewritten = backup.copy();
        let mut log = Log::open(rewritten.clone(), ORIGIN, Box::new(secret(1))).unwrap();
        for entry in 0..count {
            log.append(format!("good {entry}").as_bytes()).unwrap();
        }
        let asked = go(&rewritten).unwrap();
        assert_eq!(contradictions(&asked), vec![Contradiction::Other { seen: 4, size: 2 + count }; 3]);
        assert!(!asked.is_witnessed && rewritten.text(WITNESSED).is_none());
        rewritten.write(WITNESSED, memory.text(WITNESSED).unwrap().as_bytes()).unwrap();
        let error = go(&rewritten).unwrap_err();
        assert!(matches!(error, AskError::Contradiction(Contradiction::Other { seen: 4, .. })), "{error}");
    }

    // two that say yes do not outvote one that contradicts
    let lie = Reply { status: 409, content_type: "text/x.tlog.size".to_owned(), body: b"99\n".to_vec() };
    network.lies.lock().unwrap().insert("http://w20".to_owned(), lie);
    log.append(b"five").unwrap();
    let asked = go(&memory).unwrap();
    assert_eq!(asked.words.iter().filter(|(_, word)| word.is_ok()).count(), 2);
    assert_eq!(contradictions(&asked), vec![Contradiction::Larger { seen: 99, size: 5 }]);
    assert!(!asked.is_witnessed);
}

#[test]
fn what_a_witness_did_not_sign_counts_for_nothing() {
    let (network, witnesses) = network();
    let memory = Memory::default();
    log(&memory).append(b"one").unwrap();
    let text = Note::parse(&memory.text("checkpoint").unwrap()).unwrap().text().to_owned();
    let other = Checkpoint { origin: ORIGIN.to_owned(), size: 1, root: [3; 32] }.to_text();
    let cosign = |text: &str, name: &str, seed| note::cosign(text, name, at(0), &secret(seed)).unwrap();
    let good = cosign(&text, "w20", 20);
    let lies = [
        (200, String::new()),
        (200, "hello\n".to_owned()),
        (200, cosign(&other, "w20", 20)),
        (200, cosign(&text, "w21", 20)),
        (200, cosign(&text, "w20", 21)),
        (200, note::sign(&text, "w20", &secret(20)).unwrap().lines().last().unwrap().to_owned() + "\n"),
        (200, good.trim_end().to_owned()),
        (200, format!("\n{good}")),
        // a text of its own, which only begins like ours
        (200, format!("\n{}", cosign(&memory.text("checkpoint").unwrap(), "w20", 20))),
    ];
    for (status, body) in lies {
        let reply = Reply { status, content_type: "text/plain".to_owned(), body: body.clone().into_bytes() };
        network.lies.lock().unwrap().insert("http://w20".to_owned(), reply);
        let asked = ask(&memory, &log_key(), &witnesses, &Sizes::default(), &network).unwrap();
        assert_eq!(asked.words[0].1, Err(NotCosigned::Invalid), "{body:?}");
    }
    for (status, body) in [(500, "\u{1b}[31mno\nmore"), (404, "no"), (403, "no"), (302, "no"), (422, "no")] {
        let reply = Reply { status, content_type: "text/plain".to_owned(), body: body.as_bytes().to_vec() };
        network.lies.lock().unwrap().insert("http://w20".to_owned(), reply);
        let asked = ask(&memory, &log_key(), &witnesses, &Sizes::default(), &network).unwrap();
        let Err(NotCosigned::Refused(found, why)) = &asked.words[0].1 else { panic!("{asked:?}") };
        assert!(*found == status && why.ends_with("no") && !why.contains('\u{1b}'), "{why:?}");
    }
    // the lines of others that come with it are not taken over
    let reply = Reply {
        status: 200,
        content_type: String::new(),
        body: format!("{}{good}", cosign(&text, "x", 5)).into_bytes(),
    };
    network.lies.lock().unwrap().insert("http://w20".to_owned(), reply);
    memory.remove(WITNESSED).unwrap();
    assert!(ask(&memory, &log_key(), &witnesses, &Sizes::default(), &network).unwrap().is_witnessed);
    let kept = memory.text(WITNESSED).unwrap();
    assert!(kept.contains("\u{2014} w20 ") && !kept.contains("\u{2014} x "), "{kept}");
}

#[test]
fn a_log_that_goes_on_meanwhile_is_asked_about_all_the_same() {
    let (network, witnesses) = network();
    let (memory, sizes, stop) = (Memory::default(), Sizes::default(), AtomicBool::new(false));
    let mut log = log(&memory);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut count = 0_u64;
            while !stop.load(Ordering::Relaxed) && count < 20_000 {
                log.append(format!("entry {count}").as_bytes()).unwrap();
                count += 1;
            }
        });
        for _ in 0..40 {
            let asked = ask(&memory, &log_key(), &witnesses, &sizes, &network).unwrap();
            assert!(asked.is_witnessed, "{asked:?}");
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    });
}

#[test]
fn witnesses_that_can_never_be_enough_are_no_configuration() {
    let one = |name: &str, seed| Asking {
        name: name.to_owned(),
        url: "http://x".to_owned(),
        key: note_key(name, seed),
    };
    assert!(Witnesses::new(1, vec![one("a", 1), one("b", 2)]).is_ok());
    assert_eq!(Witnesses::new(0, vec![one("a", 1)]), Err(WitnessesError::Quorum { quorum: 0, of: 1 }));
    assert_eq!(Witnesses::new(2, vec![one("a", 1)]), Err(WitnessesError::Quorum { quorum: 2, of: 1 }));
    assert_eq!(Witnesses::new(1, vec![one("a", 1), one("a", 2)]), Err(WitnessesError::Name("a".to_owned())));
    assert_eq!(
        Witnesses::new(2, vec![one("a", 1), one("b", 1)]),
        Err(WitnessesError::Key("a".to_owned(), "b".to_owned()))
    );
}

#[test]
fn a_log_is_no_witness_of_itself() {
    let memory = Memory::default();
    log(&memory).append(b"one").unwrap();
    let text = memory.text("checkpoint").unwrap();
    let line = note::cosign(Note::parse(&text).unwrap().text(), "w", at(0), &secret(1)).unwrap();
    let error = read_witnessed(&format!("{text}{line}"), &log_key(), &[note_key("w", 1)], 1).unwrap_err();
    assert_eq!(error, ProofError::Witnesses { found: Vec::new(), wanted: 1 });
}

/// The seeds of the fuzz target are what logs really send.
#[test]
fn the_seeds_of_the_fuzz_target_are_requests_and_proofs() {
    let history = History::new(300, 300, "");
    let (network, witnesses) = network();
    let memory = Memory::default();
    let mut log = log(&memory);
    for number in 0..9 {
        log.append(format!("entry {number}").as_bytes()).unwrap();
    }
    ask(&memory, &log_key(), &witnesses, &Sizes::default(), &network).unwrap();
    let receipt = Receipt::prove_witnessed(&memory, &log_key(), 5).unwrap();
    let seeds = [
        ("first", history.request(0, 5)),
        ("empty", history.request(0, 0)),
        ("continued", history.request(5, 300)),
        ("again", history.request(300, 300)),
        ("proof", receipt.to_proof(None).to_text()),
        ("proof-with-record", receipt.to_proof(Some(b"entry 5".to_vec())).to_text()),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/witness");
    for (name, text) in seeds {
        #[allow(clippy::disallowed_methods, reason = "a test's own settings")]
        if std::env::var_os("GOLDEN").is_some() {
            std::fs::write(folder.join(name), &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), text, "{name}");
    }
}
