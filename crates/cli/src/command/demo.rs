//! `portcullis demo`: the whole of it on a real upstream project.
//!
//! Everything is real: a git repository, a build in the sandbox, signatures, a policy, the same choke point that a
//! server asks, and the log. Only the keys are throw-away, and the builder is named local-demo.

use std::path::{Path, PathBuf};

use attest::{Artifact, Digest};
use chokepoint::{Admission, Chokepoint};
use policy::{DeploymentRequest, Guardrails};
use tlog::Files;

use super::build;
use super::verify::findings_text;
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::keys;
use crate::output::Output;

mod setup;
mod source;

use setup::Setup;

/// The upstream project: GNU/Linux `tree` 2.1.0, as Debian ships its source.
const UPSTREAM: &str = "tree 2.1.0 (tree_2.1.0.orig.tar.gz)";
const UPSTREAM_SHA256: &str = "0160c535bff2b0dc6a830b9944e981e3427380f63e748da96ced7071faebabf6";

/// Show the whole of it on a real upstream project
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  portcullis demo\n  portcullis demo --keep try && portcullis log show try/log"
)]
pub(crate) struct Args {
    /// Keep everything in this folder: DIR/book, DIR/trust-root.yaml, DIR/log, DIR/artifacts
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The upstream source, tree_2.1.0.orig.tar.gz; else from the store of inputs
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_DEMO_UPSTREAM")]
    upstream: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let throw_away = tempfile::Builder::new().prefix("portcullis-demo-").tempdir();
    let throw_away = throw_away
        .map_err(|e| Failure::new("cannot make a throw-away folder").line("found", &e.to_string()))?;
    let dir = match &args.keep {
        Some(dir) => {
            if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(Failure::new(&format!("{} is not empty", dir.display()))
                    .line("fix", "name a new folder; nothing is ever overwritten"));
            }
            keys::folder(dir)?;
            dir.canonicalize().map_err(|e| Failure::io("use", dir, &e))?
        }
        None => throw_away.path().to_owned(),
    };
    let upstream = upstream(args)?;
    let mut story = Story::begin(&dir, &upstream, output)?;
    story.tell()?;
    story.end(args.keep.as_deref())
}

/// The upstream source by its pinned digest: from the file named, or from the store.
fn upstream(args: &Args) -> Result<PathBuf, Failure> {
    let path = match &args.upstream {
        Some(path) => path.clone(),
        None => keys::home(".cache/portcullis/store/sha256")?.join(UPSTREAM_SHA256),
    };
    let missing = |found: &str| {
        Failure::new(&format!("the demo needs the source of {UPSTREAM}"))
            .line("wanted", &format!("a file with SHA-256 {UPSTREAM_SHA256}"))
            .line("found", found)
            .line("fix", "in a clone of this project: cargo xtask demo, which fetches it")
            .line("or", "download it from your distribution's archive, and: portcullis demo --upstream FILE")
    };
    if !path.is_file() {
        return Err(missing(&format!("no file {}", path.display())));
    }
    let digests = input::digests(&path.display().to_string(), &[])?;
    match digests.first().map(|d| d.hex()) {
        Some(hex) if hex == UPSTREAM_SHA256 => Ok(path),
        found => Err(missing(&format!("{}, with SHA-256 {}", path.display(), found.unwrap_or_default()))),
    }
}

struct Story<'a> {
    dir: &'a Path,
    setup: Setup,
    chokepoint: Chokepoint<Files>,
    output: &'a Output,
    unexpected: usize,
}

impl<'a> Story<'a> {
    fn begin(dir: &'a Path, upstream: &Path, output: &'a Output) -> Result<Self, Failure> {
        output.say("1. A repository with a real upstream project, its toolchain declared by digest");
        let setup = Setup::write(dir, upstream, |line| output.say(line))?;
        let guardrails = input::text("guardrail file", &dir.join("guardrails.yaml"))?;
        let guardrails = Guardrails::parse("guardrails.yaml", &guardrails)
            .map_err(|e| Failure::load("guardrail-invalid", e))?;
        let book = policy::Book::load(input::book_files(&dir.join("book"))?, &guardrails)
            .map_err(|e| Failure::load("policy-invalid", e))?;
        let root = input::trust_root(&dir.join("trust-root.yaml"))?;
        let log = keys::log(&dir.join("log"), setup::DECISIONS, &dir.join("keys/decisions-log.key"))?;
        let chokepoint = Chokepoint::open(book, root, log)
            .map_err(|e| Failure::new("the choke point does not open").line("found", &e.to_string()))?;
        Ok(Self { dir, setup, chokepoint, output, unexpected: 0 })
    }

