//! `portcullis serve`, and evidence that lies only in a registry: a real registry behind a road on which questions are
//! counted, held up and turned away.

mod registries;
mod tools;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::{Digest, Json, Object};
use evidence::Store;
use registries::{Registry, layout};
use server::{Client, ClientTls};
use tools::{expect, path, portcullis_command};

/// The road to a registry.
#[derive(Default)]
struct Road {
    /// What clients sent, in pieces.
    asked: AtomicUsize,
    /// Milliseconds until an answer goes on.
    delay: AtomicU64,
    /// Whether nothing but 503 comes back.
    is_closed: AtomicBool,
}

/// Opens a road, and gives its address.
fn road(to: &str) -> (String, Arc<Road>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (road, to) = (Arc::new(Road::default()), to.to_owned());
    let own = Arc::clone(&road);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (road, to) = (Arc::clone(&own), to.clone());
            std::thread::spawn(move || carry(&road, client, &to));
        }
    });
    (address, road)
}

fn carry(road: &Arc<Road>, mut client: TcpStream, to: &str) {
    let mut registry = TcpStream::connect(to).unwrap();
    let (mut back, mut from) = (client.try_clone().unwrap(), registry.try_clone().unwrap());
    let own = Arc::clone(road);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            std::thread::sleep(Duration::from_millis(own.delay.load(Ordering::SeqCst)));
            if back.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        back.shutdown(Shutdown::Both).ok();
    });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        road.asked.fetch_add(1, Ordering::SeqCst);
        if road.is_closed.load(Ordering::SeqCst) {
            client.write_all(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
            break;
        }
        registry.write_all(&bytes[..count]).unwrap();
    }
    client.shutdown(Shutdown::Both).ok();
    registry.shutdown(Shutdown::Both).ok();
}

impl Road {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A choke point's folder, two keys, an image in a real registry, and a road to it.
struct World {
    folder: tempfile::TempDir,
    registry: Registry,
    address: String,
    road: Arc<Road>,
    digest: Digest,
}

impl World {
    fn new() -> Option<Self> {
        let registry = Registry::listing()?;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        expect(0, &["init", path(&at("deploy"))]);
        let digest = layout(&at("image"));
        for name in ["ours", "theirs"] {
            expect(0, &["keygen", path(&at(name)), "--no-passphrase"]);
            let (key, out, digest) =
                (at(&format!("{name}.key")), at(&format!("{name}.json")), digest.to_string());
            let what = ["attest", "test", &digest, "--name", "unit", "--result", "passed"];
            expect(0, &[&what[..], &["--key", path(&key), "--out", path(&out)]].concat());
        }
        let (address, road) = road(&registry.address);
        let world = Self { folder, registry, address, road, digest };
        world.push("shop");
        let pem = fs::read_to_string(world.at("ours.pub")).unwrap();
        let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
        let root = format!("version: 1\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}");
        fs::write(world.at("deploy/trust-root.yaml"), root).unwrap();
        for what in ["book", "governance"] {
            fs::remove_dir_all(world.at("deploy").join(what)).unwrap();
        }
        fs::create_dir(world.at("deploy/book")).unwrap();
        world.book("");
        Some(world)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn book(&self, more: &str) {
        for name in ["shop", "acme-other/shop"] {
            let policy = format!(
                "environment: prod/shop\nartifact: {}/{name}\nrequire: {{ signed-by: [vendor] }}\n{more}",
                self.address
            );
            fs::write(self.at(&format!("deploy/book/{}.yaml", name.replace('/', "-"))), policy).unwrap();
        }
    }

    fn push(&self, name: &str) {
        let to = format!("docker://{}/{name}:1", self.registry.address);
        let from = format!("oci:{}", path(&self.at("image")));
        let copy = ["copy", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false", &from, &to];
        let output = Command::new("skopeo").args(copy).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Attaches, past the road.
    fn attach(&self, whose: &str) {
        let image = format!("{}/shop@{}", self.registry.address, self.digest);
        expect(0, &["attach", &image, "--bundle", path(&self.at(&format!("{whose}.json"))), "--registry"]);
    }

    fn serve(&self, registries: &str) -> Serving {
        let original = self.at("deploy/serve.yaml");
        let config = fs::read_to_string(original).unwrap();
        let (begin, end) = (config.find("governance:\n").unwrap(), config.find("log: {").unwrap());
        let begin = config[..begin].replace("guardrails: guardrails.yaml\n", "");
        let config = format!("{begin}{}\nregistries: [{registries}]\n", &config[end..]);
        let config = config.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0");
        let file = self.at("deploy/tried.yaml");
        fs::write(&file, config).unwrap();
        Serving::start(self.at("deploy"))
    }

    /// Serves, asking the registry behind the road.
    fn serve_it(&self, more: &str) -> Serving {
        self.serve(&format!("{{ registry: \"{}\"{more} }}", self.address))
    }

    fn review(&self, name: &str) -> String {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},
            "name":"web","namespace":"shop","operation":"CREATE","dryRun":false,
            "userInfo":{{"username":"alice@acme.example","groups":["system:authenticated"]}},
            "object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web","namespace":"shop"}},
            "spec":{{"containers":[{{"name":"web","image":"{}/{name}@{}"}}]}}}}}}}}"#,
            self.address, self.digest
        )
    }
}

