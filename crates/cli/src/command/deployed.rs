//! `portcullis deployed`: everything that was admitted and came from one place, between two times.

use std::path::Path;

use attest::{Digest, Json, Object, PublicKey};
use inventory::{Deployment, From};

use super::why::asked::Where;
use super::why::table::Table;
use super::why::{minute, named};
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// Everything deployed from a commit, repository, builder, key or base, by somebody, or under a grant
///
/// What is proven of where an artifact came from counts; what somebody only claimed does not. Exit code 1 where nothing did.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis deployed --from-commit 1a2b3c4d --log log
  portcullis deployed --base sha256:9f3c… --inventory inventory
  portcullis deployed --key ci.pub --between 2026-11-01T00:00:00Z 2026-11-22T00:00:00Z --log log
  portcullis deployed --grant 7f3a… --log log --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    from: Choice,
    /// Only what was admitted between these times, both included
    #[arg(long, num_args = 2, value_names = ["TIME", "TIME"])]
    between: Vec<String>,
    #[command(flatten)]
    place: Where,
}

/// From where: exactly one.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// Built from this commit: its id, or the first 7 or more of its digits
    #[arg(long, value_name = "COMMIT")]
    from_commit: Option<String>,
    /// Built from this repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: Option<String>,
    /// Built by this builder: its name in the trust root, or its builder.id
    #[arg(long, value_name = "BUILDER")]
    builder: Option<String>,
    /// With evidence signed by this key: a public key's file, its id or the first 7 or more of its digits, or whose it is
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Built with this input: a base image, a dependency, a tool
    #[arg(long, value_name = "DIGEST")]
    base: Option<String>,
    /// Asked for by this person or account
    #[arg(long, value_name = "WHO")]
    requester: Option<String>,
    /// Let in by this breakglass grant
    #[arg(long, value_name = "ID")]
    grant: Option<String>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let from = args.from.read()?;
    let between = match args.between.as_slice() {
        [first, last] => Some((clock::now(Some(first))?, clock::now(Some(last))?)),
        _ => None,
    };
    if let Some((first, last)) = between.filter(|(first, last)| first > last) {
        return Err(Failure::new("the first time is after the last")
            .line("found", &format!("{first} and {last}"))
            .line("fix", "write the earlier time first"));
    }
    let asked = args.place.open(output)?;
    let mut all: Vec<Deployment> = Vec::new();
    asked.wait(asked.inventory.deployed(&from, between, &mut |deployment| all.push(deployment)))?;
    output.result(&text(&all, &from), || {
        Object::new().with("deployed", Json::Array(all.iter().map(to_json).collect())).into()
    });
    Ok(if all.is_empty() { Exit::Found } else { Exit::Clean })
}

impl Choice {
    fn read(&self) -> Result<From, Failure> {
        let text = |given: &Option<String>| given.clone().filter(|text| !text.is_empty());
        if let Some(commit) = text(&self.from_commit) {
            return beginning(&commit).map(From::Commit);
        }
        if let Some(base) = &self.base {
            return Digest::parse(base).map(From::Base).map_err(|e| {
                Failure::new("the digest of the base cannot be read")
                    .line("wanted", "sha256: and 64 hex digits in lower case")
                    .line("found", &format!("{}: {e}", policy::one_line(base)))
            });
        }
        if let Some(key) = text(&self.key) {
            return self::key(&key).map(From::Key);
        }
        text(&self.repository)
            .map(From::Repository)
            .or_else(|| text(&self.builder).map(From::Builder))
            .or_else(|| text(&self.requester).map(From::Requester))
            .or_else(|| text(&self.grant).map(From::Grant))
            .ok_or_else(|| {
                Failure::new("nothing says from where").line("fix", "give what follows the option")
            })
    }
}

/// A commit's id, or enough of its beginning.
fn beginning(text: &str) -> Result<String, Failure> {
    let digits = text.strip_prefix("gitCommit:").unwrap_or(text);
    let is_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && (7..=64).contains(&digits.len()) {
        return Ok(digits.to_owned());
    }
    Err(Failure::new("the commit cannot be read")
        .line("wanted", "a commit's id in lower-case hex, or the first 7 or more of its digits")
        .line("found", &policy::one_line(text)))
}

/// The id of the key in a file, or what was written.
fn key(text: &str) -> Result<String, Failure> {
    let path = Path::new(text);
    if !path.is_file() {
        return Ok(text.to_owned());
    }
    let pem = input::text("public key", path)?;
    let key = PublicKey::from_pem(&pem).map_err(|e| {
        Failure::new(&format!("the public key {} cannot be used", path.display()))
            .line("found", &e.to_string())
    })?;
    Ok(key.id())
}

fn text(all: &[Deployment], from: &From) -> String {
    if all.is_empty() {
        return match from {
            From::Requester(who) => {
                format!("nothing was admitted that {} asked for\n", policy::one_line(who))
            }
            From::Grant(id) => format!("nothing was let in by the grant {}\n", policy::one_line(id)),
            _ => "nothing that was admitted is proven to have come from there\n".to_owned(),
        };
    }
    let mut table = Table::new(&["ENVIRONMENT", "WORKLOAD", "ARTIFACT", "TIMES", "LAST", "RECORD"]);
    for deployment in all {
        table.row(&[
            &deployment.environment,
            deployment.workload.as_deref().unwrap_or("-"),
            &named(&deployment.artifact, deployment.digest.as_ref()),
            &deployment.times.to_string(),
            &minute(deployment.last),
            &deployment.newest.to_string(),
        ]);
    }
    table.to_text()
}

fn to_json(deployment: &Deployment) -> Json {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut object = Object::new().with("environment", deployment.environment.as_str());
    object.set_some("workload", deployment.workload.as_deref());
    object.set("artifact", deployment.artifact.as_str());
    object.set_some("digest", deployment.digest.as_ref().map(Digest::to_string));
    object.set("first", deployment.first.to_string());
    object.set("last", deployment.last.to_string());
    object.set("times", number(deployment.times));
    object.with("newest", number(deployment.newest)).into()
}
