//! `portcullis breakglass open`: signs a grant. Whether it holds is for the choke point to say; what can be known here of
//! why it would not is said before anything is signed.

use std::path::PathBuf;

use attest::breakglass::Grant;
use attest::time::Span;
use attest::{Digest, Json, Object, PublicKey, TrustRoot};
use evidence::Store;
use jiff::{SignedDuration, Timestamp};
use policy::Breakglass;

use crate::clock;
use crate::command::destination::{Server, check_stored, not_stored};
use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::keys;
use crate::output::Output;

const ANNOTATION: &str = "portcullis.dev/breakglass";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The policy says who may, and for how long at most; give --book to be told here and not by the
choke point.

Examples:
  portcullis breakglass open --environment prod/shop --reason 'checkout is down' --ticket INC-42 \\
      --expires 1h --key bob.key --trust-root trust-root.yaml --book book \\
      --server https://portcullis.example:8443 --client-certificate bob.crt \\
      --client-key bob-tls.key
  portcullis breakglass open --environment prod/shop --artifact sha256:9f3c… --reason 'hot fix' \\
      --ticket INC-42 --expires 30m --key bob.key --trust-root trust-root.yaml --store evidence")]
pub(crate) struct Args {
    /// The one environment in which it holds
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Where the emergency is written down
    #[arg(long, value_name = "TICKET")]
    ticket: String,
    /// How long it holds, as in 1h
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expires: Span,
    /// The one artifact for which it holds; everything in the environment without
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    artifact: Option<Digest>,
    /// The only one who may deploy under it; anybody without
    #[arg(long, value_name = "IDENTITY")]
    requester: Option<String>,
    /// Your own key: a file, or a pkcs11: URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    #[command(flatten)]
    unlock: Unlock,
    /// The trust root, which knows you by your key
    #[arg(long, value_name = "FILE")]
    trust_root: PathBuf,
    /// The policies: whether one of them takes the grant
    #[arg(long, value_name = "DIR")]
    book: Option<PathBuf>,
    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Put it into the evidence store in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    store: Option<PathBuf>,
    /// From when on it holds; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    server: Server,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "wanted a span of time, as in 1h".to_owned())
}

fn digest(text: &str) -> Result<Digest, String> {
    let text = text.rsplit_once('@').map_or(text, |(_, digest)| digest);
    Digest::parse(text).map_err(|e| e.to_string())
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if args.out.is_none() && args.store.is_none() && args.server.url().is_none() {
        return Err(Failure::new("nothing says where the grant goes")
            .line("fix", "give --server URL, --store DIR or --out FILE"));
    }
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        return Err(Failure::new(&format!("{} is there already", out.display()))
            .line("fix", "name another file: --out FILE; nothing is overwritten"));
    }
    let issued = clock::now(args.at.as_deref())?;
    let root = input::trust_root(&args.trust_root)?;
    let key = input::secret_key(&args.key, &args.unlock)?;
    let person = person(&root, key.public(), issued)?;
    let hearers = hearers(args, &root, &person)?;
    let grant = grant(args, issued)?;
    let bundle = grant
        .sign(key.as_ref())
        .map_err(|e| Failure::new("the grant cannot be given").line("found", &e.to_string()))?;
    let text = bundle.to_string();
    let digest = Digest::sha256(text.as_bytes());
    keep(args, &bundle, &text, &digest)?;
    output
        .result(&to_text(&grant, &person, &digest, &hearers), || to_json(&grant, &person, &digest, &hearers));
    Ok(Exit::Clean)
}

/// The person whose key it is, and whose it still is.
fn person(root: &TrustRoot, key: &PublicKey, at: Timestamp) -> Result<String, Failure> {
    let people = root.principals().filter(|p| root.is_person(&p.name));
    let owned = people.flat_map(|p| p.keys.iter().map(move |k| (p, k))).find(|(_, k)| k.key == *key);
    let (person, trusted) = owned.ok_or_else(|| {
        Failure::new("the key is no person's in the trust root")
            .code("nobody")
            .line("wanted", "your own key, listed under `people`")
            .line("found", &format!("a key with the id {}", key.id()))
            .line("fix", "give your own key; machines give no grants")
    })?;
    let is_early = trusted.from.is_some_and(|from| at < from);
    let is_late = trusted.until.is_some_and(|until| at > until);
    if is_early || is_late || trusted.revoked.is_some() {
        return Err(Failure::new(&format!("this key of {} does not count now", person.name))
            .code("nobody")
            .line("fix", "give a key that counts; `portcullis trust-root check` says which do"));
    }
    Ok(person.name.clone())
}

