//! `portcullis attest review`: somebody approved a commit, as a person says or as a forge exports it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use attest::claims::{REVIEW, Review};
use attest::{Algorithm, Digest, Json, Object};
use source::{Document, ExportError, Reviewed};

use crate::clock;
use crate::command::attest_facts::{Signing, write};
use crate::failure::{Exit, Failure};
use crate::git::Git;
use crate::input;
use crate::output::Output;

mod landed;

use landed::Landed;

/// Exports of long reviews are some megabytes.
const MAX_EXPORT: u64 = 16 << 20;
/// How long git may take to read and merge a change.
const WITHIN: Duration = Duration::from_secs(120);

/// Somebody approved a commit
///
/// Either as you say, with --repository, --author and --reviewer, or as a forge's own tools export it. Of an export, only
/// approvals of the last revision count; a later word of the same person voids an earlier one, and machines do not
/// count. Whoever signs vouches for the export: sign where it is fetched, with the key of a review authority.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis attest review gitCommit:4f2a… --repository https://github.com/acme/shop \\
      --author alice@acme.example --reviewer bob@acme.example --key forge.key \\
      --out shop.review.json
  gh api repos/acme/shop/pulls/7 > pull.json
  gh api repos/acme/shop/pulls/7/reviews --paginate --slurp > reviews.json
  gh api repos/acme/shop/pulls/7/commits --paginate --slurp > commits.json
  portcullis attest review --from-github pull.json --from-github reviews.json \\
      --from-github commits.json --repository-dir shop --key forge.key --out shop.review.json")]
pub(crate) struct Args {
    /// What was approved, gitCommit:HEX; of an export without: what was merged, or else its last revision
    subject: Option<String>,
    /// The repository for which it was approved, as policies name it; of an export without: the one it names
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
    /// The last commit that had been reviewed before, in hex; the whole tree was reviewed without
    #[arg(long, value_name = "COMMIT", conflicts_with = "export")]
    base: Option<String>,
    /// Who wrote it, beside those whom an export names; may be given more than once
    #[arg(long = "author", value_name = "IDENTITY")]
    authors: Vec<String>,
    /// Who approved it; may be given more than once
    #[arg(long = "reviewer", value_name = "IDENTITY", conflicts_with = "export")]
    reviewers: Vec<String>,
    /// A pull request as `gh` prints it: `gh pr view --json`, or the API's pull, reviews and commits
    #[arg(long, value_name = "FILE", group = "export")]
    from_github: Vec<PathBuf>,
    /// A merge request as GitLab's API gives it: the request, approvals, versions, commits
    #[arg(long, value_name = "FILE", group = "export")]
    from_gitlab: Vec<PathBuf>,
    /// A change as `gerrit query --format=JSON` prints it, or as the API's ChangeInfo
    #[arg(long, value_name = "FILE", group = "export")]
    from_gerrit: Vec<PathBuf>,
    /// A clone, in which what was merged is compared with what was approved
    #[arg(long, value_name = "DIR", requires = "export")]
    repository_dir: Option<PathBuf>,
    /// A machine's account whose approval counts, as in github.com/release-robot; may be given more than once
    #[arg(long = "machine", value_name = "ACCOUNT", requires = "export")]
    machines: Vec<String>,
    #[command(flatten)]
    signing: Signing,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if args.from_github.is_empty() && args.from_gitlab.is_empty() && args.from_gerrit.is_empty() {
        return by_hand(args, output);
    }
    let reviewed = read(args)?;
    let landed = land(args, &reviewed)?;
    let repository = args.repository.clone().or_else(|| reviewed.repository.clone()).ok_or_else(|| {
        Failure::new("the export does not say which repository it is of").line("fix", "give --repository URL")
    })?;
    let authors = landed.authors.iter().chain(&args.authors).cloned();
    let review = Review {
        repository,
        base: Some(landed.base.hex()),
        authors: authors.collect::<std::collections::BTreeSet<_>>().into_iter().collect(),
        reviewers: reviewed.reviewers.iter().cloned().collect(),
        reviewed: reviewed.reviewed,
    };
    let out = write("review", REVIEW, review.to_json(), &landed.subject.to_string(), &args.signing)?;
    output.result(&told(&out, &reviewed, &landed), || {
        let voided = reviewed.voided.iter();
        let voided = voided.map(|v| Object::new().with("who", v.who.as_str()).with("why", v.why.as_str()));
        Object::new()
            .with("bundle", out.display().to_string())
            .with("subject", landed.subject.to_string())
            .with("branch", reviewed.branch.as_str())
            .with("predicate", review.to_json())
            .with("voided", voided.collect::<Vec<_>>())
            .into()
    });
    Ok(Exit::Clean)
}

