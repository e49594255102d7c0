//! The range: a store with one toolchain, a repository with a target for each attack, and a host that has something to
//! steal.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use attest::Digest;

pub mod table;

use super::tools::{cache, code, expect, path, portcullis_command, stderr, stdout};
use table::{Attack, Ends};

pub const ATTACKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile");
/// Where builds that root starts have their toolchains.
const ROOTS: &str = "/var/cache/portcullis/roots";
const SECRET: &str = "hunter2-hostile-secret";
const ABSTRACT: &str = "portcullis-hostile-abstract";

/// What is there to be attacked. The listeners are open as long as it is.
pub struct Range {
    dir: tempfile::TempDir,
    toolchain: String,
    number: AtomicUsize,
    /// A signer's log is one build's at a time.
    states: Mutex<Vec<String>>,
    /// The builds' process numbers: their control groups are called after them.
    orchestrators: Mutex<Vec<u32>>,
    _web: TcpListener,
    _sockets: [UnixListener; 2],
}

/// Files with their modes and digests.
pub type Trusted = BTreeMap<PathBuf, String>;

/// How one build ended.
pub struct Ended {
    pub code: i32,
    pub said: String,
    pub report: String,
    pub published: Vec<String>,
}

impl Range {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // the builds' users go through it to what is theirs
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| path(&dir.path().join(name)).to_owned();
        for folder in ["tmp", "out", "source", "state"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::write(at("secret"), SECRET).unwrap();
        fs::write(at("input.txt"), "declared\n").unwrap();
        expect(0, &["builder", "toolchain", "--out", &at("toolchain.tar")]);
        let put = |file: &str| {
            let said = expect(0, &["builder", "put", &at(file), "--store", &at("store")]);
            said.split_whitespace().next().unwrap().to_owned()
        };
        let (toolchain, input) = (put("toolchain.tar"), put("input.txt"));
        fs::remove_file(at("toolchain.tar")).unwrap();
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = SocketAddr::from_abstract_name(at(ABSTRACT)).unwrap();
        let sockets =
            [UnixListener::bind(at("signer.sock")).unwrap(), UnixListener::bind_addr(&name).unwrap()];
        fs::set_permissions(at("signer.sock"), fs::Permissions::from_mode(0o777)).unwrap();
        let mark = mark(dir.path());
        let toolchain = format!(
            "toolchain: {{ uri: toolchain:this-machine-c, sha256: {toolchain}, links: {{ {mark}: usr }} }}\ninputs:\n  - {{ name: data/input.txt, uri: input.txt, sha256: {input} }}\n"
        );
        let states = Mutex::new((0..4).map(|n| at(&format!("state/{n}"))).collect());
        let range = Self {
            toolchain,
            number: AtomicUsize::new(0),
            states,
            orchestrators: Mutex::default(),
            _web: web,
            _sockets: sockets,
            dir,
        };
        range.write_source();
        range
    }

    pub fn at(&self, name: &str) -> String {
        path(&self.dir.path().join(name)).to_owned()
    }

