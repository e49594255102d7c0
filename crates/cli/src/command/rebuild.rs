//! `portcullis rebuild BUNDLE`: build again what provenance describes, and compare bit for bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attest::{Algorithm, Digest, Json, Object};
use builder::{BuildError, Difference, Rebuilt, Step, Variations, explain};

use crate::clock;
use crate::command::build::{WorkFolder, failure, interrupt, publish, signing};
use crate::command::operator::{Operator, Prepared};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::trust::{Proven, Trust};
use crate::{input, keys};

/// A file that is larger is compared by its digest alone.
const MAX_COMPARED: u64 = 512 << 20;
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Twice: once as it was, and once with another user and host name, one processor, another directory
order and another day's clock (where libfaketime is installed; it reaches programs that are linked
dynamically). Exit code 0: every byte is the same; 1: something differs, and where; 2: it could
not be built again.

With --out, the bundle of a rebuild that agrees is signed and written there: a rebuilder's vote
for the rule `rebuilt`.

Examples:
  portcullis rebuild shop.sigstore.json --trust-root trust-root.yaml
  portcullis rebuild shop.sigstore.json --public-key ci.pub --once --out vote \\
      --signer /run/rebuilder.sock")]
pub(crate) struct Args {
    /// The provenance
    bundle: PathBuf,
    /// The artifact, for saying where a rebuild differs; taken from beside the bundle without
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// Build once, with nothing made different
    #[arg(long)]
    once: bool,
    /// Where the rebuilder's own bundle goes
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keep what was rebuilt and differs in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The public key that must have signed
    #[arg(long = "public-key", value_name = "FILE", conflicts_with = "trust_root")]
    public_key: Option<PathBuf>,
    /// The time that counts for keys
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    desk: signing::Signing,
}

/// One rebuild with what it gave.
struct Attempt {
    variations: Vec<&'static str>,
    rebuilt: Rebuilt,
    difference: Option<Difference>,
    is_same: bool,
    /// Where what differs is kept.
    kept: Option<PathBuf>,
}

/// What differs is worth a look with other tools.
fn keep(folder: &Path, attempts: &mut [Attempt]) -> Result<(), Failure> {
    keys::folder(folder)?;
    for (number, attempt) in (1..).zip(attempts).filter(|(_, a)| !a.is_same) {
        let to = folder.join(format!("{}.rebuilt-{number}", attempt.rebuilt.record.name));
        fs::copy(&attempt.rebuilt.file, &to).map_err(|e| Failure::io("write", &to, &e))?;
        attempt.kept = Some(to);
    }
    Ok(())
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let operator = args.operator.prepare(&args.desk.secrets())?;
    let proven = proven(args, &operator)?;
    let (name, wanted) = subject(&proven)?;
    let first_work = WorkFolder::make()?;
    let second_work = WorkFolder::make()?;
    let shared = tempfile::tempdir_in("/dev/shm").ok();
    shared.iter().for_each(|folder| interrupt::removes(folder.path()));
    let mut attempts =
        vec![attempt(args, &operator, &proven, &Variations::default(), first_work.path(), output)?];
    if !args.once {
        if !Path::new(FAKETIME).is_file() {
            output.progress(
                "the clock is not made different: libfaketime is missing (Debian: apt-get install faketime)",
            );
        }
        let variations = variations(shared.as_ref().map(tempfile::TempDir::path));
        attempts.push(attempt(args, &operator, &proven, &variations, second_work.path(), output)?);
    }
    let is_same = attempts.iter().all(|a| a.is_same);
    let vote = match (&args.out, is_same) {
        (Some(out), true) => Some(vote(args, out, &attempts, first_work.path())?),
        _ => None,
    };
    if let Some(folder) = &args.keep {
        keep(folder, &mut attempts)?;
    }
    tell(&name, &wanted, &attempts, vote.as_deref(), output);
    if !is_same {
        diffoscope(args, &attempts, output);
    }
    Ok(if is_same { Exit::Clean } else { Exit::Found })
}

