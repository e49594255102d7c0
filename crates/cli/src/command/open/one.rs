//! One bundle and one artifact: authentic, whose, and about what.

use std::path::Path;

use attest::sigstore::Certificate;
use attest::{Artifact, Attestation, DigestSet, Envelope, Evidence, Json, NotAbout, Object, OpenError};

use evidence::Piece;

use super::Args;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::trust::{NotOpened, Trusted};

/// The predicates that cosign has short names for.
const TYPES: [(&str, &str); 9] = [
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("link", "https://in-toto.io/Link/v1"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
];

pub(super) fn run(args: &Args, bundle: Option<&Path>, input: &str, output: &Output) -> Result<Exit, Failure> {
    let trusted = args.trust.read()?;
    let submitted = args.loose.submitted(bundle, input)?;
    let pieces = evidence::unpack(&submitted.bytes, &submitted.name).map_err(|e| {
        Failure::new(&format!("{} cannot be read", submitted.name)).line("found", &e.to_string()).found()
    })?;
    // of several envelopes in one file, the first that opens and is about the artifact
    let count = pieces.len();
    let mut last = Failure::new(&format!("{} has no envelope in it", submitted.name)).found();
    for piece in pieces {
        match judge(&piece, args, &trusted, input) {
            Ok((envelope, evidence)) => {
                let attestation = evidence.attestation();
                let human = for_people(input, &evidence, attestation, &trusted);
                output.result(&human, || to_json(input, &envelope, attestation, &trusted));
                return Ok(Exit::Clean);
            }
            Err(failure) => last = failure,
        }
    }
    Err(if count > 1 { last.line("and", &format!("none of its {count} envelopes did better")) } else { last })
}

/// Steps one and two for one envelope.
fn judge(
    piece: &Piece,
    args: &Args,
    trusted: &Trusted,
    input: &str,
) -> Result<(Envelope, Evidence), Failure> {
    let envelope = Envelope::parse(&piece.bytes).map_err(|e| {
        Failure::new(&format!("{} cannot be read", piece.name)).line("found", &e.to_string()).found()
    })?;
    let attestation = trusted.unseal(&envelope).map_err(|e| refusal(&piece.name, trusted, &e))?;
    let digests: DigestSet = input::digests(input, &envelope.mentioned_algorithms())?;
    let evidence = attestation.about(&Artifact::new(input, digests)).map_err(|e| elsewhere(&e))?;
    check_type(args.kind.as_deref(), &attestation)?;
    Ok((envelope, evidence))
}

fn refusal(name: &str, trusted: &Trusted, error: &NotOpened) -> Failure {
    let failed = Failure::new(&format!("{name} is not authentic")).found();
    match error {
        NotOpened::Open(OpenError::UnknownSigner) if trusted.is_key => failed
            .line("found", "no signature on it verifies under the key that was given")
            .line("fix", "give the key of the one who signed it, or the bundle that this key signed"),
        NotOpened::Other(mismatch) => {
            let found = mismatch.found.as_deref().unwrap_or("nothing of it in the certificate");
            Failure::new(&format!("{name} is signed under another certificate"))
                .code("another-identity")
                .line("wanted", &format!("{} {}", mismatch.what, policy::one_line(&mismatch.wanted)))
                .line("found", &policy::one_line(found))
                .line("fix", "submit what the wanted identity signed; or, if this one is right, ask for it")
                .found()
        }
        NotOpened::NotLogged => failed
            .line("found", &error.to_string())
            .line("fix", "give the bundle with its log entry, or say --insecure-ignore-tlog"),
        NotOpened::Open(OpenError::Sigstore(e)) => failed
            .line("wanted", &format!("a signature that holds under {}", trusted.instances()))
            .line("found", &policy::one_line(&e.to_string()))
            .line(
                "fix",
                "submit the bundle as the signer wrote it; or name the instance that it was signed under",
            ),
        e => failed.line("found", &policy::one_line(&e.to_string())),
    }
}

fn elsewhere(e: &NotAbout) -> Failure {
    let found = e.found.as_ref().map_or("nothing with a digest that decides".to_owned(), ToString::to_string);
    let wanted = e.wanted.as_ref().map(ToString::to_string).unwrap_or_default();
    let subjects = if e.subjects > 1 { format!(" and {} more", e.subjects - 1) } else { String::new() };
    Failure::new("the bundle is authentic, and applies to another artifact")
        .line("wanted", &wanted)
        .line("found", &format!("{found}{subjects}"))
        .line("fix", "submit the bundle of this artifact, or the artifact of this bundle")
        .found()
}

fn check_type(wanted: Option<&str>, attestation: &Attestation) -> Result<(), Failure> {
    let Some(name) = wanted else { return Ok(()) };
    let wanted = TYPES.iter().find(|(short, _)| *short == name).map_or(name, |(_, full)| *full);
    let found = &attestation.statement().predicate_type;
    if found == wanted {
        return Ok(());
    }
    Err(Failure::new("the bundle is authentic, and says something else")
        .line("wanted", wanted)
        .line("found", &policy::one_line(found))
        .line("fix", "submit the bundle with the wanted statement")
        .found())
}

/// What a certificate says, by name.
fn facts(certificate: &Certificate) -> Vec<(&'static str, &str)> {
    let optional = [
        ("source", certificate.source_repository()),
        ("ref", certificate.source_ref()),
        ("commit", certificate.source_digest()),
        ("workflow", certificate.workflow()),
        ("signer", certificate.build_signer()),
        ("runner", certificate.runner()),
        ("trigger", certificate.trigger()),
        ("run", certificate.invocation()),
    ];
    let own = [("identity", certificate.identity()), ("issuer", certificate.issuer())];
    own.into_iter().chain(optional.into_iter().filter_map(|(name, fact)| Some((name, fact?)))).collect()
}

fn for_people(input: &str, evidence: &Evidence, attestation: &Attestation, trusted: &Trusted) -> String {
    let statement = attestation.statement();
    let mut text = format!(
        "authentic, and about {input}\n  says      {} ({})\n  signed by {}\n",
        evidence.predicate().kind(),
        policy::one_line(&statement.predicate_type),
        evidence.signer_names(),
    );
    for (name, fact) in attestation.certificate().map(facts).unwrap_or_default() {
        text.push_str(&format!("  {name:<9} {}\n", policy::one_line(fact)));
    }
    for fact in attestation.logged() {
        let time = fact.time.map(|t| format!(", seen at {t}")).unwrap_or_default();
        text.push_str(&format!(
            "  logged    by {}, entry {}{time}\n",
            policy::one_line(&fact.log),
            fact.index
        ));
    }
    for ignored in &trusted.ignored {
        text.push_str(&format!("  NOT ASKED {ignored}\n"));
    }
    text
}

fn to_json(input: &str, envelope: &Envelope, attestation: &Attestation, trusted: &Trusted) -> Json {
    let statement = attestation.statement();
    let signers: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
    let subjects = statement
        .subjects
        .iter()
        .map(|s| Json::from(Object::new().with("name", s.name.as_str()).with("digest", s.digests.to_json())));
    let mut object = Object::new()
        .with("authentic", true)
        .with("about", input)
        .with("signed_by", signers)
        .with("predicate_type", statement.predicate_type.as_str())
        .with("subjects", Json::Array(subjects.collect()))
        .with("envelope", attestation.envelope().to_string());
    object.set_some(
        "certificate",
        attestation.certificate().map(|certificate| {
            let pairs = facts(certificate).into_iter().map(|(k, v)| (k.to_owned(), Json::from(v)));
            Json::from(Object::from_unique(pairs))
        }),
    );
    let logged = attestation.logged().iter().map(|fact| {
        let mut entry = Object::new().with("log", fact.log.as_str()).with("index", fact.index.to_string());
        entry.set_some("time", fact.time.map(|t| t.to_string()));
        Json::from(entry)
    });
    object.set("logged", Json::Array(logged.collect()));
    object.set("not_asked", trusted.ignored.clone());
    let limits = attest::json::Limits::default().exact();
    let payload = envelope.payload(attestation).and_then(|p| attest::json::parse_with(p, limits).ok());
    object.set_some("statement", payload);
    object.into()
}
