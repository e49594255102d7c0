//! `portcullis init DIR`: a start that works as it is.

use std::path::{Path, PathBuf};

use attest::{Json, Object, Scheme};

use crate::failure::{Exit, Failure};
use crate::keys::{folder, key, listed, write};
use crate::output::Output;

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
    write(&dir.join("tests/shop.test.yaml"), TESTS)?;
    let schema = policy::language::schema().pretty();
    write(&dir.join("policy.schema.json"), &format!("{schema}\n"))?;
    let shown = dir.display();
    let human = format!(
        "wrote {shown}:
  trust-root.yaml         who may say what
  keys/                   example keys, unencrypted: for trying things out, not for production
  book/prod/shop.yaml     a policy
  guardrails.yaml         rules about policies, for other owners than the book's
  tests/shop.test.yaml    tests of the policy
  policy.schema.json      for your editor

try:
  portcullis policy check {shown}/book --trust-root {shown}/trust-root.yaml --guardrails {shown}/guardrails.yaml
  portcullis policy test {shown}/tests
  portcullis threats --book {shown}/book
"
    );
    output.result(&human, || Json::from(Object::new().with("dir", shown.to_string())));
    Ok(Exit::Clean)
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