fn proven(args: &Args, operator: &Prepared) -> Result<Proven, Failure> {
    let submitted = input::bundle(&args.bundle)?;
    let trusted = match (operator.trust(), &args.public_key) {
        (Some(root), _) => Trust::of_root(root.clone(), clock::now(args.at.as_deref())?),
        (None, Some(key)) => Trust::of_key(key, clock::now(args.at.as_deref())?)?,
        (None, None) => {
            return Err(Failure::new("nothing says whom to trust")
                .line("fix", "give --trust-root FILE or --public-key FILE"));
        }
    };
    let proven = trusted.prove(&submitted).map_err(|why| {
        Failure::new(&format!("{} does not say how to build it again", submitted.name))
            .line("found", &why)
            .found()
    })?;
    if proven.provenance.is_ours() {
        return Ok(proven);
    }
    Err(Failure::new("this provenance does not say enough to build it again")
        .line("wanted", "provenance of a build by portcullis: every input with its digest")
        .line("found", &policy::one_line(&proven.provenance.build_type)))
}

fn subject(proven: &Proven) -> Result<(String, Digest), Failure> {
    let subject =
        proven.subjects.first().and_then(|s| Some((s.name.clone(), s.digests.get(Algorithm::Sha256)?)));
    subject.ok_or_else(|| Failure::new("the provenance is about nothing with a SHA-256").found())
}

fn variations(shared: Option<&Path>) -> Variations {
    let library = Path::new(FAKETIME);
    Variations {
        is_other_user: true,
        is_one_cpu: true,
        order: shared.map(Path::to_owned),
        clock: library.is_file().then(|| (library.to_owned(), "+400d".to_owned())),
    }
}

fn attempt(
    args: &Args,
    operator: &Prepared,
    proven: &Proven,
    variations: &Variations,
    work: &Path,
    output: &Output,
) -> Result<Attempt, Failure> {
    let words = variations.words();
    output.progress(&match words.as_slice() {
        [] => "building it again".to_owned(),
        words => format!("building it again, with another {}", words.join(", ")),
    });
    let progress = |step| {
        if step == Step::Run {
            output.progress("  in the sandbox, without network");
        }
    };
    clock::now(None)?;
    let now = || clock::now(None).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let log = work.join("build.log");
    let built = operator.orchestrator().rebuild(&proven.provenance, variations, (work, &log), now, progress);
    if built.is_err() {
        interrupt::hold_failed();
    }
    let rebuilt = built.map_err(|e| match e {
        BuildError::NotAsRecorded(what) => what
            .iter()
            .take(20)
            .fold(
                Failure::new("the commit does not give the build that the provenance describes"),
                |f, line| f.line("found", line),
            )
            .line("fix", "ask who built it: the record or the definition is not the one that was used"),
        e => failure(e),
    })?;
    let (name, wanted) = subject(proven)?;
    let one = rebuilt.into_iter().find(|r| r.record.name == name);
    let one = one.ok_or_else(|| Failure::new(&format!("the build makes no {name}")).found())?;
    let is_same = one.record.digest == wanted;
    let difference = if is_same { None } else { difference(args, &name, &wanted, &one) };
    Ok(Attempt { variations: words, rebuilt: one, difference, is_same, kept: None })
}

/// Where the two differ, if the shipped one is at hand and is the one that the bundle is about.
fn difference(args: &Args, name: &str, wanted: &Digest, rebuilt: &Rebuilt) -> Option<Difference> {
    let shipped = shipped(args, name)?;
    let size = |path: &Path| fs::metadata(path).map_or(u64::MAX, |m| m.len());
    if size(&shipped) > MAX_COMPARED || size(&rebuilt.file) > MAX_COMPARED {
        return None;
    }
    let bytes = fs::read(shipped).ok()?;
    if Digest::sha256(&bytes) != *wanted {
        return None;
    }
    explain(&bytes, &fs::read(&rebuilt.file).ok()?)
}

