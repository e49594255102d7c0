//! Two real `portcullis serve` on one PostgreSQL and one folder: both decide, the database goes and comes back, one of them
//! is killed, and every answer is on record once.

#[path = "../../replicas/tests/postgresql/cluster.rs"]
#[allow(dead_code, reason = "this test needs no standby and no backup")]
mod cluster;
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::note::NoteKey;
use chokepoint::{Entry, Event, EventKind, Position};
use cluster::Cluster;
use server::{Client, ClientTls};
use tlog::{Blobs, Files};
use tools::{code, expect, path, portcullis_command, stderr};

struct Replica {
    dir: PathBuf,
    child: Child,
    url: String,
    events: Arc<Mutex<Vec<String>>>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The same keys and policies everywhere, and a spool and a name for each.
fn prepare(world: &Path, cluster: &Cluster, name: &str) -> PathBuf {
    let dir = prepare_governed(world, cluster, name);
    let config = fs::read_to_string(dir.join("serve.yaml")).unwrap();
    // who may change the files is another test's matter
    let (begin, rest) = (config.find("governance:\n").unwrap(), config.find("\nlog:\n").unwrap() + 1);
    let config = format!("{}{}", &config[..begin], &config[rest..]);
    fs::write(dir.join("serve.yaml"), config.replace("guardrails: guardrails.yaml\n", "")).unwrap();
    dir
}

fn prepare_governed(world: &Path, cluster: &Cluster, name: &str) -> PathBuf {
    let dir = world.join(name);
    let status = Command::new("cp").arg("-a").arg(world.join("first")).arg(&dir).status().unwrap();
    assert!(status.success());
    let config = fs::read_to_string(dir.join("serve.yaml")).unwrap();
    let shared = format!(
        "log:\n  path: spool\n  origin: shop.example/decisions\n  key: keys/log.key\n  writer: {name}\n  postgresql:\n    \
         host: {}\n    database: postgres\n    user: writer\n    tiles: ../tree\n    \
         sequence: {{ user: sequencer, state: ../signed }}\n",
        cluster.dir().display()
    );
    let log = config.lines().find(|line| line.starts_with("log: ")).unwrap();
    let config = config.replace(&format!("{log}\n"), &shared);
    let config = config.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0");
    let config = config.replace("reload: 10s", "reload: 1s").replace("webhook:\n", "webhook:\n  drain: 1s\n");
    fs::write(dir.join("serve.yaml"), config).unwrap();
    dir
}

fn start(dir: &Path) -> Replica {
    let mut child = portcullis_command()
        .args(["serve", "--config", path(&dir.join("serve.yaml"))])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let (stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&events));
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    let mut replica = Replica { dir: dir.to_owned(), child, url: String::new(), events };
    let mut listening = String::new();
    wait_for(&format!("{} listens", dir.display()), || {
        let events = replica.events.lock().unwrap();
        let line = events.iter().find(|line| line.contains("\"listening\""));
        line.map(|line| listening.clone_from(line)).is_some()
            || !events.iter().all(|line| line.starts_with('{')) && panic!("{events:?}")
    });
    let line = attest::json::parse(listening.as_bytes()).unwrap();
    replica.url = format!("https://{}", line.as_object().unwrap().string("address").unwrap());
    replica
}

fn end(mut replica: Replica) {
    let pid = replica.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(replica.child.wait().unwrap().code(), Some(0), "{:?}", replica.events.lock().unwrap().last());
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks one replica after the other question, and keeps the leaf of every answer.
struct Asking {
    stop: Arc<AtomicBool>,
    url: Arc<Mutex<String>>,
    answers: Arc<Mutex<Vec<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Asking {
    fn start(replica: &Replica) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let url = Arc::new(Mutex::new(replica.url.clone()));
        let asking = Self { stop, url, answers, thread: None };
        let (stop, url, answers) =
            (Arc::clone(&asking.stop), Arc::clone(&asking.url), Arc::clone(&asking.answers));
        let tls = replica.dir.join("tls");
        let thread = std::thread::spawn(move || {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let to = url.lock().unwrap().clone();
                // one that was killed answers nothing, and nothing is expected of it
                match ask(&to, &tls, number) {
                    Some(leaf) => answers.lock().unwrap().push(leaf),
                    None => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        Self { thread: Some(thread), ..asking }
    }

    fn count(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    /// Waits for so many more answers.
    fn more(&self, count: usize, when: &str) {
        let wanted = self.count() + count;
        wait_for(&format!("{count} answers {when}"), || self.count() >= wanted);
    }

    fn end(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.answers.lock().unwrap().clone()
    }
}

fn ask(url: &str, tls: &Path, number: u64) -> Option<String> {
    let identity = Some((tls.join("apiserver.crt"), tls.join("apiserver.key")));
    let client = Client::new(url, &ClientTls { ca: Some(tls.join("ca.crt")), identity }, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u-{number}",
        "kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},
        "name":"web","namespace":"shop","operation":"CREATE","dryRun":false,
        "userInfo":{{"username":"alice@acme.example","groups":["system:authenticated"]}},
        "object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web","namespace":"shop"}},
        "spec":{{"containers":[{{"name":"web","image":"registry.example/shop@sha256:{number:064x}"}}]}}}}}}}}"#
    );
    runtime.block_on(async {
        let headers = [("content-type", "application/json")];
        let path = "/v1/kubernetes/validate?timeout=10s";
        let answer = client.send("POST", path, &headers, body.into_bytes()).await.ok()?;
        let text = String::from_utf8(answer.all(1 << 20).await.ok()?).unwrap();
        let json = attest::json::parse(text.as_bytes()).unwrap();
        let response = json.as_object().unwrap().object("response").unwrap();
        assert!(response.flag("allowed").unwrap(), "a dry run admits: {text}");
        let receipt = response.object("auditAnnotations").unwrap().string("receipt").unwrap();
        let (place, leaf) = receipt.rsplit_once(":sha256:").unwrap();
        assert!(place.contains("=one/") || place.contains("=two/"), "{receipt}");
        Some(format!("sha256:{leaf}"))
    })
}

