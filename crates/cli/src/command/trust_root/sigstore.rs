//! `portcullis trust-root sigstore …`: an instance's trusted root, obtained and written down for review.

use std::path::{Path, PathBuf};
use std::time::Duration;

use attest::json::{Limits, parse_with};
use attest::sigstore::{Difference, Instance, contents, differences};
use attest::trust::edit::Change;
use jiff::Timestamp;
use tuf::{Held, State, Verdict, Web};

use super::Place;
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// A mirror that takes longer is down.
const WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write a Sigstore instance into the trust root
    #[command(after_help = "Examples:
  portcullis trust-root sigstore add trust-root.yaml acme --from trusted_root.json --write
  portcullis trust-root sigstore add trust-root.yaml public-good --root sigstore-root.json \\
      --tuf https://tuf-repo-cdn.sigstore.dev --state /var/lib/portcullis/tuf --write")]
    Add(Args),
    /// Put an instance's newest trusted root in the place of the one that is written there
    #[command(
        after_help = "Where the mirror is down, or serves what does not hold, nothing changes: the trusted root in
the trust root is in force still, and so is what --state holds.

Example:
  portcullis trust-root sigstore update trust-root.yaml public-good --root sigstore-root.json \\
      --tuf https://tuf-repo-cdn.sigstore.dev --state /var/lib/portcullis/tuf --write"
    )]
    Update(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The instance's name in the trust root
    name: String,
    /// Take the trusted root from a file
    #[arg(long, value_name = "FILE", required_unless_present = "tuf")]
    from: Option<PathBuf>,
    /// Take the trusted root from a TUF repository, or a mirror of it
    #[arg(long, value_name = "URL", conflicts_with = "from", requires = "root")]
    tuf: Option<String>,
    /// The repository's root that is trusted because you checked it
    #[arg(long, value_name = "ROOT.json", requires = "tuf")]
    root: Option<PathBuf>,
    /// Remember here which versions were seen; without, a mirror that serves an older one is not found out
    #[arg(long, value_name = "DIR", requires = "tuf")]
    state: Option<PathBuf>,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    let (args, is_new) = match command {
        Command::Add(args) => (args, true),
        Command::Update(args) => (args, false),
    };
    let root = input::trust_root(&args.place.file)?;
    let old = root.instances().find(|instance| instance.name() == args.name);
    check_name(&args.name, old, is_new)?;
    let instance = Instance::parse(&args.name, &for_people(&obtain(args, output)?)?)
        .map_err(|e| Failure::new("that is not written into a trust root").line("found", &e.to_string()))?;
    let changes = changes(old.map(Instance::text), instance.text())?;
    if old.is_some_and(|old| for_people(old.text()).is_ok_and(|text| text == instance.text())) {
        output.progress(&format!("{} is what the trust root says already; nothing was written", args.name));
        return Ok(Exit::Clean);
    }
    for change in &changes {
        output.progress(&policy::one_line(&change.to_string()));
    }
    super::apply(&args.place, &Change::Sigstore(instance), output)
}

fn check_name(name: &str, old: Option<&Instance>, is_new: bool) -> Result<(), Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(Failure::new("an instance cannot be called so")
            .line("wanted", "letters, digits, `-`, `_` and `.`")
            .line("found", &policy::one_line(name)));
    }
    let failed = |what: &str, fix: &str| Err(Failure::new(what).line("fix", fix));
    match (old, is_new) {
        (Some(_), true) => failed(
            &format!("the trust root has an instance `{name}` already"),
            "portcullis trust-root sigstore update",
        ),
        (None, false) => failed(
            &format!("the trust root has no instance `{name}`"),
            "portcullis trust-root sigstore add, or check the name under `sigstore`",
        ),
        _ => Ok(()),
    }
}

fn obtain(args: &Args, output: &Output) -> Result<String, Failure> {
    if let Some(file) = &args.from {
        return input::text("trusted root", file);
    }
    let (Some(url), Some(root)) = (&args.tuf, &args.root) else {
        return Err(
            Failure::new("nothing says where the trusted root is").line("fix", "give --from or --tuf")
        );
    };
    let pinned = input::text("pinned root", root)?;
    let source = Web::new(url, WITHIN).map_err(|why| Failure::new(&why))?;
    let fresh = match args.state {
        Some(_) => None,
        None => {
            Some(tempfile::tempdir().map_err(|e| Failure::io("make", Path::new("a temporary folder"), &e))?)
        }
    };
    let folder =
        args.state.as_deref().or(fresh.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
    let now = clock::now(None)?;
    match tuf::update(&State::new(folder, &args.name), pinned.as_bytes(), source, now) {
        Verdict::Updated { held, .. } | Verdict::Unchanged(held) => {
            output.progress(&format!(
                "root version {}, signed metadata until {}, proven to be the newest at {}",
                held.root, held.expires, held.checked
            ));
            Ok(held.text)
        }
        Verdict::Failed { why, held } => {
            let failure = Failure::new("no trusted root was obtained, and nothing was changed")
                .code("tuf-failed")
                .line("found", &policy::one_line(&why.to_string()));
            Err(match held {
                Some(held) => failure.line("held", &freshness(&held, now)),
                None => failure,
            })
        }
    }
}

fn freshness(held: &Held, now: Timestamp) -> String {
    let hours = held.age(now).as_hours();
    let ended = if held.expires < now { ", which is over" } else { "" };
    format!(
        "what was proven to be the newest {hours} hours ago; its metadata counts until {}{ended}",
        held.expires
    )
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new("the trusted root cannot be read")
        .line("found", &error.to_string())
        .line("fix", "give the instance's trusted_root.json, whole")
}

/// One value a line, so that reviewers and later changes compare lines; every value stays as it was.
fn for_people(text: &str) -> Result<String, Failure> {
    let json = parse_with(text.as_bytes(), Limits::default().exact()).map_err(|e| unreadable(&e))?;
    Ok(format!("{}\n", json.pretty()))
}

fn changes(before: Option<&str>, after: &str) -> Result<Vec<Difference>, Failure> {
    let read = |text: &str| contents(text).map_err(|e| unreadable(&e));
    let before = before.map(read).transpose()?.unwrap_or_default();
    Ok(differences(&before, &read(after)?))
}
