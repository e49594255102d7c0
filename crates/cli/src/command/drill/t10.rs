//! T10, a build script exfiltrates the signing key: in the sandbox there is no key, no signer, no network, no process and
//! no file of anybody else; and what is signed of such a build is true.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use attest::{Envelope, Predicate, TrustRoot};
use builder::{DEFINITION_FILE, LOCAL_DEMO};

use super::outcome::{Control, Seen, Trial, Wanted};
use super::stage::{ALICE, Process, Repository, Stage, Wish, word};
use crate::failure::Failure;
use crate::input;

const HUNT: &str = include_str!("t10/hunt.c");
const BUILD: &str = "toolchain: { uri: toolchain:this-machine-c, sha256: \"TOOLCHAIN\" }
targets:
  hunt:
    command: [sh, -c, \"gcc -o hunt hunt.c && ./hunt\"]
    outputs: [report]
";
/// In the environment of whoever starts the build.
const SECRET: &str = "DRILL_TOKEN=8d0f3b7c";
/// What is tried, and what the program calls it that it looks for.
const PREY: [(&str, &str); 6] = [
    ("a build looks for the signing key", "the signing key"),
    ("a build looks for what another build made", "what another build made"),
    ("a build asks the signer over its socket", "the signer's socket"),
    ("a build looks for the network", "the network"),
    ("a build looks for the signer among the processes", "the signer's process"),
    ("a build looks for a secret in every environment", "a secret in the environment"),
];

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let lair = Lair::open(stage)?;
    let repository = Repository::empty(&stage.fresh("hunt")?.join("source"))?;
    let definition = BUILD.replace("TOOLCHAIN", &stage.toolchain()?.hex());
    let files = [("hunt.c", HUNT), ("places.h", &lair.places(stage)?), (DEFINITION_FILE, &definition)];
    repository.commit(ALICE, &files, "Nothing to see here")?;

    let out = stage.fresh("built")?;
    let (name, value) = SECRET.split_once('=').unwrap_or_default();
    let wish = Wish { target: "hunt", secret: Some((name, value)), ..Wish::new(&repository, "main", &out) };
    let message = stage.try_build(wish)?.worked()?;
    let inside = input::text("report", &out.join("report"))?;
    let outside = hunt_outside(repository.dir(), (name, value))?;

    let hunted = |(what, prey): (&'static str, &str)| Trial::Attack {
        what,
        wanted: Wanted { reasons: &["not in the sandbox"], basis: "sandbox" },
        seen: found(prey, &inside),
        control: Control { off: "the same program run outside of the sandbox", seen: found(prey, &outside) },
    };
    let mut trials: Vec<Trial> = PREY.map(hunted).into();
    trials.push(Trial::Honest {
        what: "what is signed of that build is true: commit, target, the layers that held",
        seen: told(stage, &repository, &out, &message)?,
    });
    drop(lair);
    Ok(trials)
}

/// What there is to be found: a signer that waits, and something that listens.
struct Lair {
    _signer: Process,
    listener: TcpListener,
    socket: std::path::PathBuf,
}

impl Lair {
    fn open(stage: &Stage<'_>) -> Result<Self, Failure> {
        let dir = stage.fresh("lair")?;
        let socket = dir.join("signer.sock");
        let key = word(&stage.at("builder/local-demo.key"));
        let what =
            ["builder", "signer", "--builder-id", LOCAL_DEMO, "--socket", &word(&socket), "--key", &key];
        let log = ["--log", &word(&dir.join("log")), "--log-key", &word(&dir.join("log.key"))];
        let mut signer = stage.start(&[&what[..], &log].concat())?;
        signer.wait_for(&socket)?;
        let listener = TcpListener::bind("127.0.0.1:0")
            .map_err(|e| Failure::new("nothing can listen").line("found", &e.to_string()))?;
        Ok(Self { _signer: signer, listener, socket })
    }

    /// Where it is.
    fn places(&self, stage: &Stage<'_>) -> Result<String, Failure> {
        let port = self.listener.local_addr().map(|address| address.port()).unwrap_or_default();
        let other = stage.honest()?.artifact;
        let (key, signer) = (stage.at("builder/local-demo.key"), &self.socket);
        Ok(format!(
            "#define KEY \"{}\"\n#define OTHER \"{}\"\n#define SIGNER \"{}\"\n#define PORT {port}\n#define SECRET \"{SECRET}\"\n",
            key.display(),
            other.display(),
            signer.display()
        ))
    }
}

/// The same program, built and run by hand.
fn hunt_outside(dir: &Path, secret: (&str, &str)) -> Result<String, Failure> {
    let run = |program: &Path, words: &[&str]| {
        let status = Command::new(program)
            .args(words)
            .current_dir(dir)
            .env(secret.0, secret.1)
            .stdin(Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                Err(Failure::new("the hunt cannot be run outside").line("found", &status.to_string()))
            }
            Err(e) => Err(Failure::io("run", program, &e)),
        }
    };
    run(Path::new("gcc"), &["-o", "hunt", "hunt.c"])?;
    run(&dir.join("hunt"), &[])?;
    input::text("report", &dir.join("report"))
}

/// What the report says of one thing.
fn found(what: &str, report: &str) -> Seen {
    let line = report.lines().find(|line| line.strip_prefix(what).is_some_and(|rest| rest.starts_with(": ")));
    let is_found = line.is_some_and(|line| line.ends_with(": FOUND"));
    let reason = if line.is_none() { "it was not looked for" } else { "not in the sandbox" };
    Seen {
        is_let_through: is_found,
        reasons: if is_found { Vec::new() } else { vec![reason.to_owned()] },
        basis: "sandbox".to_owned(),
        message: line.unwrap_or_default().to_owned(),
        left: Vec::new(),
    }
}

/// What the provenance says, beside what is so.
fn told(stage: &Stage<'_>, repository: &Repository, out: &Path, message: &str) -> Result<Seen, Failure> {
    let unread = |e: &dyn std::fmt::Display| {
        Failure::new("the provenance cannot be read").line("found", &e.to_string())
    };
    let root = TrustRoot::parse("trust-root.yaml", &stage.rules()?.trust_root)
        .map_err(|e| Failure::load("trust-root-invalid", e))?;
    let bundle = input::bundle(&out.join("report.sigstore.json"))?;
    let envelope = Envelope::parse(&bundle.bytes).map_err(|e| unread(&e))?;
    let opened = root.open(&envelope, stage.now()?).map_err(|e| unread(&e))?;
    let Predicate::Provenance(said) = &opened.statement().predicate else {
        return Err(unread(&"it is no provenance"));
    };
    let mut lies = Vec::new();
    let source = said.source.clone().unwrap_or_default();
    if source.repository != repository.uri() || source.commit().as_ref() != Some(&repository.head("main")?) {
        lies.push("another source".to_owned());
    }
    if said.target.as_deref() != Some("hunt") {
        lies.push("another target".to_owned());
    }
    let held = said.isolation.as_ref().map(|isolation| isolation.held.join(", ")).unwrap_or_default();
    if held.is_empty() {
        lies.push("no layer of the sandbox".to_owned());
    }
    Ok(Seen {
        is_let_through: lies.is_empty(),
        reasons: lies,
        basis: "signed".to_owned(),
        message: format!("{message}layers that held: {held}\n"),
        left: Vec::new(),
    })
}
