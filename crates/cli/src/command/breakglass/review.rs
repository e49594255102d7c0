//! `portcullis breakglass review`: a second person's signed word about what a grant let in, put on record.

use std::path::PathBuf;

use attest::breakglass::{GrantReview, MAX_RECORDS, ReviewVerdict};
use attest::{Digest, Json, Object, TrustRoot};
use chokepoint::breakglass::{Reviews, Used};
use jiff::Timestamp;
use tlog::{Blobs, Files};

use crate::clock;
use crate::command::destination::{Server, check_stored};
use crate::command::log::{Key, Writer, records};
use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Whoever gave the grant, or deployed under it, cannot review it. What the review covers is what the
log shows now: what is let in later is open again.

Examples:
  portcullis breakglass review bg-17 --verdict justified --comment 'checkout was down, INC-42' \\
      --key carol.key --trust-root trust-root.yaml --log log --log-signing-key log.key
  portcullis breakglass review bg-17 --verdict abuse --comment 'no emergency' --key carol.key \\
      --trust-root trust-root.yaml --log copy-of-the-log \\
      --server https://portcullis.example:8443 --client-certificate carol.crt \\
      --client-key carol-tls.key")]
pub(crate) struct Args {
    /// The grant: its id, its digest, or the place of a record that it let in
    grant: String,
    /// What you found: justified or abuse
    #[arg(long, value_name = "VERDICT", value_parser = verdict)]
    verdict: ReviewVerdict,
    /// Why
    #[arg(long, value_name = "TEXT")]
    comment: String,
    /// Your own key: a file, or a pkcs11: URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    #[command(flatten)]
    unlock: Unlock,
    /// The trust root, which knows you by your key
    #[arg(long, value_name = "FILE")]
    trust_root: PathBuf,
    /// The decision log, or a copy of it, in which the records are looked up
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// The log's verifier key; without, the one that lies beside the log
    #[arg(long = "log-key", value_name = "FILE")]
    log_key: Option<PathBuf>,
    /// Write to that log with its own signing key, where no choke point does
    #[arg(long, value_name = "FILE", conflicts_with = "server", required_unless_present = "server")]
    log_signing_key: Option<PathBuf>,
    /// The time that counts; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    server: Server,
}

fn verdict(text: &str) -> Result<ReviewVerdict, String> {
    ReviewVerdict::parse(text).ok_or_else(|| "wanted justified or abuse".to_owned())
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let at = clock::now(args.at.as_deref())?;
    let root = input::trust_root(&args.trust_root)?;
    let key = input::secret_key(&args.key, &args.unlock)?;
    // taken before the log is read: nobody writes in between
    let writer = args.log_signing_key.as_deref().map(|own| Writer::open(&args.log, own)).transpose()?;
    let reviews = learn(&args.log, &Key::of(args.log_key.as_deref()), Some(&root))?;
    let review = review(args, find(&reviews, &args.grant)?, at)?;
    let bundle = review
        .sign(key.as_ref())
        .map_err(|e| Failure::new("the review cannot be given").line("found", &e.to_string()))?;
    let bytes = bundle.to_string();
    let checked = reviews.check(&root, bytes.as_bytes(), at).map_err(|e| {
        Failure::new("this review does not count")
            .code("review-refused")
            .line("wanted", "a person's who neither gave the grant nor deployed under it")
            .line("found", &e.to_string())
            .line("fix", "have a second person review it, with a key that counts")
            .found()
    })?;
    match writer {
        Some(writer) => writer.append(Some(&root), checked.event(bytes.as_bytes(), at))?,
        None => {
            let answer = args.server.put("/v1/reviews", &bundle)?;
            check_stored(&answer, std::slice::from_ref(&checked.envelope))?;
        }
    }
    let count = review.records.len();
    let text = format!(
        "{} reviewed grant {}, {count} of its records: {}\n  {}\n",
        checked.person,
        review.grant,
        review.verdict.name(),
        checked.envelope
    );
    output.result(&text, || {
        let object = Object::new().with("person", checked.person.as_str());
        object.with("review", review.to_json()).with("digest", checked.envelope.to_string()).into()
    });
    Ok(Exit::Clean)
}

