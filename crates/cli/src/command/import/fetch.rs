//! `portcullis import fetch`: a release, by its digest, into the store.

use std::path::{Path, PathBuf};

use attest::{Algorithm, Artifact, Digest, DigestSet, Envelope, Json, Object};
use builder::{Input, Web};

use super::shelf::{Package, Release, Shelf, sha256};
use super::{Place, archive};
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::trust::Trust;

/// Take a release in: fetched, checked against the digest that was declared, and kept by it
///
/// Exit code 1 where what came is not what was declared, or the same version came with other bytes before.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is taken in is not reviewed: look at it with `import diff`, and say so with `import review`.

Examples:
  portcullis import fetch pkg:cargo/semver@1.0.27 --sha256 d767… \\
      --from https://static.crates.io/crates/semver/semver-1.0.27.crate
  portcullis import fetch pkg:generic/tool@2.1 --from tool-2.1.tar.gz --sha256 91ab… \\
      --bundle tool-2.1.sigstore.json --bundle-key upstream.pub")]
pub(crate) struct Args {
    /// The package URL, with its version
    purl: String,
    /// Where it is: a URL, or a file
    #[arg(long, value_name = "URL|FILE")]
    from: String,
    /// The SHA-256 that upstream declares
    #[arg(long, value_name = "HEX")]
    sha256: String,
    /// Upstream's signature or attestation: a bundle about the same bytes
    #[arg(long, value_name = "FILE", requires = "bundle_key")]
    bundle: Option<PathBuf>,
    /// Upstream's public key
    #[arg(long, value_name = "FILE", requires = "bundle")]
    bundle_key: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// The time; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let package = Package::parse(&args.purl)?;
    let digest = sha256(&args.sha256)?;
    let shelf = args.place.make()?;
    check_unchanged(&shelf, &package, &digest)?;
    if let (Some(bundle), Some(key)) = (&args.bundle, &args.bundle_key) {
        check_bundle(args, bundle, key, &digest)?;
    }
    bring(args, &shelf, &digest)?;
    let (path, _) = shelf.file(&digest)?;
    let contents = archive::read(&path, &args.from).map_err(|why| {
        Failure::new("the release cannot be read as an archive")
            .line("found", &policy::one_line(&why))
            .line("fix", "do not use it: no tool makes such an archive by accident")
            .found()
    })?;
    let fetched = clock::now(args.at.as_deref())?;
    let release = Release { purl: package.purl.clone(), from: args.from.clone(), digest, fetched };
    shelf.keep(&package, &release)?;
    let count = contents.0.len();
    let files = if count == 1 { "file" } else { "files" };
    let text = format!("{}  {}\n{count} {files}, not reviewed\n", release.digest.hex(), release.purl);
    output.result(&text, || {
        Json::from(
            Object::new()
                .with("purl", release.purl.as_str())
                .with("sha256", release.digest.hex())
                .with("files", i64::try_from(count).unwrap_or(i64::MAX)),
        )
    });
    Ok(Exit::Clean)
}

/// A version is published once. Other bytes under its name are the beginning of many attacks.
fn check_unchanged(shelf: &Shelf, package: &Package, digest: &Digest) -> Result<(), Failure> {
    match shelf.release(package)? {
        Some(known) if known.digest != *digest => {
            Err(Failure::new("this version was taken in before, with other bytes")
                .line("wanted", &format!("{}, from {} at {}", known.digest, known.from, known.fetched))
                .line("found", &digest.to_string())
                .line("fix", "ask upstream why a published version changed, and take neither until you know")
                .found())
        }
        _ => Ok(()),
    }
}

fn check_bundle(args: &Args, bundle: &Path, key: &Path, digest: &Digest) -> Result<(), Failure> {
    let refuse = |why: &str| {
        Failure::new(&format!("{} does not prove that upstream made it", bundle.display()))
            .line("found", why)
            .line("fix", "check --bundle-key against what upstream publishes, or do not use the release")
            .found()
    };
    let trusted = Trust::of_key(key, clock::now(args.at.as_deref())?)?;
    let envelope = Envelope::parse(&input::bundle(bundle)?.bytes).map_err(|e| refuse(&e.to_string()))?;
    let attestation = trusted.root.open(&envelope, trusted.at).map_err(|e| refuse(&e.to_string()))?;
    let artifact = Artifact::new(&args.purl, DigestSet::from(digest.clone()));
    attestation.about(&artifact).map(drop).map_err(|e| {
        refuse(
            &e.found.map_or("it is about nothing with a digest".to_owned(), |d| format!("it is about {d}")),
        )
    })
}

/// Brings the bytes into the store. What has another digest never gets there.
fn bring(args: &Args, shelf: &Shelf, digest: &Digest) -> Result<(), Failure> {
    let failed = |e: builder::StoreError| match e {
        builder::StoreError::Digest { wanted, found, .. } => mismatch(&wanted, &found),
        other => Failure::new("the release cannot be taken in")
            .line("found", &other.to_string())
            .line("fix", "check --from and --store, and that there is room"),
    };
    if args.from.contains("://") {
        let (uri, name) = (args.from.clone(), String::new());
        let input = Input { uri, digest: digest.clone(), name, built_by: None };
        // whoever types the URL names the host
        let host = host(&args.from).map(str::to_owned).into_iter().collect::<Vec<_>>();
        return shelf.store.fetch(&input, &Web::new(&host, &[])).map(drop).map_err(failed);
    }
    let found = input::digests(&args.from, &[])?.get(Algorithm::Sha256);
    match found {
        Some(found) if found == *digest => shelf.store.put(Path::new(&args.from)).map(drop).map_err(failed),
        Some(found) => Err(mismatch(digest, &found)),
        None => Err(Failure::new("the release has no SHA-256")),
    }
}

fn mismatch(wanted: &Digest, found: &Digest) -> Failure {
    Failure::new("what came is not what was declared")
        .line("wanted", &wanted.to_string())
        .line("found", &found.to_string())
        .line("fix", "compare the digest with what upstream publishes; do not use what came")
        .found()
}

fn host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.split(':').next()
}
