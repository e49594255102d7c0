//! Evidence in the pieces that cosign wrote before bundles, put together.

use std::path::{Path, PathBuf};

use attest::json::ShapeError;
use attest::sigstore::legacy::{Loose, from_legacy, is_legacy};
use attest::{Algorithm, Json, Object};
use policy::Submitted;

use crate::failure::Failure;
use crate::input;

/// The pieces.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Pieces, as cosign 2 wrote them")]
pub(crate) struct Pieces {
    /// The signature over the artifact, in base64
    #[arg(long, value_name = "FILE", conflicts_with_all = ["diff", "graph"])]
    pub(super) signature: Option<PathBuf>,
    /// The certificate, where the bundle has none
    #[arg(long, value_name = "FILE", conflicts_with_all = ["diff", "graph", "key"])]
    certificate: Option<PathBuf>,
    /// The certificates above it
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_chain: Option<PathBuf>,
}

impl Pieces {
    /// What is to be opened: the bundle as it is, or one made of the pieces.
    pub(super) fn submitted(&self, bundle: Option<&Path>, input: &str) -> Result<Submitted, Failure> {
        let file = bundle.map(input::bundle).transpose()?;
        let json = file.as_ref().and_then(|f| attest::json::parse(&f.bytes).ok());
        let object = json.as_ref().and_then(|json| json.as_object().ok());
        let legacy = object.filter(|object| is_legacy(object));
        if self.signature.is_none() && legacy.is_none() {
            if self.certificate.is_some() {
                return Err(Failure::new(
                    "--certificate belongs to evidence in pieces, and this bundle has its own",
                )
                .line("fix", "leave it out, or give --signature"));
            }
            return file
                .ok_or_else(|| Failure::new("nothing says what to open").line("fix", "give a bundle"));
        }
        let name = file.as_ref().map_or("the signature", |f| f.name.as_str()).to_owned();
        let bytes = self.put_together(object, input)?.map_err(|e: ShapeError| {
            Failure::new(&format!("{name} cannot be read")).line("found", &e.to_string()).found()
        })?;
        Ok(Submitted { name, bytes })
    }

    fn put_together(
        &self,
        object: Option<&Object>,
        input: &str,
    ) -> Result<Result<Vec<u8>, ShapeError>, Failure> {
        let read =
            |path: &Option<PathBuf>| path.as_deref().map(|p| input::text("certificate", p)).transpose();
        let (certificate, chain) = (read(&self.certificate)?, read(&self.certificate_chain)?);
        let certificates = certificate.map(|own| format!("{own}\n{}", chain.unwrap_or_default()));
        let subject = input::digests(input, &[])?.get(Algorithm::Sha256);
        let Some(path) = &self.signature else {
            let empty = Object::new();
            return Ok(from_legacy(object.unwrap_or(&empty), certificates.as_deref(), subject.as_ref()));
        };
        let signature = input::text("signature", path)?;
        // beside a signature, the bundle is Rekor's answer: alone, or in cosign's bundle
        let inner =
            object.and_then(|o| o.get("rekorBundle")).map_or(Ok(object), |r: &Json| r.as_object().map(Some));
        let rekor = match inner {
            Ok(rekor) => rekor,
            Err(e) => return Ok(Err(e)),
        };
        let loose = Loose { signature: signature.trim(), certificates: certificates.as_deref(), rekor };
        Ok(loose.bundle(subject.as_ref()))
    }
}