/// Who will be asked about it: the group of the policy; where no book is given, every group that the giver is in.
fn hearers(args: &Args, root: &TrustRoot, person: &str) -> Result<Vec<String>, Failure> {
    let members = |group: &str| {
        let all = root.group(group).map(|g| g.iter().cloned().collect::<Vec<_>>().join(", "));
        format!("{group} ({})", all.unwrap_or_default())
    };
    let Some(dir) = &args.book else {
        let groups = root.group_names().filter(|g| root.group(g).is_some_and(|g| g.contains(person)));
        return Ok(groups.map(members).collect());
    };
    let book = input::book(dir, None)?;
    let allowing: Vec<&Breakglass> =
        book.guarding(&args.environment).filter_map(policy::Policy::breakglass).collect();
    let refuse =
        |message: &str| Failure::new(message).code("not-allowed").found().line("wanted", &wanted(&allowing));
    if allowing.is_empty() {
        return Err(refuse(&format!("no policy for {} allows breakglass", args.environment))
            .line("found", "no `breakglass` in any policy that guards it")
            .line("fix", "deploy what the policy admits, or have the policy changed and reviewed"));
    }
    let own: Vec<&&Breakglass> =
        allowing.iter().filter(|b| root.group(&b.group.name).is_some_and(|g| g.contains(person))).collect();
    if own.is_empty() {
        return Err(refuse(&format!("{person} may not give a grant for {}", args.environment))
            .line("found", &format!("{person}, who is in none of these groups"))
            .line("fix", "ask somebody who is"));
    }
    if own.iter().all(|b| args.expires > b.expires) {
        return Err(refuse("the grant would hold for too long")
            .line("found", &args.expires.to_string())
            .line("fix", "give a shorter --expires, and a new grant when it is over"));
    }
    let hears =
        |b: &&Breakglass| format!("{}, to look at it within {}", members(&b.group.name), b.reviewed_within);
    let mut hearers: Vec<String> = own.into_iter().map(hears).collect();
    hearers.dedup();
    Ok(hearers)
}

fn wanted(allowing: &[&Breakglass]) -> String {
    let one = |b: &&Breakglass| format!("somebody in {}, for at most {}", b.group.name, b.expires);
    let mut all: Vec<String> = allowing.iter().map(one).collect();
    all.dedup();
    if all.is_empty() { "a policy with `breakglass`".to_owned() } else { all.join("; or ") }
}

fn grant(args: &Args, issued: Timestamp) -> Result<Grant, Failure> {
    let expires = issued.checked_add(SignedDuration::from_secs(args.expires.as_seconds()));
    Ok(Grant {
        id: format!("bg-{}", keys::invocation()?),
        environment: args.environment.clone(),
        artifact: args.artifact.clone(),
        requester: args.requester.clone(),
        reason: args.reason.clone(),
        ticket: args.ticket.clone(),
        issued,
        expires: expires.map_err(|e| Failure::new("the grant has no end").line("found", &e.to_string()))?,
    })
}

/// The bytes that the digest names are the same everywhere: no end of line in the file either.
fn keep(args: &Args, bundle: &Json, text: &str, digest: &Digest) -> Result<(), Failure> {
    if let Some(out) = &args.out {
        keys::write(out, text)?;
    }
    if let Some(dir) = &args.store {
        Store::new(dir).put_grant(text.as_bytes()).map_err(|e| not_stored(&e))?;
    }
    if args.server.url().is_some() {
        let answer = args.server.put("/v1/grants", bundle)?;
        check_stored(&answer, std::slice::from_ref(digest))?;
    }
    Ok(())
}

fn to_text(grant: &Grant, person: &str, digest: &Digest, hearers: &[String]) -> String {
    let what = match &grant.artifact {
        Some(artifact) => artifact.to_string(),
        None => "everything".to_owned(),
    };
    let mut out = format!(
        "{person} lets {what} into {} until {}\n  {digest}\nannotation, for the Pod template's metadata:\n  \
         {ANNOTATION}: {digest}\nwho will hear of it:\n  whoever reads the decision log: each deployment under it, \
         with its reason and ticket\n",
        grant.environment, grant.expires
    );
    for hearer in hearers {
        out.push_str(&format!("  {hearer}\n"));
    }
    out
}

fn to_json(grant: &Grant, person: &str, digest: &Digest, hearers: &[String]) -> Json {
    let annotation = Object::new().with("name", ANNOTATION).with("value", digest.to_string());
    Object::new()
        .with("digest", digest.to_string())
        .with("person", person)
        .with("grant", grant.to_json())
        .with("annotation", annotation)
        .with("hear", hearers.to_vec())
        .into()
}