    fn write_source(&self) {
        let source = PathBuf::from(self.at("source"));
        for entry in fs::read_dir(ATTACKS).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), source.join(entry.file_name())).unwrap();
        }
        let host = [
            ("KEY", self.at("state/3/local-demo.key")),
            ("STATE", self.at("state")),
            ("STORE", self.at("store")),
            ("ROOTS", ROOTS.to_owned()),
            ("WORK", self.at("tmp")),
            ("SIGNER", self.at("signer.sock")),
            ("SECRET", SECRET.to_owned()),
            ("ABSTRACT", self.at(ABSTRACT)),
            ("MARK", "portcullis-hostile-mark".to_owned()),
        ];
        let mut header: String =
            host.iter().map(|(name, value)| format!("#define {name} \"{value}\"\n")).collect();
        header.push_str(&format!("#define PORT {}\n", self._web.local_addr().unwrap().port()));
        fs::write(source.join("host.h"), header).unwrap();
        fs::write(source.join("portcullis.build.yaml"), self.definition()).unwrap();
        git(&source, &["init", "--quiet", "--initial-branch=main"]);
        git(&source, &["add", "."]);
        git(&source, &["commit", "--quiet", "-m", "attacks"]);
    }

    fn definition(&self) -> String {
        let mut text = format!("{}targets:\n", self.toolchain);
        let honest = Attack::new("honest", Ends::Built(&[])).outputs("honest");
        let victim = Attack::new("victim", Ends::Built(&[]));
        for attack in table::ATTACKS.iter().chain([&honest, &victim]) {
            let name = attack.name;
            if attack.is_source() {
                continue;
            }
            let command = match (name, attack.is_shell()) {
                ("honest", _) => "gcc -g -O1 -o honest honest.c".to_owned(),
                (_, true) => format!("exec sh {name}.sh"),
                (_, false) => format!("gcc -O1 -o {name} {name}.c && exec ./{name}"),
            };
            let (outputs, limits) = (attack.outputs, attack.limits);
            text.push_str(&format!(
                "  {name}:\n    command: [sh, -c, \"{command}\"]\n    outputs: [{outputs}]\n{limits}"
            ));
        }
        text
    }

    /// Makes the attack by the source itself: its script works in a clone, on the host of whoever attacks.
    fn source_of(&self, attack: &Attack) -> String {
        if !attack.is_source() {
            return self.at("source");
        }
        let clone = self.at(&format!("source-{}", attack.name));
        if !Path::new(&clone).exists() {
            git(self.dir.path(), &["clone", "--quiet", &self.at("source"), &clone]);
            let script = format!("{ATTACKS}/{}.sh", attack.name);
            let head = |clone: &str| fs::read(format!("{clone}/.git/refs/heads/main")).unwrap();
            let before = head(&clone);
            let mut command = Command::new("sh");
            for name in ["AUTHOR", "COMMITTER"] {
                command.env(format!("GIT_{name}_NAME"), "M");
                command.env(format!("GIT_{name}_EMAIL"), "mallory@evil.example");
            }
            command.args(["-e", &script]).current_dir(&clone).env("TOOLCHAIN", &self.toolchain);
            assert!(command.status().unwrap().success(), "{script}");
            if head(&clone) == before {
                git(Path::new(&clone), &["commit", "--quiet", "-m", "attack"]);
            }
        }
        clone
    }

    /// One build through the real program, by somebody who has a secret in the environment and another open.
    pub fn build(&self, attack: &Attack, more: &[&str]) -> Ended {
        let source = self.source_of(attack);
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let out = self.at(&format!("out/{number}"));
        let state = self.states.lock().unwrap().pop().unwrap();
        let mut command = portcullis_command();
        let program = command.get_program().to_owned();
        command = Command::new("sh");
        command.args(["-c", "exec 9< \"$SECRET_FILE\"; unset SECRET_FILE; exec \"$@\"", "sh"]).arg(program);
        command.args(["build", &source, "--ref", "main", "--target", attack.name, "--out", &out]);
        command.args(["--store", &self.at("store"), "--state", &state, "--no-cache", "--offline"]);
        command.args(more);
        command.env("TMPDIR", self.at("tmp")).env("HOSTILE_TOKEN", SECRET);
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", path(&cache("tools")));
        command.env("PATH", path).env("SECRET_FILE", self.at("secret")).current_dir("/");
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.orchestrators.lock().unwrap().push(child.id());
        let output = child.wait_with_output().unwrap();
        self.states.lock().unwrap().push(state);
        let published = fs::read_dir(&out).into_iter().flatten().flatten();
        let mut published: Vec<String> =
            published.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        published.sort();
        let said = stdout(&output) + &stderr(&output);
        let first = attack.outputs.split(',').next().and_then(|o| o.rsplit('/').next()).unwrap();
        let report = fs::read(format!("{out}/{first}")).unwrap_or_default();
        let report = String::from_utf8_lossy(&report).into_owned();
        fs::remove_dir_all(&out).ok();
        Ended { code: code(&output), said, report, published }
    }

    /// The digest of every file that a later build would trust.
    pub fn trusted(&self) -> Trusted {
        let mut files = BTreeMap::new();
        for below in ["store/sha256", "store/outputs", "secret", "state/3/local-demo.key"] {
            hash_all(Path::new(&self.at(below)), &mut files);
        }
        hash_all(&self.root(), &mut files);
        files
    }

    /// The toolchain as it is unpacked, beside those of other builds on this machine: known by a link of its own.
    fn root(&self) -> PathBuf {
        let roots = fs::read_dir(ROOTS).unwrap().flatten().map(|e| e.path());
        roots.into_iter().find(|root| root.join(mark(self.dir.path())).is_symlink()).unwrap()
    }

    /// What is left of any build: processes, folders, control groups.
    pub fn left_over(&self) -> Vec<String> {
        let mut left: Vec<String> = Vec::new();
        let folders = fs::read_dir(self.at("tmp")).unwrap().flatten();
        left.extend(folders.map(|e| format!("folder {}", e.path().display())));
        let root = self.at("tmp");
        for process in fs::read_dir("/proc").unwrap().flatten() {
            // every process of a build sees its work folder as a mount, whoever it runs as
            let mounts = fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
            if mounts.contains(&root) {
                left.push(format!("process {}", process.path().display()));
            }
        }
        left.extend(self.groups());
        left
    }

    /// The control groups of our own builds; others may run beside this test.
    fn groups(&self) -> Vec<String> {
        let mount = Path::new("/sys/fs/cgroup");
        let places = [mount.to_owned(), mount.join("memory"), mount.join("pids")];
        let names = places.iter().filter_map(|p| fs::read_dir(p).ok()).flatten().flatten();
        let names = names.map(|e| e.file_name().to_string_lossy().into_owned());
        let own: Vec<String> =
            self.orchestrators.lock().unwrap().iter().map(|p| format!("portcullis-{p}-")).collect();
        names.filter(|name| own.iter().any(|own| name.starts_with(own))).collect()
    }
}

/// The root is nobody else's: it goes with the range.
impl Drop for Range {
    fn drop(&mut self) {
        let roots = fs::read_dir(ROOTS).into_iter().flatten().flatten().map(|e| e.path());
        for root in roots.filter(|root| root.join(mark(self.dir.path())).is_symlink()) {
            fs::remove_dir_all(&root).ok();
            fs::remove_file(root.with_added_extension("lock")).ok();
        }
    }
}

/// A name that no other range has.
fn mark(dir: &Path) -> String {
    format!("range-{}", dir.file_name().unwrap().to_str().unwrap().trim_start_matches('.'))
}

fn hash_all(at: &Path, files: &mut Trusted) {
    let metadata = fs::symlink_metadata(at).unwrap();
    if metadata.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            hash_all(&entry.unwrap().path(), files);
        }
        return;
    }
    let content = if metadata.is_symlink() {
        fs::read_link(at).unwrap().into_os_string().into_encoded_bytes()
    } else {
        fs::read(at).unwrap()
    };
    let mode = metadata.permissions().mode();
    files.insert(at.to_owned(), format!("{mode:o} {}", Digest::sha256(&content)));
}

fn git(dir: &Path, args: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=M", "-c", "user.email=mallory@evil.example", "-C", path(dir)])
        .args(args)
        .output()
        .unwrap();
    std::io::stderr().write_all(&output.stderr).unwrap();
    assert!(output.status.success(), "git {args:?}");
}
