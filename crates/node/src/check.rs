//! The story of one image: which environment, what was brought for it, what the policy says, whether a grant holds.

use attest::{Artifact, Directly, Json, TrustRoot};
use chokepoint::{book_files, reviewed_text};
use evidence::Store;
use jiff::Timestamp;
use kubernetes::Reference;
use kubernetes::mapping::UNCLAIMED;
use policy::{
    Beside, Book, Case, DeploymentRequest, Diagnostic, Frame, Guardrails, Outcome, Severity, Style,
    Submitted, Verdict, evaluate,
};

use crate::ask::Ask;
use crate::config::Config;
use crate::spool;

/// The engine's name in a case.
pub const ENGINE: &str = concat!("portcullis-image-verifier ", env!("CARGO_PKG_VERSION"));
/// Each grant costs a signature check.
const MAX_GRANTS: usize = 64;

/// What containerd is told: whether to take the image, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the image may be taken.
    pub is_taken: bool,
    /// Why, for the log of containerd and for whoever reads it.
    pub text: String,
}

/// What a node judges by.
#[derive(Debug)]
pub struct Files {
    book: Book,
    root: TrustRoot,
}

impl Files {
    /// Reads the book and the trust root.
    ///
    /// # Errors
    /// What cannot be read or does not load.
    pub fn load(config: &Config) -> Result<Self, String> {
        let root = reviewed_text(&config.trust_root)?;
        let root =
            TrustRoot::parse(&config.trust_root.display().to_string(), &root).map_err(|all| lines(&all))?;
        let book = Book::load(book_files(&config.book)?, &Guardrails::none()).map_err(|all| lines(&all))?;
        Ok(Self { book, root })
    }
}

/// Whether an image may be taken. What fails on the way is a no.
#[must_use]
pub fn check(config: &Config, files: &Files, ask: &Ask, node: &str, now: Timestamp) -> Answer {
    match judge(config, files, ask, node, now) {
        Ok(answer) => answer,
        Err(why) => Answer { is_taken: false, text: format!("cannot decide: {why}") },
    }
}

fn judge(config: &Config, files: &Files, ask: &Ask, node: &str, now: Timestamp) -> Result<Answer, String> {
    let reference = Reference::parse(&ask.name).map_err(|e| e.to_string())?;
    let image = reference.repository().to_owned();
    let environment = config.environment(&image).map_or_else(|| format!("{UNCLAIMED}{image}"), str::to_owned);
    let store = Store::new(&config.evidence);
    let artifact = Artifact::new(&image, ask.digest.clone().into());
    let mut request = DeploymentRequest::new(artifact.clone(), &environment, &format!("node/{node}"));
    request.body = Some(Json::from(ask.name.as_str()));
    let found = brought(&store, ask, &environment)?;
    request.envelopes = policy::select(found, &artifact, &files.root, &Directly, now).submitted;
    let case = Case::open(request.clone(), frame(files, now));
    let verdict = evaluate(&case, &files.book, &files.root);
    if verdict.is_met() {
        return Ok(Answer {
            is_taken: true,
            text: format!("admit: {} in {environment}, by policy", artifact.short()),
        });
    }
    match held(files, &store, &request, now)? {
        Some((case, verdict)) => by_grant(config, &case, &verdict),
        None => Ok(refusal(&verdict, &artifact, &environment)),
    }
}

fn frame(files: &Files, at: Timestamp) -> Frame {
    Frame {
        at,
        last_seen: None,
        book: files.book.digest().clone(),
        trust_root: files.root.digest().clone(),
        trust_root_version: files.root.version(),
        beside: Beside::default(),
        engine: ENGINE.to_owned(),
    }
}

/// The choke point's summary for this environment, and what else was attached to the image.
fn brought(store: &Store, ask: &Ask, environment: &str) -> Result<Vec<Submitted>, String> {
    let failed = |e: evidence::ReadError| format!("the node's evidence does not answer: {e}");
    let mut found = Vec::new();
    if let Some(bytes) = store.summary(&ask.digest, environment).map_err(failed)? {
        found.push(Submitted { name: format!("the summary for {environment}"), bytes });
    }
    for digest in store.attached(&ask.digest).map_err(failed)?.unwrap_or_default() {
        if let Some(bytes) = store.get(&digest).map_err(failed)? {
            found.push(Submitted { name: digest.to_string(), bytes });
        }
    }
    Ok(found)
}

/// The first grant of those that were brought that holds for this case.
fn held(
    files: &Files,
    store: &Store,
    request: &DeploymentRequest,
    now: Timestamp,
) -> Result<Option<(Case, Verdict)>, String> {
    let failed = |e: evidence::ReadError| format!("the node's grants do not answer: {e}");
    for digest in store.grants().map_err(failed)?.into_iter().take(MAX_GRANTS) {
        let Some(bytes) = store.grant(&digest).map_err(failed)? else { continue };
        let mut request = request.clone();
        request.grant = Some(Submitted { name: digest.to_string(), bytes });
        let case = Case::open(request, frame(files, now));
        let verdict = evaluate(&case, &files.book, &files.root);
        if verdict.grant().is_some() {
            return Ok(Some((case, verdict)));
        }
    }
    Ok(None)
}

/// A grant admits once that it did is durable.
fn by_grant(config: &Config, case: &Case, verdict: &Verdict) -> Result<Answer, String> {
    let grant = verdict.grant().ok_or("no grant holds")?;
    spool::keep(&config.spool, case)
        .map_err(|e| format!("that a grant lets it in cannot be written down: {e}"))?;
    let (artifact, person, reason) = (case.artifact().short(), grant.person(), &grant.grant().reason);
    let text = format!("admit: {artifact} in {}, by a grant of {person}: {reason}", case.environment());
    Ok(Answer { is_taken: true, text })
}

/// The reason first: containerd shows little of it.
fn refusal(verdict: &Verdict, artifact: &Artifact, environment: &str) -> Answer {
    let short = artifact.short();
    let head = match (verdict.outcome(), verdict.findings().first()) {
        (Outcome::CannotDecide(why), _) => format!("cannot decide: {why}"),
        (_, Some(first)) => format!("reject: {short} in {environment}: {}: {}", first.rule, first.message),
        (_, None) => format!("reject: {short} in {environment}"),
    };
    let shown = |finding| Diagnostic::of_finding(finding, &short, Severity::Error).to_text(Style::Plain);
    let rest: Vec<String> = verdict.findings().iter().map(shown).collect();
    Answer { is_taken: false, text: format!("{head}\n{}", rest.join("\n")).trim_end().to_owned() }
}

fn lines<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
