//! `portcullis breakglass list`: the grants that a store holds, or what a log says was let through by one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use attest::breakglass::Grant;
use attest::{Digest, Envelope, Json, Object, Predicate, TrustRoot};
use chokepoint::breakglass::Used;
use evidence::Store;
use jiff::Timestamp;

use crate::clock;
use crate::command::breakglass::review::{learn, to_json as to_json_of};
use crate::command::destination::not_read;
use crate::command::log::Key;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis breakglass list --store evidence --trust-root trust-root.yaml
  portcullis breakglass list --log log --trust-root trust-root.yaml")]
#[command(group = clap::ArgGroup::new("place").args(["store", "log"]).required(true))]
pub(crate) struct Args {
    /// The grants in this evidence store
    #[arg(long, value_name = "DIR", requires = "trust_root")]
    store: Option<PathBuf>,
    /// Whom to believe that they gave a grant, or reviewed one
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,
    /// The deployments that this decision log says were let through, and who has reviewed them; 1 where the time for a
    /// review has passed without one
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// The log's verifier key; without, the one that lies beside the log
    #[arg(long = "log-key", value_name = "FILE", requires = "log")]
    log_key: Option<PathBuf>,
    /// The time that counts; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    match (&args.store, &args.trust_root, &args.log) {
        (Some(store), Some(root), _) => {
            let root = input::trust_root(root)?;
            is_store(store)?;
            of_store(&Store::new(store), &root, clock::now(args.at.as_deref())?, output)
        }
        (_, root, Some(log)) => {
            let root = root.as_deref().map(input::trust_root).transpose()?;
            let key = Key::of(args.log_key.as_deref());
            of_log(log, &key, root.as_ref(), clock::now(args.at.as_deref())?, output)
        }
        _ => {
            Err(Failure::new("nothing says where the grants are")
                .line("fix", "give --store DIR or --log DIR"))
        }
    }
}

/// What a store in a folder is made of. A new volume has `lost+found`, and is as good as empty.
const STORE: [&str; 5] = ["sha256", "artifact", "tag", "grants", "lock"];

/// A folder that is no store holds no grants either, and saying so would hide those that hold.
fn is_store(dir: &Path) -> Result<(), Failure> {
    let none = |found: &str| {
        Failure::new(&format!("there is no evidence store in {}", dir.display()))
            .code("no-store")
            .line("wanted", "the folder that serve.yaml names as `evidence`")
            .line("found", found)
            .line("fix", "check the name; relative names are relative to the current folder")
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(none("no such folder")),
        Err(e) if e.kind() == ErrorKind::NotADirectory => return Err(none("a file")),
        Err(e) => return Err(Failure::io("read the evidence store", dir, &e)),
    };
    let names = entries.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> =
        names.collect::<Result<_, _>>().map_err(|e| Failure::io("read the evidence store", dir, &e))?;
    let is_empty = names.iter().all(|name| name == "lost+found");
    if is_empty || names.iter().any(|name| STORE.contains(&name.as_str())) {
        return Ok(());
    }
    Err(none("a folder with other things in it"))
}

/// A grant in the store, or why it is none.
struct Listed {
    digest: Digest,
    what: Result<(Grant, String), String>,
}

fn of_store(store: &Store, root: &TrustRoot, at: Timestamp, output: &Output) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    for digest in store.grants().map_err(|e| not_read(&e))? {
        // one that was removed since it was listed is no grant any more
        if let Some(bytes) = store.grant(&digest).map_err(|e| not_read(&e))? {
            all.push(Listed { what: read(&bytes, root, at), digest });
        }
    }
    let expires = |listed: &Listed| listed.what.as_ref().ok().map(|(grant, _)| grant.expires);
    all.sort_by_key(|listed| std::cmp::Reverse(expires(listed)));
    let text: String = all.iter().map(|listed| line(listed, at)).collect();
    let text = if text.is_empty() { "no grants\n".to_owned() } else { text };
    output.result(&text, || Json::Array(all.iter().map(|listed| to_json(listed, at)).collect()));
    Ok(Exit::Clean)
}

