//! `portcullis drill`: every threat of THREATS.md, staged against the real parts.
//!
//! Everything is real: git, builds in the sandbox, the signer, keys, policies, choke points, logs, witnesses. Each attack is
//! tried twice: as it is, when it must be stopped for the reason that is stated; and with the mitigation switched off in the
//! configuration, when it must succeed: else nobody knows that the drill can fail.

use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};
use crate::keys;
use crate::output::Output;

mod migration;
mod outcome;
mod page;
mod report;
mod stage;
mod t01;
mod t02;
mod t03;
mod t04;
mod t05;
mod t06;
mod t07;
mod t08;
mod t09;
mod t10;
mod t11;
mod t12;
mod t13;
mod t14;
mod t15;

use outcome::{Drilled, Trial};
use stage::Stage;

/// Stage every threat against the real parts, and show what stops it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs git, bubblewrap and a C compiler, as `portcullis demo` does; PostgreSQL and kube-apiserver are
used where they are, and what needs them is told to be not staged where not. Nothing outside of
throw-away folders is touched. Each attack is also tried with its mitigation switched off, and must succeed then.
Exit code 0: every attack was stopped for the stated reason, and every control let it through.

Examples:
  portcullis drill
  portcullis drill --only T7 --only T14 --keep drilled
  portcullis drill --report drill.html")]
pub(crate) struct Args {
    /// Only this threat, as in T7; may be given more than once
    #[arg(long, value_name = "THREAT")]
    only: Vec<String>,
    /// Also write a page for people who would rather look than read
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep everything that was staged in this new folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The folder with etcd and kube-apiserver; else the newest below ~/.cache/portcullis/kubernetes
    #[arg(long, value_name = "DIR", env = "KUBEBUILDER_ASSETS")]
    kubernetes: Option<PathBuf>,
}

/// One threat, and how it is staged.
struct Drill {
    threat: &'static str,
    title: &'static str,
    stage: fn(&Stage<'_>) -> Result<Vec<Trial>, Failure>,
}

/// In the words of THREATS.md.
const DRILLS: [Drill; 15] = [
    Drill { threat: "T1", title: "a change accidentally introduces a vulnerability", stage: t01::stage },
    Drill { threat: "T2", title: "a change adds a backdoor", stage: t02::stage },
    Drill { threat: "T3", title: "a build from a locally modified tree", stage: t03::stage },
    Drill { threat: "T4", title: "a harmful configuration is deployed", stage: t04::stage },
    Drill { threat: "T5", title: "a modified binary is deployed", stage: t05::stage },
    Drill { threat: "T6", title: "a bucket's ACL is changed by hand", stage: t06::stage },
    Drill { threat: "T7", title: "the signing key is stolen", stage: t07::stage },
    Drill { threat: "T8", title: "an old version with a known vulnerability is deployed", stage: t08::stage },
    Drill { threat: "T9", title: "CI is misconfigured to build any repository", stage: t09::stage },
    Drill { threat: "T10", title: "a build script exfiltrates the signing key", stage: t10::stage },
    Drill { threat: "T11", title: "a backdoored compiler or tool is used", stage: t11::stage },
    Drill { threat: "T12", title: "the choke point is bypassed", stage: t12::stage },
    Drill { threat: "T13", title: "breakglass is abused", stage: t13::stage },
    Drill { threat: "T14", title: "the log is edited or truncated", stage: t14::stage },
    Drill { threat: "T15", title: "the policy or trust root is weakened", stage: t15::stage },
];

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let drills = chosen(&args.only)?;
    if let Some(path) = &args.report {
        check_new(path)?;
    }
    let throw_away = tempfile::Builder::new().prefix("portcullis-drill-").tempdir();
    let throw_away = throw_away
        .map_err(|e| Failure::new("cannot make a throw-away folder").line("found", &e.to_string()))?;
    let dir = match &args.keep {
        Some(dir) => kept(dir)?,
        None => throw_away.path().to_owned(),
    };
    let stage = Stage::set(&dir, args.kubernetes.as_deref(), output)?;
    let drilled: Vec<Drilled> = drills.into_iter().map(|drill| act(drill, &stage, output)).collect();
    if let Some(path) = &args.report {
        keys::write(path, &page::of(&drilled))?;
    }
    output.result(&report::to_text(&drilled), || report::to_json(&drilled));
    Ok(outcome::exit(&drilled))
}

/// A minute's work must not end with a page that cannot be written.
fn check_new(page: &Path) -> Result<(), Failure> {
    if page.exists() {
        return Err(Failure::new(&format!("{} is there already", page.display()))
            .line("fix", "name a new file; nothing is ever overwritten"));
    }
    let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match folder.metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Failure::new(&format!("{} is no folder", folder.display()))
            .line("fix", "name a file in a folder that is there")),
        Err(e) => Err(Failure::io("use the folder", folder, &e)),
    }
}

fn chosen(only: &[String]) -> Result<Vec<&'static Drill>, Failure> {
    let named = |name: &String| {
        DRILLS.iter().find(|drill| drill.threat.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known: Vec<&str> = DRILLS.iter().map(|drill| drill.threat).collect();
            Failure::new(&format!("there is no drill for `{name}`"))
                .code("no-such-threat")
                .line("wanted", &known.join(", "))
                .line("fix", "give --only one of these, or leave it out")
        })
    };
    only.iter().try_for_each(|name| named(name).map(drop))?;
    let is_wanted = |drill: &&Drill| only.iter().any(|name| drill.threat.eq_ignore_ascii_case(name));
    Ok(DRILLS.iter().filter(|drill| only.is_empty() || is_wanted(drill)).collect())
}

fn kept(dir: &Path) -> Result<PathBuf, Failure> {
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::new(&format!("{} is not empty", dir.display()))
            .line("fix", "name a new folder; nothing is ever overwritten"));
    }
    keys::folder(dir)?;
    dir.canonicalize().map_err(|e| Failure::io("use", dir, &e))
}

/// What cannot be staged is told, and keeps nobody from the others.
fn act(drill: &'static Drill, stage: &Stage<'_>, output: &Output) -> Drilled {
    let began = std::time::Instant::now();
    output.progress(&format!("{:<4} {}", drill.threat, drill.title));
    let trials = (drill.stage)(stage);
    let seconds = began.elapsed().as_secs_f64();
    let drilled = Drilled { threat: drill.threat, title: drill.title, trials };
    output.progress(&format!("     {} in {seconds:.1} s", drilled.word()));
    drilled
}
