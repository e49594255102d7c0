//! What artifacts are made of, out of bundles and files.

use std::path::Path;

use advisory::Component;
use advisory::dependencies::{Bom, of_bom, of_provenance};
use advisory::vex::Statements;
use attest::bundle::{Bundle, Content};
use attest::dsse::Dsse;
use attest::{DigestSet, Envelope, Predicate};

use crate::failure::Failure;
use crate::input;
use crate::trust::{Opened, Trusted, short};

/// A list of parts of more bytes is none of one artifact.
const MAX_SBOM: u64 = 16 << 20;

/// An artifact and its parts.
#[derive(Debug)]
pub(super) struct Artifact {
    /// For people.
    pub(super) label: String,
    /// The file that says what it is made of.
    pub(super) file: String,
    pub(super) digests: DigestSet,
    pub(super) names: Vec<String>,
    pub(super) components: Vec<Component>,
}

/// The parts that a bundle proves: provenance, or a signed list.
pub(super) fn of_bundle(path: &Path, trusted: &Trusted) -> Result<Artifact, Failure> {
    let submitted = input::bundle(path)?;
    let file = path.display().to_string();
    match trusted.open(&submitted) {
        Opened::Provenance(proven) => {
            let first = proven.subjects.first();
            Ok(Artifact {
                label: proven.short(),
                file,
                digests: first.map(|s| s.digests.clone()).unwrap_or_default(),
                names: proven.subjects.iter().map(|s| s.name.clone()).collect(),
                components: of_provenance(&proven.provenance),
            })
        }
        Opened::Other(_) => signed_list(path, file, &submitted.bytes),
        Opened::Disowned(disowned) => Err(not_proven(path, &disowned.reason.to_string())),
        Opened::Not(why) => Err(not_proven(path, &why)),
    }
}

fn signed_list(path: &Path, file: String, bytes: &[u8]) -> Result<Artifact, Failure> {
    let payload = payload(bytes).ok_or_else(|| not_proven(path, "no statement"))?;
    let statement = attest::Statement::parse(&payload).map_err(|e| not_proven(path, &e.to_string()))?;
    let Bom { components, .. } = of_bom(&payload).map_err(|e| {
        not_proven(path, &e.to_string())
            .line("wanted", "provenance, or a CycloneDX or SPDX statement about an artifact")
    })?;
    let first = statement.subjects.first();
    Ok(Artifact {
        label: first.map(short).unwrap_or_default(),
        file,
        digests: first.map(|s| s.digests.clone()).unwrap_or_default(),
        names: statement.subjects.iter().map(|s| s.name.clone()).collect(),
        components,
    })
}

/// A list that nobody signed.
pub(super) fn of_plain(path: &Path) -> Result<Artifact, Failure> {
    let bytes = input::read("list of parts", path, MAX_SBOM)?;
    let Bom { subjects, components } = of_bom(&bytes).map_err(|e| {
        Failure::new(&format!("the list of parts {} cannot be read", path.display()))
            .line("found", &e.to_string())
            .line("fix", "write CycloneDX 1.4 to 1.7 or SPDX 2.3, as JSON; a signed one goes to --artifact")
    })?;
    let file = path.display().to_string();
    let digests = subjects.into_iter().next().unwrap_or_default();
    Ok(Artifact { label: file.clone(), names: Vec::new(), file, digests, components })
}

/// The OpenVEX statements that a trusted key signed.
pub(super) fn vex(path: &Path, trusted: &Trusted) -> Result<Statements, Failure> {
    let submitted = input::bundle(path)?;
    let refuse = |why: &str| {
        Failure::new(&format!("the VEX statements in {} do not count", path.display()))
            .line("found", why)
            .line("fix", "give a DSSE envelope or bundle with an OpenVEX predicate, signed by --vex-key")
    };
    let envelope = Envelope::parse(&submitted.bytes).map_err(|e| refuse(&e.to_string()))?;
    let attestation = trusted.root.open(&envelope, trusted.at).map_err(|e| refuse(&e.to_string()))?;
    if !matches!(attestation.statement().predicate, Predicate::Other) {
        return Err(refuse(&format!("a {}", attestation.statement().predicate.kind())));
    }
    let payload = payload(&submitted.bytes).ok_or_else(|| refuse("no statement"))?;
    Statements::parse(&payload).map_err(|e| refuse(&e.to_string()))
}

/// The payload of bytes that were opened before: the same parsers read the same bytes.
fn payload(bytes: &[u8]) -> Option<Vec<u8>> {
    let limits = attest::json::Limits { bytes: Envelope::MAX_BYTES, ..attest::json::Limits::default() };
    let json = attest::json::parse_with(bytes, limits).ok()?;
    let object = json.as_object().ok()?;
    if !Bundle::is_bundle(object) {
        return Dsse::read(object).ok().map(|dsse| dsse.payload);
    }
    match Bundle::read(object).ok()?.content {
        Content::Dsse(dsse) => Some(dsse.payload),
        Content::Message { .. } => None,
    }
}

fn not_proven(path: &Path, why: &str) -> Failure {
    Failure::new(&format!("{} does not prove what an artifact is made of", path.display()))
        .line("found", why)
        .line("fix", "check --key or --trust-root, or name the artifact's provenance")
}