struct Serving {
    child: Child,
    folder: PathBuf,
    address: String,
    metrics: String,
    said: Arc<Mutex<Vec<String>>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Serving {
    fn start(folder: PathBuf) -> Self {
        let mut command = portcullis_command();
        let command =
            command.args(["serve", "--config"]).arg(folder.join("tried.yaml")).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut before = Vec::new();
        let line = lines.by_ref().find(|line| {
            before.push(line.clone());
            line.contains("\"listening\"")
        });
        let line = attest::json::parse(line.unwrap_or_else(|| panic!("{before:?}")).as_bytes()).unwrap();
        let text = |key: &str| line.as_object().unwrap().string(key).unwrap().to_owned();
        let (address, metrics) = (text("address"), text("metrics"));
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let own = Arc::clone(&said);
        std::thread::spawn(move || lines.for_each(|line| own.lock().unwrap().push(line)));
        Self { child, folder, address, metrics, said }
    }

    /// Whether it is allowed, and why not.
    fn ask(&self, review: &str, seconds: u64) -> (bool, String) {
        let tls = |part: &str| self.folder.join("tls").join(part);
        let identity = Some((tls("apiserver.crt"), tls("apiserver.key")));
        let to = format!("https://{}", self.address);
        let client = Client::new(&to, &ClientTls { ca: Some(tls("ca.crt")), identity }, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = runtime.block_on(async {
            let to = format!("/v1/kubernetes/validate?timeout={seconds}s");
            let headers = [("content-type", "application/json")];
            let answer = client.send("POST", &to, &headers, review.as_bytes().to_vec()).await.unwrap();
            String::from_utf8(answer.all(1 << 20).await.unwrap()).unwrap()
        });
        let answer = attest::json::parse(text.as_bytes()).unwrap();
        let response =
            answer.as_object().unwrap().object("response").unwrap_or_else(|e| panic!("{e}: {text}"));
        let message = response.optional_object("status").unwrap().map(|s| s.string("message").unwrap());
        (response.flag("allowed").unwrap(), message.unwrap_or_default().to_owned())
    }

    fn admits(&self, review: &str) {
        let (is_allowed, message) = self.ask(review, 10);
        assert!(is_allowed, "{message}");
    }

    fn refuses(&self, review: &str, says: &str, says_not: &str) {
        let (is_allowed, message) = self.ask(review, 10);
        assert!(!is_allowed && message.contains(says) && !message.contains(says_not), "{message}");
    }

    /// How many questions had this result.
    fn fetches(&self, result: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let series = format!("portcullis_registry_fetches_total{{result=\"{result}\"}} ");
        let line =
            text.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or_else(|| panic!("{text}"));
        line.parse().unwrap()
    }

    /// What the line of the newest decision says of the registry.
    fn told(&self) -> Option<Object> {
        let begun = Instant::now();
        loop {
            let said = self.said.lock().unwrap().clone();
            if let Some(line) = said.iter().rev().find(|line| line.contains("\"decision\"")) {
                let line = attest::json::parse(line.as_bytes()).unwrap();
                return line.as_object().unwrap().optional_object("registry").unwrap().cloned();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{said:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn evidence_that_is_only_in_the_registry_admits_beside_junk_and_is_asked_for_once() {
    let Some(world) = World::new() else { return };
    world.attach("ours");
    world.attach("theirs");
    let serving = world.serve_it("");
    let review = world.review("shop");
    serving.admits(&review);
    let told = serving.told().unwrap();
    let number = |key: &str| told.int(key).unwrap();
    assert_eq!((told.string("result").unwrap(), number("taken"), number("left-out")), ("found", 1, 1));
    assert!(Json::from(told).to_string().contains(&world.digest.to_string()));
    // the registry is not needed any more, by nobody
    let asked = world.road.asked();
    assert!(asked > 0);
    world.road.is_closed.store(true, Ordering::SeqCst);
    serving.admits(&review);
    drop(serving);
    world.serve_it("").admits(&review);
    assert_eq!(world.road.asked(), asked);
}

#[test]
fn what_the_registry_says_counts_each_time_until_it_suffices() {
    let Some(world) = World::new() else { return };
    let serving = world.serve_it("");
    let review = world.review("shop");
    serving.refuses(&review, "error[signed-by]", "cannot-decide");
    assert_eq!((serving.fetches("none"), serving.fetches("found")), (1, 0));
    // a stranger's junk says no more, and no less
    world.attach("theirs");
    serving.refuses(&review, "error[signed-by]", "cannot-decide");
    assert_eq!((serving.fetches("none"), serving.fetches("found")), (1, 1));
    // not to know is never "not signed", and is not remembered
    world.road.is_closed.store(true, Ordering::SeqCst);
    serving.refuses(&review, "error[cannot-decide]", "signed-by");
    serving.refuses(&review, "the registry answers 503", "signed-by");
    assert_eq!(serving.fetches("unknown"), 2);
    world.road.is_closed.store(false, Ordering::SeqCst);
    // what somebody attached to the local store and does not suffice hides nothing
    let store = Store::new(&world.at("deploy/evidence"));
    let bundle = evidence::compact(&fs::read(world.at("theirs.json")).unwrap()).unwrap();
    let bundle = store.put(&bundle).unwrap();
    store.attach(&world.digest, &[bundle]).unwrap();
    world.attach("ours");
    serving.admits(&review);
    let asked = world.road.asked();
    serving.admits(&review);
    assert_eq!(world.road.asked(), asked);
}

#[test]
fn a_registry_that_is_down_is_an_outage_and_policies_say_what_then() {
    let Some(world) = World::new() else { return };
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let listed = format!("{{ registry: \"{gone}\" }}");
    let review = world.review("shop").replace(&world.address, &gone);
    let policy = |more: &str| {
        let policy = format!(
            "environment: prod/shop\nartifact: {gone}/shop\nrequire: {{ signed-by: [vendor] }}\n{more}"
        );
        fs::write(world.at("deploy/book/shop.yaml"), policy).unwrap();
    };
    policy("");
    let serving = world.serve(&listed);
    serving.refuses(&review, "the connection failed", "signed-by");
    assert_eq!(serving.fetches("unknown"), 1);
    drop(serving);
    policy("on-outage: admit\n");
    world.serve(&listed).admits(&review);
}

#[test]
fn only_what_is_listed_is_ever_asked() {
    let Some(world) = World::new() else { return };
    world.attach("ours");
    let login = r#"{"auths":{"registry.example":{"username":"a","password":"b"}}}"#;
    fs::write(world.at("deploy/registry.json"), login).unwrap();
    for listed in [
        "{ registry: registry.example, credentials: registry.json }".to_owned(),
        format!("{{ registry: \"{}/acme\" }}", world.address),
    ] {
        let serving = world.serve(&listed);
        for name in ["shop", "acme-other/shop"] {
            serving.refuses(&world.review(name), "error[signed-by]", "cannot-decide");
            assert!(serving.told().is_none());
        }
    }
    assert_eq!(world.road.asked(), 0);
    // a login for another registry is none for this one, and is said so at the start
    let listed = format!("{{ registry: \"{}\", credentials: registry.json }}", world.address);
    let text = fs::read_to_string(world.at("deploy/tried.yaml")).unwrap();
    let begin = text.find("registries:").unwrap();
    fs::write(world.at("deploy/tried.yaml"), format!("{}registries: [{listed}]\n", &text[..begin])).unwrap();
    let said = expect(2, &["serve", "--check", "--config", path(&world.at("deploy/tried.yaml"))]);
    assert!(
        said.contains("registry-login-invalid") && said.contains("it has no login for 127.0.0.1"),
        "{said}"
    );
    assert_eq!(world.road.asked(), 0);
}

#[test]
fn a_slow_registry_is_bounded_by_its_own_time_and_the_caller_s_and_many_ask_once() {
    let Some(world) = World::new() else { return };
    world.attach("ours");
    let review = world.review("shop");
    world.road.delay.store(5000, Ordering::SeqCst);
    for (within, seconds) in [("1s", 10), ("30s", 2)] {
        let serving = world.serve_it(&format!(", within: {within}"));
        let began = Instant::now();
        let (is_allowed, message) = serving.ask(&review, seconds);
        let took = began.elapsed();
        assert!(!is_allowed && message.contains("took too long"), "{message}");
        assert!(took < Duration::from_millis(2200), "{within}: {took:?}");
    }
    world.road.delay.store(100, Ordering::SeqCst);
    let serving = world.serve_it(", within: 8s");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| serving.admits(&review));
        }
    });
    assert_eq!(serving.fetches("found"), 1, "one question for all");
}
