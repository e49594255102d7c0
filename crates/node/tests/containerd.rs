//! A real containerd pulls from a real registry, and asks the program as it is shipped: static, and alone in its folder.

#[path = "../../cli/tests/tools/port.rs"]
mod port;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use attest::breakglass::Grant;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Object, SecretKey, Signer as _, Statement};
use evidence::Store;
use jiff::{SignedDuration, Timestamp};
use port::free_port;

/// What `cargo xtask setup` installs.
fn part(name: &str) -> PathBuf {
    let path = std::env::home_dir().unwrap().join(".cache/portcullis").join(name);
    assert!(path.is_file(), "there is no {}: run `cargo xtask setup`", path.display());
    path
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(program: &Path, arguments: &[&str], log: &Path) -> Running {
    let log = fs::File::create(log).unwrap();
    let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(log).spawn();
    Running(child.unwrap())
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

fn pull(site: &Path, image: &str) -> (bool, String) {
    let socket = site.join("containerd.sock").display().to_string();
    let ctr = part("tools/ctr");
    let pulled =
        run(&ctr, &["--address", &socket, "image", "pull", "--plain-http", "--snapshotter", "native", image]);
    let listed = run(&ctr, &["--address", &socket, "image", "ls", "-q"]);
    let is_there = String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == image);
    assert_eq!(pulled.status.success(), is_there, "what is refused is not there");
    (is_there, String::from_utf8_lossy(&pulled.stderr).into_owned())
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn containerd(site: &Path) -> Running {
    let s = site.display();
    let config = format!(
        "version = 3\nroot = \"{s}/root\"\nstate = \"{s}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\"]\n[grpc]\n  address = \"{s}/containerd.sock\"\n[plugins.\"io.containerd.image-verifier.v1.bindir\"]\n  bin_dir = \"{s}/verifiers\"\n  max_verifiers = 1\n  per_verifier_timeout = \"10s\"\n[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\n  platform = \"linux\"\n  snapshotter = \"native\"\n"
    );
    write(&site.join("config.toml"), &config);
    let program = part("tools/containerd");
    let log = fs::File::create(site.join("containerd.log")).unwrap();
    let child = Command::new(program)
        .arg("-c")
        .arg(site.join("config.toml"))
        .env("PORTCULLIS_NODE", site.join("node.yaml"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let running = Running(child.unwrap());
    until("containerd listens", || site.join("containerd.sock").exists());
    running
}

#[test]
fn containerd_pulls_what_the_node_takes_and_nothing_else() {
    if run(Path::new("id"), &["-u"]).stdout != b"0\n" {
        eprintln!("SKIPPED: containerd wants to be root");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/build-node.sh");
    assert!(Command::new("bash").arg(script).status().unwrap().success());
    let verifier = part("node/portcullis-image-verifier");
    let linked = run(Path::new("ldd"), &[verifier.to_str().unwrap()]);
    let linked =
        String::from_utf8_lossy(&linked.stdout).into_owned() + &String::from_utf8_lossy(&linked.stderr);
    assert!(linked.contains("statically linked") || linked.contains("not a dynamic"), "{linked}");
    let size = fs::metadata(&verifier).unwrap().len();
    eprintln!("the verifier has {} KiB", size / 1024);
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path();
    fs::create_dir(site.join("verifiers")).unwrap();
    fs::copy(&verifier, site.join("verifiers/portcullis-image-verifier")).unwrap();

    let port = free_port();
    let registry = format!(
        "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {}/registry }} }}\nhttp: {{ addr: 127.0.0.1:{port} }}\n",
        site.display()
    );
    write(&site.join("registry.yaml"), &registry);
    let config = site.join("registry.yaml").display().to_string();
    let _registry = start(&part("registry/docker-registry"), &["serve", &config], &site.join("registry.log"));
    until("the registry listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    write(&site.join("layer/hello"), "hello\n");
    let layer = site.join("layer.tar").display().to_string();
    assert!(
        run(Path::new("tar"), &["-C", site.join("layer").to_str().unwrap(), "-cf", &layer, "hello"])
            .status
            .success()
    );
    let image = format!("127.0.0.1:{port}/shop:1.4");
    let pushed = run(&part("registry/crane"), &["append", "--insecure", "-f", &layer, "-t", &image]);
    let digest = String::from_utf8(pushed.stdout).unwrap().trim().rsplit_once('@').unwrap().1.to_owned();

    let key = SecretKey::from_ed25519_seed(&[5; 32]).unwrap();
    let pem: String = key.public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
    write(
        &site.join("trust-root.yaml"),
        &format!(
            "version: 1\nsigners:\n  ci:\n    keys:\n      - key: |\n{pem}people:\n  bob:\n    identities: [bob@x]\n    keys:\n      - key: |\n{}groups:\n  oncall: [bob]\n",
            SecretKey::from_ed25519_seed(&[6; 32])
                .unwrap()
                .public()
                .to_pem()
                .lines()
                .map(|l| format!("          {l}\n"))
                .collect::<String>()
        ),
    );
    write(
        &site.join("book/shop.yaml"),
        &format!(
            "environment: prod/shop\nartifact: \"127.0.0.1:{port}/shop\"\nrequire: {{ signed-by: [ci] }}\nbreakglass: {{ group: oncall, expires: 4h, reviewed-within: 24h }}\n"
        ),
    );
    write(
        &site.join("node.yaml"),
        &format!(
            "book: book\ntrust-root: trust-root.yaml\nevidence: evidence\nspool: spool\nenvironments:\n  - {{ environment: prod/shop, images: [\"127.0.0.1:{port}/shop\"] }}\n"
        ),
    );
    let _containerd = containerd(site);

    let (is_pulled, said) = pull(site, &image);
    assert!(
        !is_pulled && said.contains("rejected image (exit code 1): reject: ") && said.contains("signed-by"),
        "{said}"
    );
    // somebody takes the configuration away: nothing is taken
    fs::rename(site.join("node.yaml"), site.join("away.yaml")).unwrap();
    let (is_pulled, said) = pull(site, &image);
    assert!(
        !is_pulled && said.contains("cannot decide: ") && said.contains("node.yaml cannot be read"),
        "{said}"
    );
    fs::rename(site.join("away.yaml"), site.join("node.yaml")).unwrap();

    let digest = attest::Digest::parse(&digest).unwrap();
    let store = Store::new(&site.join("evidence"));
    // evidence about another image, and then about this one
    for (about, is_taken) in [(attest::Digest::sha256(b"other"), false), (digest.clone(), true)] {
        let statement = Statement::write("shop", &about.into(), "https://example.com/x", Object::new());
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key]).unwrap();
        let bundle = store.put(dsse.to_json().to_string().as_bytes()).unwrap();
        store.attach(&digest, &[bundle]).unwrap();
        let (is_pulled, said) = pull(site, &image);
        assert_eq!(is_pulled, is_taken, "{said}");
    }
    assert!(!site.join("spool").exists());
    store.attach(&digest, &[]).unwrap();
    let removed = run(
        &part("tools/ctr"),
        &["--address", site.join("containerd.sock").to_str().unwrap(), "image", "rm", &image],
    );
    assert!(removed.status.success());
    assert!(!pull(site, &image).0, "the evidence is gone");

    // a grant, with nothing else in reach
    let since = run(Path::new("date"), &["+%s"]).stdout;
    let issued = Timestamp::from_second(String::from_utf8(since).unwrap().trim().parse().unwrap()).unwrap();
    let grant = Grant {
        id: "bg-1".to_owned(),
        environment: "prod/shop".to_owned(),
        artifact: Some(digest.clone()),
        requester: None,
        reason: "checkout is down".to_owned(),
        ticket: "INC-42".to_owned(),
        issued,
        expires: issued.checked_add(SignedDuration::from_hours(1)).unwrap(),
    };
    let bob = SecretKey::from_ed25519_seed(&[6; 32]).unwrap();
    store.put_grant(grant.sign(&bob).unwrap().to_string().as_bytes()).unwrap();
    let (is_pulled, said) = pull(site, &image);
    assert!(is_pulled, "{said}");
    assert_eq!(fs::read_dir(site.join("spool")).unwrap().count(), 1);
}