/// How often each decision is in the tree, by its leaf; and how many `degraded` each writer has.
fn decisions(tree: &Path) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let (mut leaves, mut writers) = (BTreeMap::new(), BTreeMap::new());
    let key = NoteKey::parse(&fs::read_to_string(tree.join("log.vkey")).unwrap()).unwrap().0;
    tlog::verify(&Files::new(tree), &key, None, |_, leaf| {
        let entry = Entry::parse(leaf).unwrap();
        let count: &mut usize = writers.entry(entry.position().writer.clone()).or_default();
        *count += usize::from(matches!(&entry, Entry::Event(event) if event.kind == EventKind::Degraded));
        if entry.decision().is_some() {
            let hash = attest::merkle::leaf_hash(leaf).to_vec();
            let digest = attest::Digest::from_bytes(attest::Algorithm::Sha256, hash).unwrap();
            *leaves.entry(digest.to_string()).or_default() += 1;
        }
    })
    .unwrap();
    (leaves, writers)
}

#[test]
fn two_replicas_share_a_log_through_an_outage_and_a_kill() {
    let (cluster, world) = (Cluster::start(), tempfile::tempdir().unwrap());
    let (world, tree) = (world.path(), world.path().join("tree"));
    expect(0, &["init", path(&world.join("first"))]);
    let policy = world.join("first/book/prod/shop.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    assert!(text.contains("mode: enforce"), "{text}");
    fs::write(&policy, text.replace("mode: enforce", "mode: dry-run")).unwrap();
    let (one, two) = (prepare(world, &cluster, "one"), prepare(world, &cluster, "two"));

    // before the log was made, each replica says how it is
    let output =
        portcullis_command().args(["serve", "--config", path(&one.join("serve.yaml"))]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("portcullis log create"), "{}", stderr(&output));
    expect(0, &["log", "create", "--config", path(&one.join("serve.yaml")), "--owner", "postgres"]);
    cluster.sql(
        "CREATE ROLE writer LOGIN IN ROLE portcullis_writer; CREATE ROLE sequencer LOGIN IN ROLE portcullis_sequencer",
    );

    let (first, second) = (start(&one), start(&two));
    let (asks_first, asks_second) = (Asking::start(&first), Asking::start(&second));
    asks_first.more(10, "of the first");
    asks_second.more(10, "of the second");

    cluster.down("immediate");
    asks_first.more(30, "of the first without the database");
    asks_second.more(30, "of the second without the database");
    for dir in [&one, &two] {
        wait_for("an alarm that the store is out of reach", || {
            fs::read_to_string(dir.join("alarms.jsonl")).is_ok_and(|text| text.contains("out of reach"))
        });
    }
    cluster.up("");
    asks_first.more(10, "of the first with the database again");
    wait_for("the alarm is closed: everything was brought", || {
        fs::read_to_string(one.join("alarms.jsonl")).is_ok_and(|text| text.contains("alarm-closed"))
    });

    // killed in the middle of whatever it was at
    drop(second);
    asks_first.more(10, "of the one that is left");
    let second = start(&two);
    asks_second.url.lock().unwrap().clone_from(&second.url);
    asks_second.more(10, "of the one that came back");
    let (answers_first, answers_second) = (asks_first.end(), asks_second.end());
    end(first);
    end(second);

    let words = expect(0, &["log", "verify", path(&tree)]);
    let (found, writers) = decisions(&tree);
    for leaf in answers_first.iter().chain(&answers_second) {
        assert_eq!(found.get(leaf), Some(&1), "{leaf}\n{words}");
    }
    assert!(found.values().all(|count| *count == 1));
    let answered = answers_first.len() + answers_second.len();
    assert!(
        (answered..=answered + 1).contains(&found.len()),
        "{answered} answers, {} decisions",
        found.len()
    );
    assert_eq!(writers.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert!(writers.values().all(|degraded| *degraded > 0), "the outage is on record: {writers:?}");
    expect(0, &["replay", path(&tree)]);
}

/// The events of a kind in the tree.
fn events(tree: &Path, kind: EventKind) -> Vec<Event> {
    let mut found = Vec::new();
    let key = NoteKey::parse(&fs::read_to_string(tree.join("log.vkey")).unwrap()).unwrap().0;
    tlog::verify(&Files::new(tree), &key, None, |_, leaf| {
        if let Entry::Event(event) = Entry::parse(leaf).unwrap() {
            found.extend(Some(*event).filter(|event| event.kind == kind));
        }
    })
    .unwrap();
    found
}

/// As another writer's word that another book is in force, and that the true one was replaced; with the parts beside it.
fn forge(mut event: Event, tree: &Path) -> Vec<Vec<u8>> {
    let digest = |bytes: &[u8]| attest::Digest::sha256(bytes).to_string();
    let named = |event: &Event, key: &str| event.body.string(key).unwrap().to_owned();
    let blobs = Blobs::new(Files::new(tree));
    let get = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let digest = attest::Digest::from_hex(attest::Algorithm::Sha256, hex).unwrap();
        String::from_utf8(blobs.get(&digest).unwrap()).unwrap()
    };
    let manifest = get(&named(&event, "manifest"));
    let json = attest::json::parse(manifest.as_bytes()).unwrap();
    let files = json.as_object().unwrap().array("files").unwrap();
    let mut file = files.iter().map(|file| file.as_object().unwrap().string("digest").unwrap());
    let file = file.find(|file| get(file).contains("mode: enforce")).unwrap();
    let book = format!("{}# forged\n", get(file)).into_bytes();
    let manifest = manifest.replace(file, &digest(&book)).into_bytes();
    let history =
        format!(r#"{{"files":[{{"replaced":["{}"],"what":"book"}}]}}"#, named(&event, "book")).into_bytes();
    event.body.set("book", digest(b"forged"));
    event.body.set("manifest", digest(&manifest));
    event.body.set("history", digest(&history));
    event.position = Position { writer: "zz".to_owned(), epoch: 1, sequence: 0, previous: None };
    vec![event.to_json().to_string().into_bytes(), book, manifest, history]
}

/// Whoever has a replica's login to the database, and no key, wants his book in force.
#[test]
fn files_that_the_database_alone_says_are_in_force_never_are() {
    let (cluster, world) = (Cluster::start(), tempfile::tempdir().unwrap());
    let (world, tree) = (world.path(), world.path().join("tree"));
    expect(0, &["init", path(&world.join("first"))]);
    let one = prepare_governed(world, &cluster, "one");
    expect(0, &["log", "create", "--config", path(&one.join("serve.yaml")), "--owner", "postgres"]);
    cluster.sql(
        "CREATE ROLE writer LOGIN IN ROLE portcullis_writer; CREATE ROLE sequencer LOGIN IN ROLE portcullis_sequencer",
    );
    end(start(&one));
    let true_ones = events(&tree, EventKind::FilesInForce);
    assert_eq!(true_ones.len(), 1);

    let running = start(&one);
    let rows = forge(true_ones[0].clone(), &tree);
    let hex = |bytes: &[u8]| attest::digest::to_hex(bytes);
    for part in &rows[1..] {
        let insert = "INSERT INTO portcullis.blobs_pending SELECT 'shop.example/decisions', sha256(b), b";
        cluster.sql_as("writer", &format!("{insert} FROM decode('{}', 'hex') b", hex(part))).unwrap();
    }
    let insert = format!(
        "INSERT INTO portcullis.entries_pending (origin, writer, sequence, leaf, proof) \
         VALUES ('shop.example/decisions', 'zz', 0, decode('{}', 'hex'), decode(repeat('00', 64), 'hex'))",
        hex(&rows[0])
    );
    cluster.sql_as("writer", &insert).unwrap();
    wait_for("an alarm about an entry that the log's key did not sign", || {
        let alarms = fs::read_to_string(one.join("alarms.jsonl")).unwrap_or_default();
        alarms.contains("entry 0 of zz is not taken: it is not signed with the log's key")
    });
    end(running);
    // again while nobody sequences: what waits is looked at when the process starts
    cluster.sql_as("writer", &insert).unwrap();
    cluster.sql_as("writer", &insert.replace("'zz', 0, decode('", "'noise', 4, decode('00")).unwrap();
    for _ in 0..2 {
        let running = start(&one);
        std::thread::sleep(Duration::from_millis(2500));
        // the book on disk is still the one in force: else it would be refused as one that was replaced
        let said = running.events.lock().unwrap().join("\n");
        assert!(said.contains("\"governed\":true") && !said.contains("reload-refused"), "{said}");
        end(running);
    }
    let now = events(&tree, EventKind::FilesInForce);
    assert!(
        now.iter().all(|event| event.position.writer == "one" && event.body == true_ones[0].body),
        "{now:?}"
    );
}