/// What a person says, as it is.
fn by_hand(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let missing = |what: &str| {
        Failure::new(&format!("nothing says {what}")).code("usage").line(
            "fix",
            "give SUBJECT and --repository, or an export: --from-github, --from-gitlab or --from-gerrit",
        )
    };
    let subject = args.subject.as_deref().ok_or_else(|| missing("what was approved"))?;
    let review = Review {
        repository: args.repository.clone().ok_or_else(|| missing("for which repository it was approved"))?,
        base: args.base.clone(),
        authors: args.authors.clone(),
        reviewers: args.reviewers.clone(),
        reviewed: clock::now(args.signing.at())?,
    };
    let out = write("review", REVIEW, review.to_json(), subject, &args.signing)?;
    output.result(&format!("{}\n", out.display()), || {
        Json::from(Object::new().with("bundle", out.display().to_string()))
    });
    Ok(Exit::Clean)
}

fn read(args: &Args) -> Result<Reviewed, Failure> {
    type Reader = fn(&[Document<'_>], &[String]) -> Result<Reviewed, ExportError>;
    let forges: [(&[PathBuf], Reader); 3] = [
        (&args.from_github, source::github::read),
        (&args.from_gitlab, source::gitlab::read),
        (&args.from_gerrit, source::gerrit::read),
    ];
    let mut given = forges.iter().filter(|(files, _)| !files.is_empty());
    let one = given.next().filter(|_| given.next().is_none());
    let Some((paths, reader)) = one else {
        return Err(Failure::new("exports of more than one forge were given")
            .code("usage")
            .line("fix", "give the parts of one change alone"));
    };
    let files: Vec<(String, Vec<u8>)> = paths
        .iter()
        .map(|path| Ok((path.display().to_string(), input::read("export", path, MAX_EXPORT)?)))
        .collect::<Result<_, Failure>>()?;
    let documents: Vec<Document<'_>> = files.iter().map(|(name, bytes)| Document { name, bytes }).collect();
    reader(&documents, &args.machines).map_err(|e| {
        let failed = Failure::new("the export is no review")
            .code("export-invalid")
            .line("found", &policy::one_line(&e.to_string()))
            .line("fix", &e.fix());
        match e {
            ExportError::GivenUp(_) | ExportError::NotApproved(_) => failed.found(),
            // nobody can tell
            _ => failed,
        }
    })
}

/// Which commit the review is of, since which base, and who wrote what is between.
fn land(args: &Args, reviewed: &Reviewed) -> Result<Landed, Failure> {
    let subject = match &args.subject {
        Some(text) => match Digest::parse(text) {
            Ok(digest) if digest.algorithm() == Algorithm::GitCommit => digest,
            _ => {
                return Err(Failure::new("a review is of a commit")
                    .line("wanted", "gitCommit:HEX")
                    .line("found", text));
            }
        },
        None => reviewed.merged.clone().unwrap_or_else(|| reviewed.head.clone()),
    };
    let deadline = Instant::now() + WITHIN;
    match &args.repository_dir {
        Some(dir) => landed::in_clone(reviewed, &subject, &Git::at(dir, deadline)),
        None => landed::by_export(reviewed, &subject),
    }
}

fn told(out: &std::path::Path, reviewed: &Reviewed, landed: &Landed) -> String {
    let names =
        |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut lines = vec![
        ("commit", landed.subject.to_string()),
        ("since", landed.base.to_string()),
        ("authors", names(&landed.authors)),
        ("approved", names(&reviewed.reviewers)),
    ];
    lines.extend(reviewed.voided.iter().map(|voided| ("not", voided.to_string())));
    let lines: String =
        lines.iter().map(|(label, text)| format!("  {label:<9} {}\n", policy::one_line(text))).collect();
    format!("{}\n{lines}", out.display())
}
