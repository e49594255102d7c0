//! `portcullis verify ARTIFACT`: all three steps, offline but for evidence that is fetched before them. Not a choke point:
//! it writes no record.

mod attached;

use std::path::{Path, PathBuf};

use attest::{Algorithm, Directly, Envelope, Json, Object, Opener, TrustRoot};
use jiff::Timestamp;
use policy::{
    Case, DeploymentRequest, Diagnostic, Finding, Frame, Mode, Outcome, Severity, Submitted, Verdict,
    evaluate,
};
use registry::Reference;

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// Would this artifact be admitted?
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis verify ./shop --environment prod/shop --bundle shop.sigstore.json \\
      --bundle shop.review.json --book policies --trust-root trust-root.yaml
  portcullis verify registry.example/shop@sha256:9f3c… --registry --environment prod/shop \\
      --book policies --trust-root trust-root.yaml")]
pub(crate) struct Args {
    /// A file, sha256:HEX, or REPOSITORY@sha256:HEX
    artifact: String,
    /// Where it is to be deployed, as in prod/shop
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: String,
    /// Evidence: an envelope, lines or a list of them, or an OCI layout; may be given more than once
    #[arg(long = "bundle", value_name = "FILE")]
    bundles: Vec<PathBuf>,
    /// The folder with the policies
    #[arg(long, value_name = "DIR")]
    book: PathBuf,
    /// The trust root
    #[arg(long, value_name = "FILE")]
    trust_root: PathBuf,
    /// Guardrails that the book must meet
    #[arg(long, value_name = "FILE")]
    guardrails: Option<PathBuf>,
    /// The URI under which the artifact is requested; a file is else judged as what the environment's policy names
    #[arg(long = "as", value_name = "URI")]
    uri: Option<String>,
    /// Who asks for the deployment
    #[arg(long, value_name = "IDENTITY")]
    requester: Option<String>,
    /// The time of the case; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    attached: attached::Attached,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let at = clock::now(args.at.as_deref())?;
    let book = input::book(&args.book, args.guardrails.as_deref())?;
    let root = input::trust_root(&args.trust_root)?;
    let mut envelopes = read_evidence(&args.bundles, &root, at)?;
    let attached = args.attached.fetch(&args.artifact)?;
    let also =
        mentioned(envelopes.iter().chain(attached.iter().flat_map(|fetched| &fetched.attached.envelopes)));
    let (text, name) = split(&args.artifact);
    let uri = args.uri.as_deref().or(name.as_deref());
    let artifact = input::artifact(text, uri, &args.environment, &book, &also)?;
    let attached = attached.map(|fetched| fetched.select(&artifact, &root, at));
    if let Some(attached) = &attached {
        output.progress(&attached.text(&args.artifact));
        envelopes.extend(attached.attached.envelopes.iter().cloned());
    }
    let mut request = DeploymentRequest::new(artifact, &args.environment, "verify");
    request.requester = args.requester.clone();
    request.envelopes = envelopes;
    let frame = Frame {
        at,
        last_seen: None,
        book: book.digest().clone(),
        trust_root: root.digest().clone(),
        trust_root_version: root.version(),
        beside: policy::Beside::default(),
        engine: chokepoint::ENGINE.to_owned(),
    };
    let case = Case::open(request, frame);
    let verdict = evaluate(&case, &book, &root);
    let mode = book.select(case.environment(), case.artifact().uri()).map(policy::Policy::mode);
    let human = to_text(&verdict, &case, mode, output);
    output.result(&human, || {
        let mut object = to_json(&verdict, &case, mode);
        object.set_some("attached", attached.as_ref().map(attached::Fetched::to_json));
        object.into()
    });
    Ok(match verdict.outcome() {
        Outcome::Met => Exit::Clean,
        Outcome::Unmet => Exit::Found,
        Outcome::CannotDecide(_) => Exit::Failed,
    })
}

/// All envelopes of all files. Of several that say the same of one build, the first that opens.
pub(crate) fn read_evidence(
    files: &[PathBuf],
    root: &TrustRoot,
    at: Timestamp,
) -> Result<Vec<Submitted>, Failure> {
    let opener: &dyn Opener = &Directly;
    let mut envelopes = Vec::new();
    for file in files {
        let pieces = evidence::choose(input::pieces(file)?, |bytes| opener.open(root, bytes, at).is_ok());
        envelopes.extend(pieces.into_iter().map(|piece| Submitted { name: piece.name, bytes: piece.bytes }));
    }
    Ok(envelopes)
}