fn shipped(args: &Args, name: &str) -> Option<PathBuf> {
    let beside = || args.bundle.parent().map(|folder| folder.join(name));
    args.artifact.clone().or_else(beside).filter(|path| path.is_file())
}

/// The rebuilder's own provenance: of the build that had nothing made different.
fn vote(args: &Args, out: &Path, attempts: &[Attempt], work: &Path) -> Result<PathBuf, Failure> {
    let first = attempts.first().ok_or_else(|| Failure::new("nothing was built"))?;
    keys::folder(out)?;
    let mut record = first.rebuilt.record.clone();
    record.provenance.invocation = Some(keys::invocation()?);
    // a rebuilder keeps nothing for others
    if let Some(source) = &mut record.provenance.source {
        source.kept_until = None;
    }
    let desk = signing::Desk::open(&args.desk, work, 1)?;
    let bundle = desk.sign(&record)?;
    desk.close();
    publish::publish_vote(out, &record.name, &bundle)
}

fn tell(name: &str, wanted: &Digest, attempts: &[Attempt], vote: Option<&Path>, output: &Output) {
    let mut human = String::new();
    for attempt in attempts {
        let how = match attempt.variations.as_slice() {
            [] => "as it was".to_owned(),
            words => format!("with another {}", words.join(", ")),
        };
        let found = &attempt.rebuilt.record.digest;
        if attempt.is_same {
            human.push_str(&format!("same      {name}@{}, built {how}\n", wanted.short()));
            continue;
        }
        human
            .push_str(&format!("DIFFERENT {name}, built {how}\n  wanted    {wanted}\n  found     {found}\n"));
        if let Some(d) = &attempt.difference {
            human.push_str(&format!("  where     {d}\n"));
            human.push_str(&format!("  shipped   {}\n  rebuilt   {}\n", d.around.0, d.around.1));
        } else {
            human.push_str("  where     give the shipped file with --artifact to see where they differ\n");
        }
        if let Some(kept) = &attempt.kept {
            human.push_str(&format!("  kept      {}\n", kept.display()));
        }
    }
    if let Some(path) = vote {
        human.push_str(&format!("signed    {}\n", path.display()));
    }
    output.result(&human, || {
        let all = attempts.iter().map(Attempt::to_json).collect();
        let mut object = Object::new().with("artifact", name).with("wanted", wanted.to_string());
        object.set("attempts", Json::Array(all));
        object.set_some("bundle", vote.map(|p| p.display().to_string()));
        object.into()
    });
}

impl Attempt {
    fn to_json(&self) -> Json {
        let words: Vec<String> = self.variations.iter().map(|w| (*w).to_owned()).collect();
        let mut object = Object::new()
            .with("variations", words)
            .with("same", self.is_same)
            .with("found", self.rebuilt.record.digest.to_string());
        object.set_some("kept", self.kept.as_ref().map(|path| path.display().to_string()));
        object.set_some(
            "difference",
            self.difference.as_ref().map(|d| {
                Object::new()
                    .with("part", d.part.as_str())
                    .with("offset", i64::try_from(d.offset).unwrap_or(i64::MAX))
                    .with("bytes", i64::try_from(d.count).unwrap_or(i64::MAX))
                    .with("cause", d.cause)
            }),
        );
        object.into()
    }
}

/// What diffoscope says, where it is installed: it looks into every kind of file.
fn diffoscope(args: &Args, attempts: &[Attempt], output: &Output) {
    let Some(attempt) = attempts.iter().find(|a| !a.is_same) else { return };
    let Some(shipped) = shipped(args, &attempt.rebuilt.record.name) else { return };
    let mut command = Command::new("timeout");
    command.args(["120", "diffoscope", "--text", "-", "--max-text-report-size", "20000"]);
    command.arg(shipped).arg(&attempt.rebuilt.file).stdin(Stdio::null());
    if let Ok(said) = command.output()
        && !said.stdout.is_empty()
    {
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let text: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
        output.progress(&text);
    }
}
