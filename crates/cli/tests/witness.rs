//! Real witnesses: killed at random moments, asked by real logs, and talking with implementations that others wrote.
//! `PORTCULLIS_KILLS` says how often, `PORTCULLIS_SEED` from which seed.

mod tools;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::merkle::Hash;
use attest::note::{self, Checkpoint, NoteKey};
use attest::{SecretKey, Signer as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use server::witness::{Https, Publisher, Settings, start};
use tlog::witnessing::{Asking, WITNESSED, Witnesses};
use tlog::{Batch, Files, Log, Proof, Reader, Receipt};
use tools::{cache, expect, part, path, portcullis, portcullis_command, stderr};

const ORIGIN: &str = "test.example/decisions";

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Marsaglia's xorshift: the same moments for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn log_key() -> NoteKey {
    NoteKey { name: ORIGIN.to_owned(), key: secret(1).public().clone() }
}

struct Place {
    dir: tempfile::TempDir,
}

/// A witness that runs.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(place.at("log.vkey"), log_key().to_vkey()).unwrap();
        for seed in [11, 12] {
            fs::write(place.at(&format!("w{seed}.key")), secret(seed).to_pem(None).unwrap().as_bytes())
                .unwrap();
            fs::write(place.at(&format!("w{seed}.vkey")), witness_key(seed).to_witness_vkey()).unwrap();
        }
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The words that start a witness.
    fn words(&self, seed: u8, more: &[&str]) -> Vec<String> {
        let name = format!("w{seed}");
        let mut words = vec!["log".to_owned(), "witness".to_owned(), "--state".to_owned()];
        words.push(self.at(&name).display().to_string());
        words.extend(["--key".to_owned(), self.at(&format!("{name}.key")).display().to_string()]);
        words.extend(["--name".to_owned(), name, "--listen".to_owned(), "127.0.0.1:0".to_owned()]);
        if !more.contains(&"--log") {
            words.extend(["--log".to_owned(), format!("{ORIGIN}={}", self.at("log.vkey").display())]);
        }
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words
    }

    fn start(&self, seed: u8, more: &[&str]) -> Running {
        let mut child =
            portcullis_command().args(self.words(seed, more)).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let listening = lines.by_ref().find(|line| {
            seen.push(line.clone());
            line.contains("\"listening\"")
        });
        let listening = listening.unwrap_or_else(|| panic!("it does not listen: {seen:?}"));
        let vkey = witness_key(seed).to_witness_vkey();
        assert!(seen.iter().any(|line| line.contains(&vkey)), "it says which key: {seen:?}");
        std::thread::spawn(move || lines.for_each(drop));
        let event = attest::json::parse(listening.as_bytes()).unwrap();
        let address = event.as_object().unwrap().string("address").unwrap().to_owned();
        Running { child, address }
    }

    /// Both witnesses, asked by the log.
    fn witnesses(&self, first: &Running, second: &Running) -> Witnesses {
        let one = |seed, running: &Running| Asking {
            name: format!("w{seed}"),
            url: format!("http://{}", running.address),
            key: witness_key(seed),
        };
        Witnesses::new(2, vec![one(11, first), one(12, second)]).unwrap()
    }

    fn publish(&self, log: &str, witnesses: &Witnesses, key: NoteKey) -> Publisher {
        let transport = Https::new(None, witnesses).unwrap();
        let settings = Settings {
            storage: Files::new(&self.at(log)),
            key,
            witnesses: witnesses.clone(),
            rhythm: Duration::from_millis(20),
            clock: Arc::new(now),
            tell: Box::new(|event, details| eprintln!("{event} {}", attest::Json::from(details))),
        };
        start(settings, transport).unwrap()
    }

    /// A log in a folder, with so many entries under a word.
    fn log(&self, name: &str, count: u64, word: &str) -> Log<Files> {
        let files = Files::new(&self.at(name));
        let mut log = Log::create(files, ORIGIN, Box::new(secret(1))).unwrap();
        fs::write(self.at(name).join("log.vkey"), log_key().to_vkey()).unwrap();
        append(&mut log, 0, count, word);
        log
    }

    fn verify_with_witnesses(&self, log: &str, more: &[&str]) -> (i32, String) {
        let witness = |seed| format!("w{seed}={}", self.at(&format!("w{seed}.vkey")).display());
        let (dir, first, second) = (self.at(log), witness(11), witness(12));
        let mut words = vec!["log", "verify", path(&dir), "--witness", &first, "--witness", &second];
        words.extend(more);
        let output = portcullis(&words);
        (tools::code(&output), tools::stdout(&output) + &stderr(&output))
    }
}

