//! Reading what people name: bounded, and with an error that says what it is instead.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use attest::digest::Hasher;
use attest::{Algorithm, Artifact, Digest, DigestSet, TrustRoot};
use evidence::Piece;
use policy::{Book, Guardrails, SourceFile, Submitted};
use registry::{Answer, Layout, Limits};

use crate::failure::Failure;

mod secret;

pub(crate) use secret::{Unlock, secret_file, secret_key};

/// Files that people write are pages, not volumes.
pub(crate) const MAX_TEXT: u64 = 4 << 20;

/// The bytes of a file of at most `limit` bytes.
pub(crate) fn read(what: &str, path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |e| Failure::io(&format!("read the {what}"), path, &e);
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::new(&format!("the {what} {} is a folder", path.display()))
            .line("fix", "name a file in it"));
    }
    if metadata.len() > limit {
        return Err(too_large(what, path, limit));
    }
    let mut bytes = Vec::new();
    // pipes and devices tell no length, so the reading is bounded too
    File::open(path).and_then(|f| f.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n > limit) {
        return Err(too_large(what, path, limit));
    }
    Ok(bytes)
}

fn too_large(what: &str, path: &Path, limit: u64) -> Failure {
    Failure::new(&format!("the {what} {} is too large", path.display()))
        .line("wanted", &format!("at most {limit} bytes"))
        .line("fix", &format!("check that it is the {what} and not another file"))
}

/// The text of a file.
pub(crate) fn text(what: &str, path: &Path) -> Result<String, Failure> {
    long_text(what, path, MAX_TEXT)
}

/// A text that may be longer than what people write.
pub(crate) fn long_text(what: &str, path: &Path, limit: u64) -> Result<String, Failure> {
    String::from_utf8(read(what, path, limit)?).map_err(|e| {
        Failure::new(&format!("the {what} {} is no text", path.display()))
            .line("found", &format!("bytes that are not UTF-8, from byte {}", e.utf8_error().valid_up_to()))
            .line("fix", &format!("check that it is the {what} and not another file"))
    })
}

/// A bundle. A file that cannot be read is our failure; what is in it is judged later.
pub(crate) fn bundle(path: &Path) -> Result<Submitted, Failure> {
    let limit = u64::try_from(attest::Envelope::MAX_BYTES).unwrap_or(u64::MAX);
    let bytes = read("bundle", path, limit)?;
    Ok(Submitted { name: path.display().to_string(), bytes })
}

/// The envelopes of a file, or of an OCI layout in a folder.
pub(crate) fn pieces(path: &Path) -> Result<Vec<Piece>, Failure> {
    let pieces = if path.join("index.json").is_file() {
        of_layout(path)
    } else {
        let submitted = bundle(path)?;
        evidence::unpack(&submitted.bytes, &submitted.name).map_err(|e| e.to_string())
    };
    pieces.map_err(|found| {
        Failure::new(&format!("{} cannot be taken apart", path.display()))
            .found()
            .line("wanted", "an envelope, lines or a list of them, or an OCI layout with attestations")
            .line("found", &found)
            .line("fix", "give the file as the tool that made it wrote it")
    })
}

/// All of it or nothing: what somebody submits is never a part of what he named.
fn of_layout(path: &Path) -> Result<Vec<Piece>, String> {
    let layout = Layout::open(path, Limits::default()).map_err(|e| e.to_string())?;
    let found = match layout.attestations() {
        Answer::Found(found) if found.pieces.len() < found.records => {
            return Err(format!("{} attestations, wanted at most {}", found.records, found.pieces.len()));
        }
        Answer::Found(found) => found.pieces,
        Answer::None => return Err("there is no attestation in it".to_owned()),
        Answer::Unknown(unknown) => return Err(unknown.to_string()),
    };
    let envelope = |piece: registry::Piece| match piece.envelope() {
        Ok(bytes) => bytes.map(|bytes| Ok(Piece { name: piece.name, bytes, is_alternative: false })),
        Err(e) => Some(Err(format!("{}: {e}", piece.name))),
    };
    found.into_iter().filter_map(envelope).collect()
}