/// The digests that envelopes speak of beside SHA-256.
pub(crate) fn mentioned<'a>(envelopes: impl Iterator<Item = &'a Submitted>) -> Vec<Algorithm> {
    let parsed = envelopes.filter_map(|e| Envelope::parse(&e.bytes).ok());
    parsed.flat_map(|e| e.mentioned_algorithms()).collect()
}

/// What has the digest, and the URI of an image that is named with one.
fn split(artifact: &str) -> (&str, Option<String>) {
    match artifact.rsplit_once('@').filter(|_| !Path::new(artifact).exists()) {
        Some((_, digest)) => (digest, Reference::parse(artifact).ok().map(|image| image.name())),
        None => (artifact, None),
    }
}

/// What a choke point would do, and why.
fn words(verdict: &Verdict, mode: Option<Mode>) -> (&'static str, &'static str) {
    match (verdict.outcome(), mode) {
        (Outcome::Met, _) => ("admit", "policy"),
        (Outcome::Unmet, Some(Mode::DryRun)) => ("admit", "dry-run"),
        (Outcome::Unmet, _) => ("reject", "policy"),
        (Outcome::CannotDecide(_), _) => ("cannot-decide", "cannot-decide"),
    }
}

/// All findings and warnings as text.
pub(crate) fn findings_text(verdict: &Verdict, artifact: &str, output: &Output) -> String {
    let show = |finding: &Finding, severity| {
        output.diagnostic(&Diagnostic::of_finding(finding, artifact, severity)) + "\n"
    };
    let errors = verdict.findings().iter().map(|f| show(f, Severity::Error));
    errors.chain(verdict.warnings().iter().map(|f| show(f, Severity::Warning))).collect()
}

fn to_text(verdict: &Verdict, case: &Case, mode: Option<Mode>, output: &Output) -> String {
    let artifact = case.artifact().short();
    let mut out = findings_text(verdict, &artifact, output);
    let environment = case.environment();
    let policy = verdict.policy().map(|p| format!(" by {}", p.name)).unwrap_or_default();
    match (verdict.outcome(), mode) {
        (Outcome::Met, _) => out.push_str(&format!("admit: {artifact} may be in {environment}{policy}\n")),
        (Outcome::Unmet, Some(Mode::DryRun)) => out.push_str(&format!(
            "admit in dry run: {artifact} would be refused in {environment}{policy} once the mode is enforce\n"
        )),
        (Outcome::Unmet, _) => {
            let count = verdict.findings().len();
            let things = if count == 1 { "1 thing to mend".to_owned() } else { format!("{count} things to mend") };
            out.push_str(&format!("reject: {artifact} may not be in {environment}{policy}; {things}\n"));
        }
        (Outcome::CannotDecide(why), _) => out.push_str(&format!("cannot decide: {why}\n")),
    }
    out
}

fn to_json(verdict: &Verdict, case: &Case, mode: Option<Mode>) -> Object {
    let (decision, basis) = words(verdict, mode);
    let list = |findings: &[Finding]| Json::Array(findings.iter().map(Finding::to_json).collect());
    let word = match verdict.outcome() {
        Outcome::Met => Json::from("met"),
        Outcome::Unmet => Json::from("unmet"),
        Outcome::CannotDecide(_) => Json::Null,
    };
    let frame = case.frame();
    let root = Object::new()
        .with("digest", frame.trust_root.to_string())
        .with("version", i64::try_from(frame.trust_root_version).unwrap_or(i64::MAX));
    let mut object = Object::new().with("decision", decision).with("verdict", word).with("basis", basis);
    if let Outcome::CannotDecide(why) = verdict.outcome() {
        object.set("why", why.as_str());
    }
    object.set("policy", verdict.policy().map_or(Json::Null, policy::PolicyName::to_json));
    object
        .with("trust_root", root)
        .with("book", frame.book.to_string())
        .with("artifact", case.artifact().to_json())
        .with("environment", case.environment())
        .with("at", case.at().to_string())
        .with("findings", list(verdict.findings()))
        .with("warnings", list(verdict.warnings()))
}