fn append(log: &mut Log<Files>, from: u64, to: u64, word: &str) {
    let leaves = (from..to).map(|number| format!("{word} {number}").into_bytes()).collect();
    log.apply(&[Batch { leaves, blobs: Vec::new() }]).unwrap();
}

fn witness_key(seed: u8) -> NoteKey {
    NoteKey { name: format!("w{seed}"), key: secret(seed).public().clone() }
}

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_there() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a witness answers: status, head and body; nothing where it is gone.
fn post(address: &str, body: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_ascii_lowercase(), body.to_owned()))
}

/// A history: signed checkpoints of every size, and proofs between them.
struct History {
    dir: tempfile::TempDir,
    notes: Vec<String>,
    roots: Vec<Hash>,
}

impl History {
    fn new(count: u64, fork: u64, word: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(Files::new(dir.path()), ORIGIN, Box::new(secret(1))).unwrap();
        let (mut notes, mut roots) = (Vec::new(), Vec::new());
        for number in 0..=count {
            let text = fs::read_to_string(dir.path().join("checkpoint")).unwrap();
            roots.push(Checkpoint::parse(note::Note::parse(&text).unwrap().text()).unwrap().root);
            notes.push(text);
            fs::create_dir_all(dir.path().join(format!("at/{number}"))).unwrap();
            copy(dir.path(), &dir.path().join(format!("at/{number}")));
            log.append(format!("{} {number}", if number < fork { "all" } else { word }).as_bytes()).unwrap();
        }
        Self { dir, notes, roots }
    }

    fn request(&self, old: u64, new: u64) -> String {
        let files = Files::new(&self.dir.path().join(format!("at/{new}")));
        let proof = Reader::new(&files, new).consistency(old).unwrap();
        let proof: String = proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
        format!("old {old}\n{proof}\n{}", self.notes[new as usize])
    }
}

/// Copies the tiles.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from.join("tile")).arg(to).stderr(Stdio::null()).status();
    status.unwrap();
}