/// What a log says of grants, each record proven.
pub(super) fn learn(dir: &std::path::Path, key: &Key, root: Option<&TrustRoot>) -> Result<Reviews, Failure> {
    let (leaves, _) = records(dir, &key.read(dir)?, None)?;
    let (blobs, mut reviews) = (Blobs::new(Files::new(dir)), Reviews::default());
    for (index, leaf) in &leaves {
        reviews.learn(*index, leaf, &|digest| blobs.get(digest).ok(), root);
    }
    Ok(reviews)
}

/// The grant that a person means: two of one id are told apart by their digests.
fn find<'r>(reviews: &'r Reviews, text: &str) -> Result<&'r Used, Failure> {
    let index = text.parse::<u64>().ok();
    let is_meant = |used: &&Used| {
        used.id == text
            || used.digest.to_string() == text
            || index.is_some_and(|index| used.records.values().any(|one| one.index == index))
    };
    let found: Vec<&Used> = reviews.grants().filter(is_meant).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::new(&format!("no grant {text} let anything in"))
            .line("wanted", "a grant's id or digest, or the place of a record that it let in")
            .line("fix", "portcullis breakglass list --log DIR shows them")),
        many => {
            let digests: Vec<String> = many.iter().map(|used| used.digest.to_string()).collect();
            Err(Failure::new(&format!("{text} is more than one grant"))
                .line("found", &digests.join(", "))
                .line("fix", "name it by its digest"))
        }
    }
}

fn review(args: &Args, used: &Used, at: Timestamp) -> Result<GrantReview, Failure> {
    let open = used.unreviewed().map(|(leaf, _)| leaf.clone());
    let mut records: Vec<Digest> = open.take(MAX_RECORDS).collect();
    if records.is_empty() {
        // a second opinion is about what the first was about
        records = used.records.keys().take(MAX_RECORDS).cloned().collect();
    }
    Ok(GrantReview {
        digest: used.digest.clone(),
        grant: used.id.clone(),
        verdict: args.verdict,
        comment: args.comment.clone(),
        records,
        reviewed: at,
    })
}

/// The JSON of a grant that let something in.
pub(super) fn to_json(used: &Used, state: &str) -> Json {
    let record = |(leaf, one): (&Digest, &chokepoint::breakglass::LetIn)| {
        let mut object = Object::new()
            .with("index", i64::try_from(one.index).unwrap_or(i64::MAX))
            .with("leaf", leaf.to_string())
            .with("at", one.at.to_string())
            .with("artifact", one.artifact.as_str());
        object.set_some("workload", one.workload.as_deref());
        object.set_some("requester", one.requester.as_deref());
        Json::from(object.with("due", one.due.to_string()).with("reviewed", one.is_reviewed))
    };
    let review = |one: &chokepoint::breakglass::Reviewed| {
        let object = Object::new().with("index", i64::try_from(one.index).unwrap_or(i64::MAX));
        let object = object.with("person", one.person.as_str()).with("at", one.at.to_string());
        let object = object.with("verdict", one.verdict.name()).with("comment", one.comment.as_str());
        Json::from(object.with("digest", one.envelope.to_string()))
    };
    let refused = |(index, why): &(u64, String)| {
        let index = i64::try_from(*index).unwrap_or(i64::MAX);
        Json::from(Object::new().with("index", index).with("found", why.as_str()))
    };
    let mut object = Object::new()
        .with("state", state)
        .with("grant", used.id.as_str())
        .with("digest", used.digest.to_string())
        .with("environment", used.environment.as_str())
        .with("person", used.person.as_str())
        .with("reason", used.reason.as_str())
        .with("ticket", used.ticket.as_str())
        .with("first", used.first.to_string());
    object.set_some("expires", used.expires.map(|t| t.to_string()));
    object.set_some("due", used.due().map(|t| t.to_string()));
    object
        .with("records", Json::Array(used.records.iter().map(record).collect()))
        .with("reviews", Json::Array(used.reviews.iter().map(review).collect()))
        .with("refused", Json::Array(used.refused.iter().map(refused).collect()))
        .into()
}