/// Who gave what. An unproven grant is shown as what it is: words that somebody put there.
fn read(bytes: &[u8], root: &TrustRoot, at: Timestamp) -> Result<(Grant, String), String> {
    let envelope = Envelope::parse(bytes).map_err(|e| e.to_string())?;
    let attestation = root.open(&envelope, at).map_err(|e| e.to_string())?;
    let Predicate::Breakglass(grant) = &attestation.statement().predicate else {
        return Err(format!("a {}, and no grant", attestation.statement().predicate.kind()));
    };
    let person = attestation.signers().iter().find(|s| root.is_person(&s.name));
    let person = person.ok_or("a grant that no person signed")?;
    Ok((grant.as_ref().clone(), person.name.clone()))
}

fn state(grant: &Grant, at: Timestamp) -> &'static str {
    if at >= grant.expires {
        "over"
    } else if at < grant.issued {
        "to come"
    } else {
        "holds"
    }
}

fn line(listed: &Listed, at: Timestamp) -> String {
    let digest = &listed.digest;
    match &listed.what {
        Err(why) => format!("{digest}  no grant: {why}\n"),
        Ok((grant, person)) => {
            let artifact = grant.artifact.as_ref().map_or_else(|| "everything".to_owned(), Digest::short);
            format!(
                "{digest}  {:<7}  {} until {}: {artifact}, by {person}, {}: {}\n",
                state(grant, at),
                grant.environment,
                grant.expires,
                one_line(&grant.ticket),
                one_line(&grant.reason)
            )
        }
    }
}

/// A reason is its writer's text: it gets no line of its own, and no terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn to_json(listed: &Listed, at: Timestamp) -> Json {
    let object = Object::new().with("digest", listed.digest.to_string());
    match &listed.what {
        Err(why) => object.with("error", why.as_str()),
        Ok((grant, person)) => object
            .with("state", state(grant, at))
            .with("person", person.as_str())
            .with("grant", grant.to_json()),
    }
    .into()
}

/// What each grant let in, and who has looked at it. Without a trust root no review counts.
fn of_log(
    dir: &Path,
    key: &Key,
    root: Option<&TrustRoot>,
    at: Timestamp,
    output: &Output,
) -> Result<Exit, Failure> {
    let reviews = learn(dir, key, root)?;
    let mut used: Vec<&Used> = reviews.grants().collect();
    used.sort_by_key(|used| (used.due().is_none(), used.due(), used.first));
    let text: String = used.iter().map(|used| paragraph(used, at)).collect();
    let text = if text.is_empty() { "nothing was let through by a grant\n".to_owned() } else { text };
    output.result(&text, || {
        Json::Array(used.iter().map(|used| to_json_of(used, review_state(used, at))).collect())
    });
    Ok(if used.iter().any(|used| used.is_overdue(at)) { Exit::Found } else { Exit::Clean })
}

fn review_state(used: &Used, at: Timestamp) -> &'static str {
    match used.due() {
        None => "reviewed",
        Some(due) if at >= due => "overdue",
        Some(_) => "due",
    }
}

fn paragraph(used: &Used, at: Timestamp) -> String {
    let until = used.due().map_or_else(String::new, |due| format!(" {due}"));
    let is_over = used.expires.is_none_or(|expires| at >= expires);
    let mut text = format!(
        "{}{until}  {}  {} ({})  by {}, {}: {}{}\n",
        review_state(used, at),
        used.environment,
        used.id,
        used.digest.short(),
        used.person,
        one_line(&used.ticket),
        one_line(&used.reason),
        if is_over { "" } else { "; it holds still" },
    );
    let mut records: Vec<_> = used.records.values().collect();
    records.sort_by_key(|one| one.index);
    for one in records {
        text.push_str(&format!(
            "{:>7}  {}  {} in {}, asked by {}{}\n",
            one.index,
            one.at,
            one.artifact,
            one.workload.as_deref().unwrap_or("no workload"),
            one_line(one.requester.as_deref().unwrap_or("nobody known")),
            if one.is_reviewed { "" } else { "; nobody has reviewed it" }
        ));
    }
    for one in &used.reviews {
        let (verdict, comment) = (one.verdict.name(), one_line(&one.comment));
        text.push_str(&format!("{:>7}  {}  {} says {verdict}: {comment}\n", one.index, one.at, one.person));
    }
    for (index, why) in &used.refused {
        text.push_str(&format!("{index:>7}  a review that does not count: {why}\n"));
    }
    text
}