#[test]
fn killed_at_any_moment_it_never_cosigns_two_histories() {
    let (kills, seed) = (setting("PORTCULLIS_KILLS", 12), setting("PORTCULLIS_SEED", 1));
    let place = Place::new();
    let mut random = Random(seed);
    let histories = [History::new(200, 3, "one"), History::new(200, 3, "two")];
    let cosigned: Mutex<Vec<(u64, Hash)>> = Mutex::default();
    let forks = std::sync::atomic::AtomicUsize::new(0);
    for kill in 0..=kills {
        let mut running = place.start(11, if kill == 0 { &["--begin"] } else { &[] });
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (histories, cosigned, stop, address) =
                    (&histories, &cosigned, &stop, running.address.clone());
                let (forks, mut random) = (&forks, Random(seed * 1000 + kill * 10 + thread + 1));
                scope.spawn(move || {
                    let (history, mut old) = (&histories[(thread % 2) as usize], 0);
                    while !stop.load(Ordering::Relaxed) {
                        let new = (old + random.below(3)).min(200);
                        let Some((status, head, body)) = post(&address, &history.request(old, new)) else {
                            return;
                        };
                        match status {
                            200 => {
                                let text = format!("{}{body}", history.notes[new as usize]);
                                let note = note::Note::parse(&text).unwrap();
                                assert!(note.cosigned_at(&witness_key(11)).is_some());
                                cosigned.lock().unwrap().push((new, history.roots[new as usize]));
                                old = new;
                            }
                            409 if head.contains("content-type: text/x.tlog.size") => {
                                old = body.trim().parse().unwrap()
                            }
                            409 | 422 => drop(forks.fetch_add(1, Ordering::Relaxed)),
                            other => panic!("{other}: {body}"),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(20 + random.below(150)));
            running.child.kill().unwrap();
            running.child.wait().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        let cosigned = cosigned.lock().unwrap();
        let is_one =
            |history: &History| cosigned.iter().all(|(size, root)| history.roots[*size as usize] == *root);
        assert!(histories.iter().any(is_one), "seed {seed}, kill {kill}: two histories are cosigned");
    }
    let (cosigned, forks) = (cosigned.into_inner().unwrap(), forks.into_inner());
    eprintln!("{kills} kills, {} cosignatures, {forks} forks refused", cosigned.len());
    assert!(cosigned.iter().any(|(size, _)| *size > 10), "too little happened: {cosigned:?}");
    assert!(forks > 0, "nobody tried a fork");
}

#[test]
fn a_rewritten_log_fails_against_a_witness_with_its_own_key() {
    let place = Place::new();
    let (first, second) = (place.start(11, &["--begin"]), place.start(12, &["--begin"]));
    let witnesses = place.witnesses(&first, &second);
    let mut log = place.log("log", 300, "entry");
    let publisher = place.publish("log", &witnesses, log_key());
    wait_for("the first checkpoint", || publisher.standing().size == Some(300));
    append(&mut log, 300, 320, "entry");
    wait_for("the next one", || publisher.standing().size == Some(320));
    assert_eq!((publisher.standing().contradiction, publisher.standing().failures.len()), (None, 0));
    drop(second);
    append(&mut log, 320, 321, "entry");
    wait_for("failures", || publisher.standing().failures.get("w12").is_some_and(|count| *count > 1));
    let standing = publisher.standing();
    assert_eq!((standing.size, standing.failures.len(), standing.contradiction), (Some(320), 1, None));
    drop(publisher);
    let second = place.start(12, &[]);
    let witnesses = place.witnesses(&first, &second);

    let (code, text) = place.verify_with_witnesses("log", &[]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("321 records") && text.contains("the first 320 of them were seen by w11 at 20"),
        "{text}"
    );
    assert!(text.contains(", w12 at "), "{text}");
    let kept = place.at("kept");
    fs::copy(place.at("log").join(WITNESSED), &kept).unwrap();

    // whoever has the log's key and its machine writes it anew, and it is a good log in itself
    place.log("rewritten", 400, "other");
    let rewritten = place.at("rewritten");
    assert!(expect(0, &["log", "verify", path(&rewritten)]).contains("400 records"));
    let (code, text) = place.verify_with_witnesses("rewritten", &["--cosigned", path(&kept)]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("the log of 400 records does not continue the one of 320 that was seen before"),
        "{text}"
    );
    // truncated
    place.log("truncated", 100, "entry");
    let (code, text) = place.verify_with_witnesses("truncated", &["--cosigned", path(&kept)]);
    assert!(code == 1 && text.contains("does not continue the one of 320"), "{text}");

    // no new cosignature is to be had for it, and the asking stops
    let publisher = place.publish("rewritten", &witnesses, log_key());
    wait_for("the contradiction", || publisher.standing().contradiction.is_some());
    let (_, what) = publisher.standing().contradiction.unwrap();
    assert!(what.contains("the log of 400 records does not continue the 321 that were seen"), "{what}");
    assert!(!rewritten.join(WITNESSED).exists());
    drop(publisher);
    let publisher = place.publish("truncated", &witnesses, log_key());
    wait_for("the contradiction", || publisher.standing().contradiction.is_some());
    let (_, what) = publisher.standing().contradiction.unwrap();
    assert!(what.contains("321 records were seen, and the log has 100: it was rolled back"), "{what}");
    drop(publisher);

    // without `witnessed`, or with the log's signature alone, nobody saw anything
    assert_eq!(place.verify_with_witnesses("rewritten", &[]).0, 2);
    fs::copy(rewritten.join("checkpoint"), rewritten.join(WITNESSED)).unwrap();
    let (code, text) = place.verify_with_witnesses("rewritten", &["--quorum", "1"]);
    assert!(code == 1 && text.contains("no witness cosigned the checkpoint, wanted 1"), "{text}");
    // a checkpoint of its own with the cosignatures of another
    let cosignatures: String =
        fs::read_to_string(&kept).unwrap().lines().skip(5).map(|l| format!("{l}\n")).collect();
    let text = fs::read_to_string(rewritten.join("checkpoint")).unwrap();
    fs::write(rewritten.join(WITNESSED), text + &cosignatures).unwrap();
    let (code, text) = place.verify_with_witnesses("rewritten", &[]);
    assert!(code == 1 && text.contains("no witness cosigned the checkpoint, wanted 2"), "{text}");
}

#[test]
fn a_proof_under_what_witnesses_saw_is_verified_offline() {
    let place = Place::new();
    let (first, second) = (place.start(11, &["--begin"]), place.start(12, &["--begin"]));
    let mut log = place.log("log", 20, "entry");
    let publisher = place.publish("log", &place.witnesses(&first, &second), log_key());
    wait_for("the checkpoint", || publisher.standing().size == Some(20));
    drop((publisher, first, second));
    append(&mut log, 20, 600, "entry");
    let (dir, proof, key) = (place.at("log"), place.at("7.tlog-proof"), place.at("log.vkey"));
    let (w11, w12) = (place.at("w11.vkey"), place.at("w12.vkey"));
    let (w11, w12) = (format!("w11={}", path(&w11)), format!("w12={}", path(&w12)));
    let words = ["log", "prove", path(&dir), "7", "--witnessed", "--with-record"];
    fs::write(&proof, expect(0, &words)).unwrap();
    let verify = ["log", "verify-proof", path(&proof), "--key", path(&key)];
    let with = |more: &[&'static str]| [&verify[..], &["--witness", &w11, "--witness", &w12], more].concat();
    let text = expect(0, &with(&[]));
    assert!(
        text.starts_with(
            "record 7 is in test.example/decisions, among 20 records, which were seen by w11 at "
        )
    );
    let json = expect(0, &with(&["--format", "json"]));
    assert!(json.contains("\"index\": 7") && json.contains("\"name\": \"w12\""), "{json}");

    // newer than what is witnessed, and under the newest checkpoint
    let newer = ["log", "prove", path(&dir), "20", "--witnessed"];
    assert!(expect(2, &newer).contains("there is no record 20: the log has 20"));
    let record = place.at("record");
    fs::write(&record, "entry 20").unwrap();
    fs::write(&proof, expect(0, &["log", "prove", path(&dir), "20"])).unwrap();
    assert!(expect(2, &verify).contains("give --record FILE"));
    let with_record = [&verify[..], &["--record", path(&record)]].concat();
    assert!(
        expect(0, &with_record).starts_with("record 20 is in test.example/decisions, among 600 records\n")
    );
    let unseen = [&with_record[..], &["--witness", &w11]].concat();
    assert!(expect(1, &unseen).contains("no witness cosigned the checkpoint, wanted 1"));
    fs::write(&record, "entry 21").unwrap();
    assert!(expect(1, &with_record).contains("the path does not lead from this record to the signed root"));
    fs::write(&proof, "noise\n\nnoise\n").unwrap();
    assert!(expect(1, &with_record).contains("it is no tlog-proof, wanted a first line"));
}

#[test]
fn a_witness_begins_once_ends_when_told_and_takes_tls() {
    let place = Place::new();
    let refused = |words: &[String]| {
        let output = portcullis_command().args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(refused(&place.words(11, &[])).contains("there is no state of a witness"));
    assert!(!place.at("w11").exists(), "a folder that is not mounted is not made");
    let mut running = place.start(11, &["--begin"]);
    let second = refused(&place.words(11, &[]));
    assert!(second.contains("another witness uses the folder"), "{second}");
    let (status, head, body) = post(&running.address, "noise").unwrap();
    assert_eq!(status, 400, "{head} {body}");
    let large = format!("old 0\n\n{}", "x".repeat(20_000));
    assert!(post(&running.address, &large).is_none_or(|(status, ..)| status == 413));
    assert!(Command::new("kill").arg(running.child.id().to_string()).status().unwrap().success());
    assert_eq!(running.child.wait().unwrap().code(), Some(0), "SIGTERM ends it in good order");
    drop(running);

    assert!(refused(&place.words(11, &["--begin"])).contains("without --begin, go on with what is there"));
    let own = format!("{ORIGIN}={}", place.at("own.vkey").display());
    let key = NoteKey { name: ORIGIN.to_owned(), key: secret(11).public().clone() };
    fs::write(place.at("own.vkey"), key.to_vkey()).unwrap();
    assert!(refused(&place.words(11, &["--log", &own])).contains("a log is no witness of itself"));
    let other = format!("other={}", place.at("log.vkey").display());
    assert!(refused(&place.words(11, &["--log", &other])).contains("the key of test.example/decisions"));

    expect(0, &["init", path(&place.at("deploy"))]);
    let tls = |name: &str| place.at("deploy/tls").join(name);
    let (certificate, key) = (tls("server.crt"), tls("server.key"));
    let found: Vec<_> =
        fs::read_dir(place.at("deploy/tls")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(certificate.exists() && key.exists(), "{found:?}");
    let more = ["--certificate", path(&certificate), "--certificate-key", path(&key)];
    let running = place.start(11, &more);
    let port = running.address.rsplit(':').next().unwrap();
    let one =
        Asking { name: "w11".to_owned(), url: format!("https://localhost:{port}"), key: witness_key(11) };
    let witnesses = Witnesses::new(1, vec![one]).unwrap();
    place.log("log", 5, "entry");
    let transport = Https::new(Some(&tls("ca.crt")), &witnesses).unwrap();
    let asked = tlog::witnessing::ask(
        &Files::new(&place.at("log")),
        &log_key(),
        &witnesses,
        &Default::default(),
        &transport,
    );
    assert!(asked.unwrap().is_witnessed);
    let stranger = Https::new(None, &witnesses).unwrap();
    let sizes = Default::default();
    let asked =
        tlog::witnessing::ask(&Files::new(&place.at("log")), &log_key(), &witnesses, &sizes, &stranger);
    assert!(asked.unwrap().words[0].1.is_err(), "a certificate of an unknown authority");
}

// ---- what others wrote ----

fn interop() -> Option<(PathBuf, PathBuf)> {
    let program = part("tlog-interop", cache("tlog-interop/tlog-interop"))?;
    Some((program, cache("tlog-interop/litewitness")))
}

fn run(program: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    (output.status.success(), tools::stdout(&output) + &stderr(&output))
}

#[test]
fn others_accept_our_tiles_checkpoints_and_proofs() {
    let Some((program, _)) = interop() else { return };
    let place = Place::new();
    let log = place.log("log", 700, "entry");
    let proofs = place.at("proofs");
    fs::create_dir_all(&proofs).unwrap();
    for index in 0..700 {
        let text = log.prove(index).unwrap().to_proof(None).to_text();
        fs::write(proofs.join(format!("{index}.tlog-proof")), text).unwrap();
    }
    let reader = Reader::new(log.storage(), 700);
    let line = |old: u64| {
        let proof: String =
            reader.consistency(old).unwrap().iter().map(|h| format!(" {}", STANDARD.encode(h))).collect();
        format!("{old}{proof}\n")
    };
    let lines: String = (1..=700).map(line).collect();
    fs::write(proofs.join("consistency"), &lines).unwrap();
    let (dir, vkey) = (place.at("log"), log_key().to_vkey());
    let words = ["check", path(&dir), &vkey, path(&proofs)];
    let (is_good, text) = run(&program, &words);
    assert!(is_good && text == "700 entries and 700 older sizes\n", "{text}");

    // it can say no
    fs::write(proofs.join("consistency"), lines.replacen("\n17 ", "\n18 ", 1)).unwrap();
    let (is_good, text) = run(&program, &words);
    assert!(!is_good && text.contains("consistency from 18"), "{text}");
    let tile = dir.join("tile/entries/001");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[40] ^= 1;
    fs::write(&tile, bytes).unwrap();
    assert!(!run(&program, &words).0);
}

#[test]
fn litewitness_cosigns_our_log_and_refuses_a_fork_of_it() {
    let Some((program, litewitness)) = interop() else { return };
    let place = Place::new();
    let dir = place.at("lite");
    fs::create_dir_all(&dir).unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let child = Command::new(&program)
        .args(["witness", path(&dir), "lite.example/w", &address, &log_key().to_vkey(), path(&litewitness)])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let theirs = Running { child, address };
    wait_for("litewitness", || dir.join("witness.vkey").exists());
    let (key, is_witness) = NoteKey::parse(&fs::read_to_string(dir.join("witness.vkey")).unwrap()).unwrap();
    assert!(is_witness);
    let url = format!("http://{}", theirs.address);
    let of = vec![Asking { name: "lite".to_owned(), url, key: key.clone() }];
    let witnesses = Witnesses::new(1, of).unwrap();
    let mut log = place.log("log", 3, "entry");
    let publisher = place.publish("log", &witnesses, log_key());
    for size in [3, 4, 255, 256, 257, 600] {
        append(&mut log, reader_size(&place), size, "entry");
        wait_for("its cosignature", || publisher.standing().size == Some(size));
    }
    drop(publisher);
    // somebody without memory asks again, from nothing
    let transport = Https::new(None, &witnesses).unwrap();
    let ask = |name: &str| {
        let (files, sizes) = (Files::new(&place.at(name)), Default::default());
        tlog::witnessing::ask(&files, &log_key(), &witnesses, &sizes, &transport).unwrap()
    };
    append(&mut log, 600, 610, "entry");
    assert!(ask("log").is_witnessed);

    // its own kind accepts a proof of ours, with its cosignature, under its policy
    let receipt = Receipt::prove_witnessed(log.storage(), &log_key(), 42).unwrap();
    let (proof, leaf, policy) = (place.at("42.tlog-proof"), place.at("42"), place.at("policy"));
    fs::write(&proof, receipt.to_proof(Some(b"entry 42".to_vec())).to_text()).unwrap();
    fs::write(&leaf, "entry 42").unwrap();
    let vkey = key.to_witness_vkey();
    fs::write(&policy, format!("log {}\nwitness w {vkey}\nquorum w\n", log_key().to_vkey())).unwrap();
    let words = ["proof", path(&policy), path(&proof), path(&leaf)];
    let (is_good, text) = run(&program, &words);
    assert!(is_good, "{text}");
    let text = fs::read_to_string(&proof).unwrap();
    let cut: String =
        text.lines().filter(|l| !l.contains("lite.example")).map(|l| format!("{l}\n")).collect();
    fs::write(&proof, cut).unwrap();
    assert!(!run(&program, &words).0, "without the cosignature");

    place.log("fork", 700, "other");
    let asked = ask("fork");
    assert_eq!(asked.contradictions().count(), 1, "{asked:?}");
    place.log("shorter", 9, "entry");
    let asked = ask("shorter");
    assert_eq!(asked.contradictions().count(), 1, "{asked:?}");
}

fn reader_size(place: &Place) -> u64 {
    let text = fs::read_to_string(place.at("log").join("checkpoint")).unwrap();
    Checkpoint::parse(note::Note::parse(&text).unwrap().text()).unwrap().size
}

#[test]
fn we_witness_a_log_that_tessera_writes_and_verify_it() {
    let Some((program, _)) = interop() else { return };
    let place = Place::new();
    let name = "tessera.example/log";
    let dir = place.at("tessera");
    // its key is made with the first entries, which no witness is asked about
    fs::write(place.at("none"), "quorum none\n").unwrap();
    let (is_good, text) = run(&program, &["write", path(&dir), name, path(&place.at("none")), "2"]);
    assert!(is_good, "{text}");
    let vkey = dir.join("log.vkey");
    let log = format!("{name}={}", vkey.display());
    let ours = [place.start(11, &["--begin", "--log", &log]), place.start(12, &["--begin", "--log", &log])];
    let policy = place.at("policy");
    let line = |seed, running: &Running| {
        format!("witness w{seed} {} http://{}/\n", witness_key(seed).to_witness_vkey(), running.address)
    };
    let text = format!("{}{}group both all w11 w12\nquorum both\n", line(11, &ours[0]), line(12, &ours[1]));
    fs::write(&policy, text).unwrap();
    for (count, total) in [("5", 7), ("300", 307), ("1", 308)] {
        let (is_good, text) = run(&program, &["write", path(&dir), name, path(&policy), count]);
        assert!(is_good, "{text}");
        let checkpoint = dir.join("checkpoint");
        let (code, text) =
            place.verify_with_witnesses("tessera", &["--key", path(&vkey), "--cosigned", path(&checkpoint)]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(&format!("{total} records (0 decisions)")), "{text}");
        assert!(text.contains(&format!("the first {total} of them were seen by w11 at ")), "{text}");
    }
    let (key, _) = NoteKey::parse(&fs::read_to_string(&vkey).unwrap()).unwrap();
    let receipt = Receipt::prove(&Files::new(&dir), &key, 200).unwrap();
    let entry = Reader::new(&Files::new(&dir), 308).entry(200).unwrap();
    let proof = Proof::parse(&receipt.to_text()).unwrap();
    assert_eq!(
        proof.verify(&entry, &key, &[witness_key(11), witness_key(12)], 2).unwrap().checkpoint.size,
        308
    );
}

#[test]
fn what_names_no_witness_is_refused_with_what_is_wanted() {
    let place = Place::new();
    place.log("log", 2, "entry");
    let dir = place.at("log");
    fs::write(place.at("noise"), "noise").unwrap();
    fs::write(place.at("p256.pub"), SecretKey::generate(attest::Scheme::P256).unwrap().public().to_pem())
        .unwrap();
    fs::write(place.at("pem"), secret(11).public().to_pem()).unwrap();
    let file = |name: &str| place.at(name).display().to_string();
    for (witness, wanted) in [
        ("w11".to_owned(), "wanted  NAME=FILE"),
        (format!("={}", file("w11.vkey")), "wanted  NAME=FILE"),
        (format!("w11={}", file("none")), "cannot read the key"),
        (format!("w11={}", file("log")), "is a folder"),
        (format!("w11={}", file("noise")), "is no key of the witness w11"),
        (format!("w11={}", file("w12.vkey")), "the key of w12"),
        (format!("w11={}", file("p256.pub")), "a key for"),
    ] {
        let text = expect(2, &["log", "verify", path(&dir), "--witness", &witness]);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = wanted.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&wanted), "{witness}: {text}");
    }
    let (one, same) = (format!("w11={}", file("w11.vkey")), format!("again={}", file("pem")));
    let two = expect(2, &["log", "verify", path(&dir), "--witness", &one, "--witness", &same]);
    assert!(two.contains("two witnesses have the same key, so they are one"), "{two}");
    for quorum in ["0", "2"] {
        let text = expect(2, &["log", "verify", path(&dir), "--witness", &one, "--quorum", quorum]);
        assert!(text.contains("can never mean anything"), "{text}");
    }
    expect(2, &["log", "verify", path(&dir), "--quorum", "1"]);
    expect(2, &["log", "verify", path(&dir), "--cosigned", &file("noise")]);
}
