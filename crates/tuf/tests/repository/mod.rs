//! A repository that is written and signed here, and a server on this machine that serves it, well or badly.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attest::digest::to_hex;
use attest::{Digest, Json, Object, Scheme, SecretKey, Signer as _};

/// A key under a name: the name is the producer's choice.
pub struct Named(pub String, pub SecretKey);

pub fn key() -> Named {
    let key = SecretKey::generate(Scheme::Ed25519).unwrap();
    Named(key.public().id(), key)
}

impl Named {
    /// The same key under another name.
    pub fn again(&self, name: &str) -> Self {
        Self(name.to_owned(), SecretKey::from_pem(&self.1.to_pem(None).unwrap(), None).unwrap())
    }
}

/// TUF's canonical JSON: sorted keys, and nothing but quotes and backslashes escaped.
fn canonical(value: &Json) -> String {
    let text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    match value {
        Json::Object(object) => {
            let map: BTreeMap<&str, &Json> = object.iter().collect();
            let pairs: Vec<String> =
                map.iter().map(|(k, v)| format!("{}:{}", text(k), canonical(v))).collect();
            format!("{{{}}}", pairs.join(","))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Json::String(string) => text(string),
        other => other.to_string(),
    }
}

pub fn signed(body: Object, keys: &[&Named]) -> Vec<u8> {
    let body = Json::from(body);
    let signature = |key: &&Named| {
        let sig = key.1.sign(canonical(&body).as_bytes()).unwrap();
        Json::from(Object::new().with("keyid", key.0.as_str()).with("sig", to_hex(&sig)))
    };
    let signatures = Json::Array(keys.iter().map(signature).collect());
    Object::new().with("signatures", signatures).with("signed", body).to_string().into_bytes()
}

fn head(kind: &str, version: i64, expires: &str) -> Object {
    Object::new()
        .with("_type", kind)
        .with("spec_version", "1.0.31")
        .with("version", version)
        .with("expires", expires)
}

/// What a role says of its keys.
pub fn role(keys: &[&Named], threshold: i64) -> Object {
    let ids = keys.iter().map(|k| Json::from(k.0.as_str())).collect();
    Object::new().with("keyids", Json::Array(ids)).with("threshold", threshold)
}

/// Everything that a repository has, as its maker knows it.
pub struct Repository {
    pub root_keys: Vec<Named>,
    pub online: Named,
    pub root: i64,
    pub version: i64,
    pub threshold: i64,
    pub expires: String,
    pub target: Vec<u8>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    pub fn new() -> Self {
        let mut new = Self {
            root_keys: vec![key(), key()],
            online: key(),
            root: 1,
            version: 1,
            threshold: 2,
            expires: "2027-01-01T00:00:00Z".to_owned(),
            target: trusted_root("https://rekor.acme.example"),
            files: BTreeMap::new(),
        };
        let root = new.root_body();
        new.put_root(&signed(root, &new.root_keys.iter().collect::<Vec<_>>()));
        new.publish();
        new
    }

    pub fn root_body(&self) -> Object {
        let own: Vec<&Named> = self.root_keys.iter().collect();
        let all = own.iter().copied().chain([&self.online]);
        let keys = Object::from_unique(all.map(|k| {
            let value = Object::new().with("public", to_hex(k.1.public().raw()));
            let key =
                Object::new().with("keytype", "ed25519").with("scheme", "ed25519").with("keyval", value);
            (k.0.clone(), Json::from(key))
        }));
        let online = || role(&[&self.online], 1);
        let roles = Object::new()
            .with("root", role(&own, self.threshold))
            .with("targets", role(&own, 1))
            .with("snapshot", online())
            .with("timestamp", online());
        head("root", self.root, &self.expires)
            .with("consistent_snapshot", true)
            .with("keys", keys)
            .with("roles", roles)
    }

    pub fn put_root(&mut self, bytes: &[u8]) {
        self.files.insert(format!("{}.root.json", self.root), bytes.to_vec());
    }

    pub fn pinned(&self) -> Vec<u8> {
        self.files["1.root.json"].clone()
    }

    /// Writes targets, snapshot and timestamp of the next version.
    pub fn publish(&mut self) {
        let (version, expires) = (self.version, self.expires.clone());
        let digest = Digest::sha256(&self.target).hex();
        let hashes = Object::new().with("sha256", digest.as_str());
        let length = i64::try_from(self.target.len()).unwrap();
        let target = Object::new().with("length", length).with("hashes", hashes);
        let targets = Object::new().with("trusted_root.json", target);
        let targets =
            signed(head("targets", version, &expires).with("targets", targets), &[&self.root_keys[0]]);
        let pin = Object::new().with("version", version);
        let snapshot =
            head("snapshot", version, &expires).with("meta", Object::new().with("targets.json", pin.clone()));
        let timestamp =
            head("timestamp", version, &expires).with("meta", Object::new().with("snapshot.json", pin));
        self.files.insert(format!("{version}.targets.json"), targets);
        self.files.insert(format!("{version}.snapshot.json"), signed(snapshot, &[&self.online]));
        self.files.insert("timestamp.json".to_owned(), signed(timestamp, &[&self.online]));
        self.files.insert(format!("targets/{digest}.trusted_root.json"), self.target.clone());
        self.version += 1;
    }
}

/// A small trusted root: one log.
pub fn trusted_root(log: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/python-tuf/targets");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    std::fs::read_to_string(file).unwrap().replace("https://rekor.acme.example", log).into_bytes()
}

/// What the server does with a request.
#[derive(Clone)]
pub enum Reply {
    Files(BTreeMap<String, Vec<u8>>),
    /// Files, but this one never ends.
    Endless(BTreeMap<String, Vec<u8>>, &'static str),
    /// Files, but this one never comes.
    Silent(BTreeMap<String, Vec<u8>>, &'static str),
    /// Every answer has this status.
    Status(u16),
}

pub struct Server {
    pub url: String,
    reply: Arc<Mutex<Reply>>,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let reply = Arc::new(Mutex::new(Reply::Files(files.clone())));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (shared, seen) = (reply.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (reply, seen) = (shared.lock().unwrap().clone(), seen.clone());
                std::thread::spawn(move || answer(stream, &reply, &seen));
            }
        });
        Self { url, reply, asked }
    }

    pub fn set(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }
}

fn answer(mut stream: TcpStream, reply: &Reply, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let path = first.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    asked.lock().unwrap().push(path.clone());
    let files = match reply {
        Reply::Files(files) => files,
        Reply::Silent(_, name) if path == *name => {
            std::thread::sleep(Duration::from_secs(60));
            return None;
        }
        Reply::Endless(_, name) if path == *name => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
            while stream.write_all(&[b' '; 4096]).is_ok() {}
            return None;
        }
        Reply::Endless(files, _) | Reply::Silent(files, _) => files,
        Reply::Status(status) => {
            write!(stream, "HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
            return None;
        }
    };
    let (status, body) = files.get(&path).map_or((404, [].as_slice()), |b| (200, b.as_slice()));
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
        .ok()?;
    stream.write_all(body).ok()
}