    fn say(&self, line: &str) {
        self.output.say(line);
    }

    fn tell(&mut self) -> Result<(), Failure> {
        self.say("\n2. A verifiable build of the reviewed commit");
        let reviewed = self.build("source", "tree", "artifacts")?;
        let smoke = self.smoke("smoke")?;
        let review = self.setup.review("bob@demo.example", None, "review")?;
        self.say("\n3. It is deployed: provenance, review and test result travel with it");
        let bundles = [reviewed.1.clone(), review.clone(), smoke.clone()];
        self.deploy("demo/tree", &reviewed.0, &bundles, true)?;

        self.say("\n4. Somebody pushes to main without a review, and deploys what was built from it");
        self.setup.push_unreviewed()?;
        let unreviewed = self.build("source", "tree", "artifacts/unreviewed")?;
        self.deploy("demo/tree", &unreviewed.0, std::slice::from_ref(&unreviewed.1), false)?;

        self.say("\n5. The author approves her own change");
        let own = self.setup.review("alice@demo.example", Some(self.setup.first.clone()), "own-review")?;
        let smoke = self.smoke("smoke-again")?;
        self.deploy("demo/tree", &unreviewed.0, &[unreviewed.1.clone(), own, smoke.clone()], false)?;

        self.say("\n6. Bob does what the message says, and reviews it");
        let second =
            self.setup.review("bob@demo.example", Some(self.setup.first.clone()), "second-review")?;
        self.deploy("demo/tree", &unreviewed.0, &[unreviewed.1, second, smoke], true)?;

        self.say("\n7. One byte of the artifact is flipped after the build");
        let flipped = self.setup.flip(&reviewed.0)?;
        self.deploy("demo/tree", &flipped, &bundles, false)?;

        self.say("\n8. The same file, with provenance that alice signed on her workstation");
        let workstation = self.setup.workstation_provenance(&reviewed.1)?;
        self.deploy(
            "demo/tree",
            &reviewed.0,
            &[workstation, review, bundles.last().cloned().unwrap_or_default()],
            false,
        )?;

        self.say("\n9. An honest build of a fork");
        self.setup.fork()?;
        let fork = self.build("fork", "tree", "artifacts/fork")?;
        self.deploy("demo/tree", &fork.0, &[fork.1], false)?;

        self.say("\n10. The first artifact again, to an environment that no policy guards");
        self.deploy("prod/tree", &reviewed.0, &bundles, false)
    }

    fn build(&self, repository: &str, target: &str, out: &str) -> Result<(PathBuf, PathBuf), Failure> {
        let mut made = build::make(&self.args(repository, target, out), |line| self.say(line))?;
        made.pop()
            .map(|published| (published.artifact, published.bundle))
            .ok_or_else(|| Failure::new("the build made nothing"))
    }

    /// A test is a build whose output is a result.
    fn smoke(&self, name: &str) -> Result<PathBuf, Failure> {
        self.say("  testing it, as a build of its own");
        self.build_quietly("smoke", "artifacts/tests")?;
        self.setup.test_result(name)
    }

    fn build_quietly(&self, target: &str, out: &str) -> Result<(), Failure> {
        build::make(&self.args("source", target, out), |_| {}).map(|_| ())
    }

    fn args(&self, repository: &str, target: &str, out: &str) -> build::Args {
        let source = self.dir.join(repository).display().to_string();
        let (out, builder, store) = (self.dir.join(out), self.dir.join("builder"), self.dir.join("store"));
        build::Args::local(&source, target, &out, &builder, &store)
    }