/// The digests of an artifact: of a file, or as given.
pub(crate) fn digests(text: &str, also: &[Algorithm]) -> Result<DigestSet, Failure> {
    let path = Path::new(text);
    if !path.exists() && text.contains(':') {
        return Digest::parse(text).map(DigestSet::from).map_err(|e| {
            Failure::new(&format!("{text} is neither a file nor a digest"))
                .line("found", &e.to_string())
                .line("fix", "name a file, or write sha256:HEX")
        });
    }
    let failed = |e| Failure::io("read the artifact", path, &e);
    if fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(Failure::new(&format!("the artifact {text} is a folder")).line("fix", "name one file"));
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Hasher::new(also);
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// A trust root.
pub(crate) fn trust_root(path: &Path) -> Result<TrustRoot, Failure> {
    let text = text("trust root", path)?;
    TrustRoot::parse(&path.display().to_string(), &text).map_err(|e| Failure::load("trust-root-invalid", e))
}

/// The policy files of a book's folder; tests are no policies.
pub(crate) fn book_files(dir: &Path) -> Result<Vec<SourceFile>, Failure> {
    let failed = |e| Failure::io("read the book", dir, &e);
    if !fs::metadata(dir).map_err(failed)?.is_dir() {
        return Err(Failure::new(&format!("the book {} is no folder", dir.display()))
            .line("fix", "name the folder with the policy files"));
    }
    let real = dir.canonicalize().map_err(failed)?;
    let name = real.file_name().map_or_else(|| "book".to_owned(), |n| n.to_string_lossy().into_owned());
    let mut files = Vec::new();
    for path in chokepoint::policy_paths(dir).map_err(failed)? {
        let below = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
        files.push(SourceFile { name: format!("{name}/{below}"), text: text("policy", &path)? });
    }
    Ok(files)
}

/// The digest by which a choke point knows a book, or another file that is reviewed.
pub(crate) fn reviewed_digest(path: &Path) -> Result<Digest, Failure> {
    if path.is_dir() {
        return Ok(policy::digest_of(&book_files(path)?));
    }
    Ok(Digest::sha256(text("reviewed file", path)?.as_bytes()))
}

/// A file of guardrails; none where no file is given.
pub(crate) fn guardrails(path: Option<&Path>) -> Result<Guardrails, Failure> {
    match path {
        None => Ok(Guardrails::none()),
        Some(path) => parse_guardrails(path, &text("guardrail file", path)?),
    }
}

/// The guardrails of a text.
pub(crate) fn parse_guardrails(path: &Path, text: &str) -> Result<Guardrails, Failure> {
    Guardrails::parse(&path.display().to_string(), text).map_err(|e| Failure::load("guardrail-invalid", e))
}

/// A book, under guardrails where a file of them is given.
pub(crate) fn book(dir: &Path, guardrails: Option<&Path>) -> Result<Book, Failure> {
    let guardrails = self::guardrails(guardrails)?;
    Book::load(book_files(dir)?, &guardrails).map_err(|e| Failure::load("policy-invalid", e))
}

/// The artifact that a file is judged as: the name given, or, for a file, the one that the environment's policies say.
pub(crate) fn artifact(
    text: &str,
    given: Option<&str>,
    environment: &str,
    book: &Book,
    also: &[Algorithm],
) -> Result<Artifact, Failure> {
    Ok(named(text, digests(text, also)?, given, environment, book))
}

/// The same of digests that are known already.
pub(crate) fn named(
    text: &str,
    digests: DigestSet,
    given: Option<&str>,
    environment: &str,
    book: &Book,
) -> Artifact {
    if let Some(uri) = given {
        return Artifact::new(uri, digests);
    }
    let name =
        Path::new(text).file_name().map_or_else(|| text.to_owned(), |n| n.to_string_lossy().into_owned());
    if book.select(environment, &name).is_some() {
        return Artifact::new(&name, digests);
    }
    // a file has no URI: where one policy guards the environment, it is judged as that policy's artifact
    let mut policies = book.guarding(environment);
    let only = policies.next().filter(|_| policies.next().is_none());
    let uri = only.and_then(|p| p.artifacts().iter().find(|a| !a.text.contains('*')));
    Artifact::new(uri.map_or(name.as_str(), |a| a.text.as_str()), digests)
}
