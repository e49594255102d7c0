//! `portcullis import diff`: what is new since the last release that was reviewed.

use attest::{Json, Object};

use super::Place;
use super::archive::{self, Contents};
use super::compare::Difference;
use super::shelf::{Package, Release, Reviewed, Shelf};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Show what differs from the last release of the package that was reviewed; all of it, where none was
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  portcullis import diff pkg:cargo/semver@1.0.27")]
pub(crate) struct Args {
    /// The package URL, with its version
    purl: String,
    /// Compare with this reviewed release instead, by its SHA-256
    #[arg(long, value_name = "HEX")]
    against: Option<String>,
    /// At most so many lines of text
    #[arg(long, value_name = "N", default_value_t = 5000)]
    lines: usize,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let package = Package::parse(&args.purl)?;
    let shelf = args.place.open()?;
    let release = shelf.fetched(&package)?;
    let last = shelf.last_reviewed(&package, &release.digest, args.against.as_deref())?;
    let new = contents(&shelf, &release)?;
    let old = match &last {
        Some(last) => contents(&shelf, &last.release)?,
        None => Contents::default(),
    };
    let difference = Difference::of(&old, &new);
    let shown = difference.shown(args.lines);
    let cut = match shown.left_out {
        0 => String::new(),
        n => format!("\n{n} more lines are not shown: --lines {}\n", args.lines.saturating_add(n)),
    };
    let (head, summary) = (head(&release, last.as_ref()), difference.summary());
    let text = format!("{head}{summary}\n{}{cut}\n{}", shown.text, next(&release, last.as_ref()));
    output.result(&text, || {
        let mut object = Object::new()
            .with("purl", release.purl.as_str())
            .with("digest", release.digest.to_string())
            .with("files", difference.to_json())
            .with("diff", shown.text.as_str())
            .with("lines_left_out", i64::try_from(shown.left_out).unwrap_or(i64::MAX));
        object.set_some("previous", last.as_ref().map(|last| last.release.digest.to_string()));
        Json::from(object)
    });
    Ok(Exit::Clean)
}

fn contents(shelf: &Shelf, release: &Release) -> Result<Contents, Failure> {
    let (path, _) = shelf.file(&release.digest)?;
    archive::read(&path, &release.from).map_err(|why| {
        Failure::new(&format!("{} cannot be read as an archive", policy::one_line(&release.purl)))
            .line("found", &policy::one_line(&why))
    })
}

fn head(release: &Release, last: Option<&Reviewed>) -> String {
    let one = |release: &Release| {
        format!("{} ({}, from {})", release.purl, release.digest, policy::one_line(&release.from))
    };
    match last {
        Some(last) => format!("old {}, reviewed {}\nnew {}\n", one(&last.release), last.at, one(release)),
        None => format!("old nothing: no release of it was reviewed\nnew {}\n", one(release)),
    }
}

/// The digest is what was looked at, whatever the package URL means tomorrow.
fn next(release: &Release, last: Option<&Reviewed>) -> String {
    let against = last.map(|l| format!(" --against {}", l.release.digest.hex())).unwrap_or_default();
    let digest = release.digest.hex();
    let purl = &release.purl;
    format!(
        "to approve exactly this:\n  portcullis import review {purl} --sha256 {digest}{against} \\\n      --reviewer IDENTITY --approve --key KEY --out FILE\n"
    )
}
