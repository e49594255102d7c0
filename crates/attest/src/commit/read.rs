//! The fields of a commit.

use aws_lc_rs::digest as hash;
use jiff::Timestamp;

use super::headers::{Header, malformed, split, text};
use super::{Commit, CommitError, CommitScheme, CommitSignature, Person};
use crate::digest::{Algorithm, Digest};

/// The headers of signatures: the first in repositories whose ids are SHA-1, the second where they are SHA-256.
const SIGNATURES: [&str; 2] = ["gpgsig", "gpgsig-sha256"];
const MAX_PARENTS: usize = 64;

pub(super) fn commit(bytes: &[u8]) -> Result<Commit, CommitError> {
    let text = text(bytes)?;
    let (headers, message) = split(text)?;
    let mut rest = headers.iter().peekable();
    let tree = digest(wanted(rest.next(), "tree")?, Algorithm::GitTree)?;
    let mut parents = Vec::new();
    while let Some(parent) = rest.next_if(|h| h.name == "parent") {
        parents.push(digest(&parent.value, Algorithm::GitCommit)?);
    }
    let (author, _) = person(wanted(rest.next(), "author")?)?;
    let (committer, committed) = person(wanted(rest.next(), "committer")?)?;
    if parents.len() > MAX_PARENTS || parents.iter().any(|p| p.bytes().len() != tree.bytes().len()) {
        return Err(malformed("parents whose ids are of another kind than the tree's, or more than 64"));
    }
    for header in rest {
        match header.name {
            "tree" | "parent" | "author" | "committer" => {
                return Err(malformed(&format!("the header `{}` is out of order", header.name)));
            }
            "encoding" if !header.value.eq_ignore_ascii_case("utf-8") => {
                return Err(malformed(&format!("its encoding is {}, wanted UTF-8", header.value)));
            }
            _ => {}
        }
    }
    Ok(Commit {
        id: object_id("commit", bytes, tree.bytes().len())?,
        signature: signature(&headers, message, tree.bytes().len())?,
        tree,
        parents,
        author,
        committer,
        committed,
        co_authors: co_authors(message),
    })
}

/// The object's name in a repository whose ids have so many bytes.
pub(super) fn object_id(kind: &str, bytes: &[u8], length: usize) -> Result<Digest, CommitError> {
    let algorithm = if length == 20 { &hash::SHA1_FOR_LEGACY_USE_ONLY } else { &hash::SHA256 };
    let mut context = hash::Context::new(algorithm);
    context.update(format!("{kind} {}\0", bytes.len()).as_bytes());
    context.update(bytes);
    let id = context.finish().as_ref().to_vec();
    Digest::from_bytes(Algorithm::GitCommit, id).map_err(|e| malformed(&e.to_string()))
}

fn wanted<'a>(header: Option<&'a Header<'_>>, name: &str) -> Result<&'a str, CommitError> {
    match header.filter(|h| h.name == name && !h.value.contains('\n')) {
        Some(header) => Ok(&header.value),
        None => Err(malformed(&format!("wanted the header `{name}` next, on one line"))),
    }
}

pub(super) fn digest(hex: &str, algorithm: Algorithm) -> Result<Digest, CommitError> {
    Digest::from_hex(algorithm, hex).map_err(|e| malformed(&e.to_string()))
}

/// `Name <address> 1700000000 +0100`.
pub(super) fn person(text: &str) -> Result<(Person, Timestamp), CommitError> {
    let parts = || {
        let (name, rest) = text.split_once('<')?;
        let (address, when) = rest.split_once('>')?;
        let (seconds, zone) = when.strip_prefix(' ')?.split_once(' ')?;
        let is_zone = zone.len() == 5
            && zone.strip_prefix(['+', '-']).is_some_and(|z| z.bytes().all(|b| b.is_ascii_digit()));
        let is_number = seconds.len() <= 12 && seconds.bytes().all(|b| b.is_ascii_digit());
        let is_plain = |part: &str| !part.contains(['<', '>']) && !part.contains(char::is_control);
        if !is_zone || !is_number || !is_plain(name) || !is_plain(address) {
            return None;
        }
        let time = Timestamp::from_second(seconds.parse().ok()?).ok()?;
        Some((Person { name: name.trim().to_owned(), address: address.trim().to_owned() }, time))
    };
    parts().ok_or_else(|| malformed("wanted `Name <address> SECONDS +ZONE` of author, committer or tagger"))
}

fn co_authors(message: &str) -> Vec<Person> {
    let mut found = Vec::new();
    for line in message.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        if !key.trim().eq_ignore_ascii_case("co-authored-by") {
            continue;
        }
        let (name, rest) = value.split_once('<').unwrap_or((value, value));
        let address = rest.split_once('>').map_or(rest, |(address, _)| address);
        found.push(Person { name: name.trim().to_owned(), address: address.trim().to_owned() });
    }
    found.sort();
    found.dedup();
    found
}

/// The signature and what it is over: the commit without the signature's lines, as git takes it apart.
fn signature(
    headers: &[Header<'_>],
    message: &str,
    length: usize,
) -> Result<Option<CommitSignature>, CommitError> {
    let [sha1, sha256] = SIGNATURES;
    let own = if length == 20 { sha1 } else { sha256 };
    // git leaves out of what is signed whatever begins so
    if let Some(other) = headers.iter().find(|h| h.name.starts_with(sha1) && h.name != own) {
        return Err(malformed(&format!("the signature `{}` is not one for ids of this kind", other.name)));
    }
    let Some(header) = headers.iter().find(|h| h.name == own) else { return Ok(None) };
    let lines = headers.iter().filter(|h| h.name != own).map(|h| h.lines);
    let signed = lines.chain(["\n", message]).collect::<String>().into_bytes();
    CommitSignature::read(&header.value, signed).map(Some)
}

impl CommitSignature {
    pub(super) fn read(armored: &str, signed: Vec<u8>) -> Result<Self, CommitError> {
        let scheme = match armored.lines().next() {
            Some("-----BEGIN PGP SIGNATURE-----") => CommitScheme::OpenPgp,
            Some("-----BEGIN SSH SIGNATURE-----") => CommitScheme::Ssh,
            Some("-----BEGIN SIGNED MESSAGE-----") => CommitScheme::Cms,
            _ => return Err(malformed("wanted a signature of OpenPGP, SSH or CMS")),
        };
        Ok(Self { scheme, armored: armored.to_owned(), signed })
    }
}