    /// Asks the choke point, and puts the file in place only if it says so.
    fn deploy(
        &mut self,
        environment: &str,
        file: &Path,
        bundles: &[PathBuf],
        expected: bool,
    ) -> Result<(), Failure> {
        let name = file.strip_prefix(self.dir).unwrap_or(file).display().to_string();
        self.say(&format!("  deploying {name} to {environment}"));
        let envelopes = bundles
            .iter()
            .map(|path| {
                let mut submitted = input::bundle(path)?;
                submitted.name = path.strip_prefix(self.dir).unwrap_or(path).display().to_string();
                Ok(submitted)
            })
            .collect::<Result<_, Failure>>()?;
        let digests = input::digests(&file.display().to_string(), &[])?;
        let mut request = DeploymentRequest::new(Artifact::new("tree", digests), environment, "demo");
        request.requester = Some("alice@demo.example".to_owned());
        request.envelopes = envelopes;
        let admission = self
            .chokepoint
            .decide(request, clock::now(None)?)
            .map_err(|e| Failure::new("the choke point cannot decide").line("found", &e.to_string()))?;
        self.show(&admission, file)?;
        if admission.is_admitted() != expected {
            self.unexpected += 1;
            self.say("  THIS WAS NOT EXPECTED; please report it");
        }
        Ok(())
    }

    fn show(&self, admission: &Admission, file: &Path) -> Result<(), Failure> {
        let digest = input::digests(&file.display().to_string(), &[])?.first();
        let artifact = format!("tree@{}", digest.as_ref().map(Digest::short).unwrap_or_default());
        let verdict = admission.decision().verdict();
        if !verdict.findings().is_empty() {
            let text = findings_text(verdict, &artifact, self.output);
            self.say(&format!("\n{}", text.trim_end()));
        }
        let index = admission.index().map(|index| index.to_string()).unwrap_or_default();
        if !admission.is_admitted() {
            self.say(&format!("\n  REFUSED, record {index} in the log"));
            return Ok(());
        }
        let deployed = self.dir.join("deployed/tree");
        keys::folder(&self.dir.join("deployed"))?;
        std::fs::copy(file, &deployed).map_err(|e| Failure::io("deploy to", &deployed, &e))?;
        self.say(&format!("  ADMITTED, record {index} in the log; {artifact} is in place"));
        Ok(())
    }

    fn end(self, keep: Option<&Path>) -> Result<Exit, Failure> {
        self.say("\n11. The log holds everything, and every decision can be made again from it");
        self.chokepoint
            .settle()
            .map_err(|e| Failure::new("the log cannot be read").line("found", &e.to_string()))?;
        let log = self.dir.join("log");
        let key = super::log::Key::beside().read(&log)?;
        let (leaves, checkpoint) = super::log::records(&log, &key, None)?;
        let blobs = tlog::Blobs::new(Files::new(&log));
        let (mut decisions, mut same) = (0, 0);
        for (_, leaf) in &leaves {
            if let Ok(chokepoint::Entry::Event(_)) = chokepoint::Entry::parse(leaf) {
                continue;
            }
            decisions += 1;
            let again =
                chokepoint::Record::parse(leaf).and_then(|record| chokepoint::replay(&record, &blobs));
            same += usize::from(again.is_ok_and(|r| r == chokepoint::Replay::Same));
        }
        self.say(&format!(
            "  {} records proven under {}; {same} decisions replayed, byte for byte the same",
            checkpoint.size, checkpoint.origin
        ));
        let is_good = self.unexpected == 0 && same == decisions;
        self.say(&next_steps(keep));
        let json = || {
            attest::Object::new()
                .with("records", i64::try_from(leaves.len()).unwrap_or(i64::MAX))
                .with("replayed", i64::try_from(same).unwrap_or(i64::MAX))
                .with("unexpected", i64::try_from(self.unexpected).unwrap_or(i64::MAX))
                .into()
        };
        self.output.result("", json);
        Ok(if is_good { Exit::Clean } else { Exit::Found })
    }
}

fn next_steps(keep: Option<&Path>) -> String {
    let Some(dir) = keep else {
        return "\nThat was in a throw-away folder. Keep it and look around:\n  portcullis demo --keep try"
            .to_owned();
    };
    let d = dir.display();
    format!(
        "
What to try next:
  portcullis verify {d}/artifacts/tree --environment demo/tree --book {d}/book --trust-root {d}/trust-root.yaml \\
      --bundle {d}/artifacts/tree.sigstore.json --bundle {d}/artifacts/review.json --bundle {d}/artifacts/smoke.json
  portcullis log show {d}/log
  portcullis replay {d}/log
  portcullis threats --book {d}/book
  portcullis explain source-reviewed
  printf x >> {d}/artifacts/tree     and verify again
  change one byte below {d}/log, and: portcullis log verify {d}/log"
    )
}
