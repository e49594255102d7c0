//! `portcullis init DIR`: a start that works as it is.

mod certificate;

use std::path::{Path, PathBuf};

use attest::{Json, Object, Scheme};

use crate::clock;
use crate::command::keygen::write_new;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::keys::{folder, key, listed, log, write};
use crate::output::Output;
use certificate::{Authority, Issued, Use};

/// Write a trust root, keys, an example book, a guardrail and a policy test that work together
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  portcullis init deploy && portcullis policy test deploy")]
pub(crate) struct Args {
    /// A folder that is not there yet, or is empty
    dir: PathBuf,
}

const POLICY: &str = include_str!("init/shop.yaml");
const GUARDRAILS: &str = include_str!("init/guardrails.yaml");
const TESTS: &str = include_str!("init/shop.test.yaml");
const SERVE: &str = include_str!("init/serve.yaml");
const FOR_BOOK: &str = include_str!("init/governance/book.yaml");
const FOR_TRUST_ROOT: &str = include_str!("init/governance/trust-root.yaml");
/// As `serve.yaml` says it.
const ORIGIN: &str = "portcullis.acme.example/prod";

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let dir = &args.dir;
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::new(&format!("{} is not empty", dir.display()))
            .line("fix", "name a new folder; nothing is ever overwritten"));
    }
    let keys = dir.join("keys");
    folder(&keys)?;
    write(&dir.join("trust-root.yaml"), &trust_root(&keys)?)?;
    write(&dir.join("guardrails.yaml"), GUARDRAILS)?;
    write(&dir.join("book/prod/shop.yaml"), POLICY)?;
    write(&dir.join("governance/book.yaml"), FOR_BOOK)?;
    write(&dir.join("governance/trust-root.yaml"), FOR_TRUST_ROOT)?;
    write(&dir.join("tests/shop.test.yaml"), TESTS)?;
    let schema = policy::language::schema().pretty();
    write(&dir.join("policy.schema.json"), &format!("{schema}\n"))?;
    choke_point(dir)?;
    output.result(&told(dir), || Json::from(Object::new().with("dir", dir.display().to_string())));
    Ok(Exit::Clean)
}

fn told(dir: &Path) -> String {
    let shown = dir.display();
    format!(
        "wrote {shown}:
  trust-root.yaml         who may say what
  keys/                   example keys, unencrypted: for trying things out, not for production
  book/prod/shop.yaml     a policy
  guardrails.yaml         rules about policies, for other owners than the book's
  governance/             who may change these files once they are in force
  tests/shop.test.yaml    tests of the policy
  policy.schema.json      for your editor
  serve.yaml              a choke point for Kubernetes: with log/, evidence/, and in tls/ example certificates

try:
  portcullis policy check {shown}/book --trust-root {shown}/trust-root.yaml --guardrails {shown}/guardrails.yaml
  portcullis policy test {shown}/tests
  portcullis threats --book {shown}/book
  portcullis serve --config {shown}/serve.yaml --check
"
    )
}

/// What `serve.yaml` names: a log, a store, and certificates for this machine that are good for a year.
fn choke_point(dir: &Path) -> Result<(), Failure> {
    write(&dir.join("serve.yaml"), &pinned(dir)?)?;
    log(&dir.join("log"), ORIGIN, &dir.join("keys/log.key"))?;
    folder(&dir.join("evidence"))?;
    folder(&dir.join("state"))?;
    let tls = dir.join("tls");
    let authority = Authority::new("example authority of portcullis init", clock::now(None)?)?;
    write(&tls.join("ca.crt"), &authority.certificate()?)?;
    let here = ["localhost", "127.0.0.1", "::1", "portcullis.portcullis.svc"];
    let issued = [
        ("server", authority.issue("portcullis", Use::Server, &here)?),
        ("apiserver", authority.issue("kube-apiserver", Use::Client, &["kube-apiserver"])?),
        ("ci", authority.issue("ci.acme.example", Use::Client, &["ci.acme.example"])?),
    ];
    for (name, Issued { certificate, key }) in &issued {
        write(&tls.join(format!("{name}.crt")), certificate)?;
        write_new(&tls.join(format!("{name}.key")), key.as_bytes(), 0o600)?;
    }
    Ok(())
}

/// The configuration, with the digests of what was just written.
fn pinned(dir: &Path) -> Result<String, Failure> {
    let mut text = SERVE.to_owned();
    let files = [
        ("GOVERNANCE", "governance"),
        ("TRUST-ROOT", "trust-root.yaml"),
        ("GUARDRAILS", "guardrails.yaml"),
        ("BOOK", "book"),
    ];
    for (word, name) in files {
        let digest = input::reviewed_digest(&dir.join(name))?;
        text = text.replacen(&format!(": {word}\n"), &format!(": {digest}\n"), 1);
    }
    Ok(text)
}

fn trust_root(keys: &Path) -> Result<String, Failure> {
    let named =
        |name: &str| Ok::<_, Failure>(listed(&key(&keys.join(format!("{name}.key")), Scheme::P256)?, 6));
    Ok(format!(
        "# Who may say what. Every change is reviewed, and raises the version.
version: 1
builders:
  official-ci:
    ids: [\"https://ci.acme.example/builders/official\"]
    hermetic: [\">=0.1.0\"]
    keys:
{}review-authorities:
  forge:
    keys:
{}testers:
  ci-tests:
    keys:
{}scanners:
  ci-scanner:
    keys:
{}releasers:
  release-desk:
    keys:
{}people:
  alice:
    identities: [alice@acme.example]
  bob:
    identities: [bob@acme.example]
    roles: [reviewer]
    keys:
{}groups:
  release-managers: [alice, bob]
  sre-oncall: [bob]
",
        named("official-ci")?,
        named("forge")?,
        named("ci-tests")?,
        named("ci-scanner")?,
        named("release-desk")?,
        named("bob")?,
    ))
}
